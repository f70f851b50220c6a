"""The default model in bfloat16 or float16 against itself in float32: what rounding moves, and what it gains, in one run.

    python benchmarks/precision.py --triples 16 --repeats 3 --out docs/results/smollm2-135m-instruct/precision.json
    python benchmarks/precision.py --dtype float16 --triples 16 --repeats 3

The same responses (written in float32) are scored and read in both: rank correlations of scores, the share of equal components
in the circuits that follow, and rises of L under the same circuit and the same mask of weights, response by response. Seconds
are medians of alternating runs, and this machine's: a processor without products of the type gains nothing.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from interventions import timed

import harmcircuits as hc
from harmcircuits.components import Circuit, WeightMask
from harmcircuits.examples import Example
from harmcircuits.experiments.scores import triple_prompts
from harmcircuits.statistics import mean_estimate
from harmcircuits.store import write_json

HEADS, NEURONS, Q, P = 8, 138, 3e-4, 1.5e-3
EXACT = "float32"
HALVES = ("bfloat16", "float16")


def selected(model: Any, harmful: Sequence[Example], twins: Sequence[Example]) -> tuple[Any, Circuit, WeightMask]:
    """Scores of heads and neurons, the circuit, and the mask at the paper's ratio p / q."""
    scores = hc.attribute(model, harmful)
    circuit = hc.select(scores, protect=hc.attribute(model, twins), heads=HEADS, neurons=NEURONS)
    return scores, circuit, hc.select_weights(hc.attribute_weights(model, harmful, benign=twins), q=Q, p=P)


def rise(model: Any, off: Circuit | WeightMask, examples: Sequence[Example]) -> torch.Tensor:
    intact = hc.loss(model, examples)
    with hc.ablated(model, off):
        return hc.loss(model, examples) - intact


def rounding(models: dict[str, Any], harmful: list[Example], twins: list[Example]) -> list[dict[str, Any]]:
    exact, half = models
    (scores, circuit, mask), (rounded, *others) = (selected(model, harmful, twins) for model in models.values())
    agreement = scores.compare(rounded)
    rows = [
        {"measure": f"scores of {kind.kind}, rank correlation", **kind.spearman.to_json()}
        for kind in (agreement.heads, agreement.neurons)
        if kind is not None
    ]
    for name, own, other in zip(("circuit", "mask"), (circuit, mask), others, strict=True):
        shared = hc.overlap(own, other, model=models[exact]).iloc[-1]
        rows.append({"measure": f"{name}, both / either", "value": float(shared["jaccard"]), "n": int(shared["one"])})
    for name, own in (("circuit", circuit), ("mask", mask)):
        full, near = (rise(model, own, harmful) for model in models.values())
        rows += [
            {"measure": f"rise of L without the {name}, {exact}", **mean_estimate(full.numpy()).to_json()},
            {"measure": f"{half} less {exact}, {name}", **mean_estimate((near - full).numpy()).to_json()},
            {"measure": f"largest of one response, {name}", "value": float((near - full).abs().max()), "n": len(harmful)},
        ]
    return rows


def speed(models: dict[str, Any], examples: list[Example], prompts: list[Any], repeats: int) -> list[dict[str, Any]]:
    runs: dict[str, Callable[[Any], Any]] = {
        "loss": lambda model: hc.loss(model, examples),
        "attribute": lambda model: hc.attribute(model, examples),
        "elicit": lambda model: hc.elicit(model, prompts, max_new_tokens=24, temperature=0, cache=False),
    }
    found = {name: timed({at: partial(run, model) for at, model in models.items()}, repeats) for name, run in runs.items()}
    exact, half = models
    return [
        {"measure": f"{name}, seconds in {exact} / {half}", "value": own[exact] / own[half], "n": repeats}
        for name, own in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=HALVES, default=HALVES[0])
    parser.add_argument("--triples", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    models = {name: hc.load_model(dtype=getattr(torch, name)) for name in (EXACT, options.dtype)}
    prompts = triple_prompts(hc.load_prompts().sample(options.triples, seed=0))
    examples = hc.elicit(models[EXACT], prompts, temperature=0, seed=0)
    twins = [one for one in examples if one.role != "harmful"]
    rows = rounding(models, examples[::3], twins)
    rows += speed(models, examples[:24], prompts[:24], options.repeats)
    for row in rows:
        print(f"{row['measure']:48} {row['value']:.4f}  [{row.get('low') or '—'}, {row.get('high') or '—'}]  n={row['n']}")
    if options.out:
        about = {"command": shlex.join(["python", *sys.argv]), "n": options.triples, "threads": torch.get_num_threads()}
        write_json(options.out, {**about, "versions": {"torch": torch.__version__}, "rows": rows})


if __name__ == "__main__":
    main()
