"""Peak memory of head and neuron attribution ÷ that of a bare forward and backward pass, same weights, same tokens.

The opponent is a pristine transformers model, parameters frozen, eager attention (which TransformerLens also uses), full
logits, the loss of the response, backward to the embeddings; with sdpa beside it. Each runs in a process of its own, forked
afresh, one thread, since an allocator that has served one already holds pages for the next. What counts is the rise of the
resident set: the kernel's high-water mark is reset (`/proc/self/clear_refs`) after the model is loaded and a pass over two
short rows has touched the weights and filled the libraries' buffers, then one batch is attributed;

    memory = high-water mark (VmHWM) − resident set before (VmRSS).

Linux only. Measured beside it: integrated attribution, and attribution with its blocks checkpointed, also on rows made longer
by saying each request --times over; of both kinds of attribution, what `harmcircuits plan` expects of these rows.

    python benchmarks/attribution_memory.py --examples 8 --repeats 3 --out out/costs/memory.json
    python benchmarks/attribution_memory.py --examples 2 --times 40 --out out/costs/memory-long.json
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from attribution_overhead import bare, keep
from transformers import AutoModelForCausalLM

import harmcircuits as hc
from harmcircuits.capacity import memory, work
from harmcircuits.examples import Batch, Row, example_rows, make_batch, row_length
from harmcircuits.models.aliases import ALIASES, DEFAULT
from harmcircuits.models.fetch import packaged_gguf
from harmcircuits.models.gguf import dequantised_folder
from harmcircuits.models.shape import shape_of

OURS, OPPONENTS = ("attribute", "checkpointed", "integrated"), ("eager", "sdpa")


def status(field: str) -> int:
    """Bytes, from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def peak(run: Callable[[], object]) -> int:
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM becomes VmRSS
    before = status("VmRSS")
    run()
    return status("VmHWM") - before


def measure(which: str, examples: list[hc.Example]) -> int:
    """Bytes that one pass over all examples takes in this process."""
    bridge = hc.load_model()
    short = [hc.Example(request="Bread?", response="Yes.")] * 2
    if which in OURS:
        options = {"batch_size": len(examples)}
        runs = {
            "attribute": lambda given: hc.attribute(bridge, given, **options),
            "checkpointed": lambda given: hc.attribute(bridge, given, checkpoint=True, **options),
            "integrated": lambda given: hc.integrated_attribution(bridge, given, steps=2, **options),
        }
        runs[which](short)
        return peak(lambda: runs[which](examples))
    batches: list[Batch] = [make_batch(bridge, example_rows(bridge, given)) for given in (short, examples)]
    del bridge
    folder = dequantised_folder(DEFAULT, ALIASES[DEFAULT].gguf_sha256, lambda: packaged_gguf(ALIASES[DEFAULT]))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=which).requires_grad_(False)
    bare(model, batches[:1])
    return peak(lambda: bare(model, batches[1:]))


def planned(model: Any, rows: Sequence[Row]) -> dict[str, float]:
    """Bytes beside the model's weights, of one batch of these rows."""
    shape = shape_of(model.original_model.config)
    asked = statistics.fmean(row.stop - row.start for row in rows)
    batch = work.Rows(n=len(rows), length=max(map(row_length, rows)), asked=asked, batch=len(rows))
    of = lambda on: memory.activations(shape, batch, element=4, checkpoint=on).bytes - 4 * shape.parameters
    return {"attribute": of(False), "checkpointed": of(True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=8, help="rows of the one batch")
    parser.add_argument("--times", type=int, default=1, help="each request is said so often in its row")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--only", choices=[*OURS, *OPPONENTS], help="measure one in this process, and print bytes")
    options = parser.parse_args()
    asked = hc.load_prompts().sample(options.examples, seed=0).harmful
    prompts = [replace(one, request=" ".join([one.request] * options.times)) for one in asked]
    if options.only:
        torch.set_num_threads(1)
        model = hc.load_model()
        examples = hc.elicit(model, prompts, max_new_tokens=48)
        del model
        print(json.dumps(measure(options.only, examples)))
        return

    model = hc.load_model()
    expected = planned(model, example_rows(model, hc.elicit(model, prompts, max_new_tokens=48)))  # cached for the children
    taken: dict[str, list[int]] = {name: [] for name in (*OURS, *OPPONENTS)}
    for _ in range(options.repeats):
        for name in taken:
            command = [sys.executable, __file__, "--only", name, "--examples", str(options.examples)]
            command += ["--times", str(options.times)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            taken[name].append(json.loads(output.splitlines()[-1]))
    middle = {name: statistics.median(values) for name, values in taken.items()}
    for name, values in taken.items():
        print(f"{name}: {middle[name] / 2**20:.0f} MiB (run by run {', '.join(f'{value / 2**20:.0f}' for value in values)})")
    for ours in OURS:
        ratios = ", ".join(f"{middle[ours] / middle[other]:.3f} with {other} attention" for other in OPPONENTS)
        print(f"{ours} ÷ bare forward + backward: {ratios}")
    found = {f"{ours} ÷ bare, {other}": middle[ours] / middle[other] for ours in OURS for other in OPPONENTS}
    found["checkpointed ÷ attribute"] = middle["checkpointed"] / middle["attribute"]
    found |= {f"{name}, planned ÷ measured": size / middle[name] for name, size in expected.items()}
    for name in list(found)[-3:]:
        print(f"{name}: {found[name]:.3f}")
    keep(options.out, found, n=options.examples, bytes=taken, planned=expected)


if __name__ == "__main__":
    main()
