"""Ablation, many at once and in writing: ratios on one model, same prompts, same lengths, alternating runs.

1. Free generation under an ablation: `generate` ÷ transformers' own `generate` of a pristine model (sdpa), tokens per second,
   the same batch; and by hooks (`elicit` inside `ablated`) beside it.
2. The losses of examples under 16 circuits: one prompt at a time, and batches one condition at a time, ÷ `sweep`; and `sweep`
   without the layers that its rows share.

    python benchmarks/interventions.py --prompts 8 --repeats 3 --out out/costs/interventions.json
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attribution_overhead import keep
from transformers import AutoModelForCausalLM

import harmcircuits as hc
from harmcircuits.ablation import batched
from harmcircuits.ablation.batched import lowest_layer
from harmcircuits.data import chat_frame, prompt_ids
from harmcircuits.data.elicit import left_padded
from harmcircuits.models.packaged import ALIASES, DEFAULT, dequantised_folder, packaged_gguf
from harmcircuits.models.protocol import pad_id

Runs = dict[str, Callable[[], Any]]


def rounds(runs: Runs, repeats: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, in turn, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def timed(runs: Runs, repeats: int) -> dict[str, float]:
    """The medians of `rounds`."""
    return {name: statistics.median(own) for name, own in rounds(runs, repeats).items()}


def circuits_of(model: Any, n: int) -> list[Any]:
    """About as large as the main job's, of random components; half of them have none in the lower half of the layers."""
    low = hc.Circuit(
        heads=[(layer, 0) for layer in range(0, 30, 4)], neurons=[(layer, at) for layer in range(30) for at in range(5)]
    )
    high = hc.Circuit(
        heads=[(layer, 0) for layer in range(16, 24)], neurons=[(layer, at) for layer in range(16, 30) for at in range(10)]
    )
    return [(low if at % 2 else high).random_like(model, seed=at) for at in range(n)]


def one_at_a_time(model: Any, circuits: list[Any], examples: list[Any]) -> torch.Tensor:
    losses = []
    for circuit in circuits:
        with hc.ablated(model, circuit):
            losses.append(torch.cat([hc.loss(model, [example]) for example in examples]))
    return torch.stack(losses)


def condition_at_a_time(model: Any, circuits: list[Any], examples: list[Any]) -> torch.Tensor:
    losses = []
    for circuit in circuits:
        with hc.ablated(model, circuit):
            losses.append(hc.loss(model, examples))
    return torch.stack(losses)


def unshared_sweep(model: Any, circuits: list[Any], examples: list[Any]) -> torch.Tensor:
    """Rows of examples and circuits, each through all layers."""
    few, batched.FEW = batched.FEW, len(circuits) + 1
    try:
        return hc.sweep(model, circuits, examples)
    finally:
        batched.FEW = few


def teacher_forced(model: Any, circuits: list[Any], prompts: list[Any], repeats: int) -> dict[str, float]:
    examples = hc.elicit(model, prompts, max_new_tokens=24, temperature=0)
    by_sweep = hc.sweep(model, circuits, examples)
    difference = (by_sweep - condition_at_a_time(model, circuits, examples)).abs().max()
    assert difference < 1e-3, f"the ways disagree by {difference}"
    seconds = timed(
        {
            "sweep": lambda: hc.sweep(model, circuits, examples),
            "sweep without shared layers": lambda: unshared_sweep(model, circuits, examples),
            "one prompt at a time": lambda: one_at_a_time(model, circuits, examples),
            "one condition at a time": lambda: condition_at_a_time(model, circuits, examples),
        },
        repeats,
    )
    depth = sum(map(lowest_layer, circuits)) / len(circuits) / model.cfg.n_layers
    print(
        f"teacher-forced: {len(circuits)} circuits, {len(examples)} examples; layers below the first ablated one: {depth:.0%}"
    )
    return report(seconds, "sweep")


def free(model: Any, circuit: Any, prompts: list[Any], repeats: int, tokens: int) -> dict[str, float]:
    folder = dequantised_folder(DEFAULT, ALIASES[DEFAULT].gguf_sha256, lambda: packaged_gguf(ALIASES[DEFAULT]))
    pristine = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    frame = chat_frame(model)
    ids = [prompt_ids(model, frame, prompt.request, prompt.prefill) for prompt in prompts]
    batch, mask = left_padded(ids, pad_id(model))
    options = {"max_new_tokens": tokens, "temperature": 0.0}
    counts = {}

    def own() -> None:
        counts["generate"] = longest(hc.generate(model, prompts, circuit, attention="sdpa", **options))

    def eager() -> None:
        counts["generate, eager"] = longest(hc.generate(model, prompts, circuit, **options))

    def hooks() -> None:
        with hc.ablated(model, circuit):
            counts["by hooks"] = longest(hc.elicit(model, prompts, cache=False, **options))

    def theirs() -> None:
        whole = pristine.generate(
            batch,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=tokens,
            pad_token_id=pad_id(model),
            eos_token_id=list(frame.stops),
        )
        counts["transformers"] = whole.shape[1] - batch.shape[1]

    seconds = timed({"generate": own, "generate, eager": eager, "by hooks": hooks, "transformers": theirs}, repeats)
    rate = {name: counts[name] * len(prompts) / seconds[name] for name in seconds}
    print(f"free: {len(prompts)} prompts; steps {counts}; tokens per second ÷ transformers' generate:")
    found = {
        f"{name} ÷ transformers": rate[name] / rate["transformers"] for name in ("generate", "generate, eager", "by hooks")
    }
    for name, ratio in found.items():
        print(f"  {name}: {ratio:.2f}")
    return found


def longest(examples: list[Any]) -> int:
    return max(len(example.response_ids) for example in examples)


def report(seconds: dict[str, float], ours: str) -> dict[str, float]:
    found = {f"{name} ÷ {ours}": own / seconds[ours] for name, own in seconds.items() if name != ours}
    for name, ratio in found.items():
        print(f"  {name}: {ratio:.2f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--circuits", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    model = hc.load_model()
    prompts = hc.load_prompts().sample(options.prompts, seed=0).harmful
    circuits = circuits_of(model, options.circuits)
    ratios = {
        "tokens per second, free": free(model, circuits[0], prompts, options.repeats, options.tokens),
        "losses of examples": teacher_forced(model, circuits, prompts, options.repeats),
    }
    keep(options.out, ratios, n=len(prompts), tokens=options.tokens, circuits=len(circuits))


if __name__ == "__main__":
    main()
