"""Which readings of recognition work on the default model, and what the shots' shared prefix saves.

    python benchmarks/recognition.py --out out/recognition                      every reading, built-in triples
    python benchmarks/recognition.py --prompts xstest/ --prompts advbench/ selfinstruct_seed/ --shots 32 --out out/recognition
    python benchmarks/recognition.py --speed --requests 24 --repeats 3

Each `--prompts` is one set, in place of the built-in one; files named after one option are added up, so that harmful and benign
requests may come from two. All prompts of files get the same prefill (`--prefill`): under prefills of their own, responses tell
the files apart. Tables go to the screen, without any request or response; `readings.html`, `readings.json` and `outcomes.csv`
of each set into a folder of `--out`.

`--speed`: `many_shot` ÷ the same log-odds from one row of shots and request each, in batches; same requests, alternating runs,
medians; both must agree.
"""

import argparse
import re
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import harmcircuits as hc
from harmcircuits.examples import batched, make_batch, row_length
from harmcircuits.experiments.readings import compare_readings
from harmcircuits.models.protocol import logits_at
from harmcircuits.tasks.formats import SHOT_FORMATS, label_ids
from harmcircuits.tasks.recognition import Shots, asked_ids, label_row, shot_ids


@torch.no_grad()
def whole_rows(model: Any, prompts: list[Any], shots: Shots, *, batch_size: int) -> torch.Tensor:
    """`many_shot` without a shared prefix: every row begins with all shots, and the unembedding is computed at its end only."""
    harmful, harmless = label_ids(model, shots.form)
    odds = torch.zeros(len(prompts))
    for draw in range(len(shots.draws)):
        before = shot_ids(model, shots, draw)
        rows = [label_row([*before, *asked_ids(model, shots, prompt.request)], harmful) for prompt in prompts]
        for indices in batched(rows, batch_size=batch_size, length=row_length):
            batch = make_batch(model, [rows[index] for index in indices])
            logits = logits_at(model, batch.tokens, batch.attention_mask, batch.positions).float()
            odds[indices] += (logits[:, harmful] - logits[:, harmless]) / len(shots.draws)
    return odds


def speed(model: Any, options: argparse.Namespace) -> None:
    train, _, test = hc.load_prompts().split(seed=0)
    shots = hc.make_shots(tuple(train), SHOT_FORMATS[0], draws=options.draws)
    asked = list(test)[: options.requests]
    runs = {
        "shared": lambda: hc.many_shot(model, asked, shots),
        "whole": lambda: whole_rows(model, asked, shots, batch_size=options.batch_size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    found: dict[str, torch.Tensor] = {}
    for _ in range(options.repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            found[name] = run()
            seconds[name].append(time.perf_counter() - start)
    difference = float((found["shared"] - found["whole"]).abs().max())
    assert difference < 1e-3, f"the two disagree by {difference}"
    tokens = len(shot_ids(model, shots, 0)), statistics.median(len(asked_ids(model, shots, one.request)) for one in asked)
    median = {name: statistics.median(own) for name, own in seconds.items()}
    pairs = ", ".join(f"{b / a:.2f}" for a, b in zip(seconds["shared"], seconds["whole"], strict=True))
    print(f"{shots.form.n_shots} shots ({tokens[0]} tokens), {len(asked)} requests (median {tokens[1]:g} tokens)")
    print(f"whole rows ÷ shared prefix: {median['whole'] / median['shared']:.2f} (ratio of medians; run by run {pairs})")
    print(f"largest difference of the log-odds: {difference:.1e} nats")


def markdown(readings: Any) -> str:
    """Its table for a page: AUROC as "value [low, high] (n)"."""
    lines = [f"| reading | kind | control | against {readings.against} | against far |", "| --- | --- | --- | --- | --- |"]
    for one in readings.readings:
        far = "—" if one.auroc_far.is_missing else one.auroc_far
        lines.append(f"| {one.name} | {one.kind} | {one.control} | {one.auroc} | {far} |")
    return "\n".join(lines)


def compare(model: Any, prompts: Any, options: argparse.Namespace) -> None:
    readings = compare_readings(
        model,
        prompts,
        shots=options.shots,
        draws=options.draws,
        n_train=options.train,
        n_test=options.test,
        max_new_tokens=options.tokens,
        progress=True,
    )
    print(f"\n## {prompts!r}\n")
    print(markdown(readings))
    for remark in readings.remarks:
        print(f"- {remark}")
    if options.out:
        folder = readings.save(options.out / re.sub(r"[^\w+-]+", "-", prompts.name))
        print(f"written to {folder}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=None)
    parser.add_argument("--prompts", nargs="+", action="append", type=Path, help="files or folders of one set; may be repeated")
    parser.add_argument("--prefill", default="Sure, here is", help="of every prompt from a file")
    parser.add_argument("--shots", nargs="+", type=int, default=[8, 16, 32])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--train", type=int, default=96, help="triples, or twice as many prompts of sets without")
    parser.add_argument("--test", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32, help="of a response, at most")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--speed", action="store_true", help="time the shared prefix instead")
    parser.add_argument("--requests", type=int, default=24, help="of --speed")
    parser.add_argument("--repeats", type=int, default=3, help="of --speed")
    parser.add_argument("--batch-size", type=int, default=8, help="of --speed, for rows that are read whole")
    options = parser.parse_args()
    model = hc.load_model(options.model) if options.model else hc.load_model()
    if options.speed:
        speed(model, options)
        return
    sets = [] if options.prompts else [hc.load_prompts()]
    for files in options.prompts or []:
        first, *others = (hc.load_prompts(file, prefill=options.prefill) for file in files)
        sets.append(sum(others, first))
    for prompts in sets:
        compare(model, prompts, options)


if __name__ == "__main__":
    main()
