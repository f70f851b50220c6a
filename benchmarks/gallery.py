"""Where scores, a circuit and a mask lie in the default model, and the tokens of one response: the numbers of docs/gallery.md.

    python benchmarks/gallery.py --triples 16 --out docs/results/smollm2-135m-instruct/places.json

Greedy responses to built-in training triples. Intervals are 95 % bootstrap intervals over examples, each component's own. Of
neurons the largest |A| and those of the circuit are written. Of prompts and responses nothing is but their roles and numbers.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import harmcircuits as hc
from harmcircuits.attribution.agreement import Kind
from harmcircuits.attribution.drawn import ends
from harmcircuits.components import Circuit
from harmcircuits.examples import Example, example_rows
from harmcircuits.experiments.scores import triple_prompts
from harmcircuits.figures.attribution import largest
from harmcircuits.store import write_json

DIGITS = 6


def scored(scores: hc.Attribution, kind: Kind, circuit: Circuit, *, top: int | None = None) -> list[dict[str, Any]]:
    """One row a component, of all or of the `top` largest |A| and the selected: layer, index, score, low, high, selected."""
    means, chosen = getattr(scores, kind).numpy(), set(getattr(circuit, kind))
    wanted = largest(means, top or means.size)
    wanted[tuple(np.array(sorted(chosen), dtype=int).reshape(-1, 2).T)] = True
    low, high = ends(scores, kind, wanted)
    places = [(int(layer), int(index)) for layer, index in np.argwhere(wanted)]
    return [
        {"layer": at[0], "index": at[1], "score": short(means[at]), "low": short(low[at]), "high": short(high[at]),
         "selected": at in chosen}
        for at in places
    ]  # fmt: skip


def by_token(model: Any, scores: hc.Attribution, examples: Sequence[Example], example: int) -> dict[str, Any]:
    """A at each token of one response, and the sum before it; no word of it."""
    start = example_rows(model, [examples[example]])[0].start
    frame = scores.per_token(example)[["heads", "neurons"]]
    rows = [{kind: short(value) for kind, value in row.items()} for row in records(frame.iloc[start:])]
    return {"role": examples[example].role, "before": short(frame.iloc[:start].to_numpy().sum()), "tokens": rows}


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: short(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triples", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32, help="of a response, at most")
    parser.add_argument("--heads", type=int, default=8, help="of the circuit")
    parser.add_argument("--neurons", type=int, default=138, help="of the circuit")
    parser.add_argument("--q", type=float, default=3e-4, help="of the mask: the share of each matrix that is taken")
    parser.add_argument("--p", type=float, default=1.5e-3, help="of the mask: the share of each matrix that is protected")
    parser.add_argument("--top", type=int, default=400, help="neurons of largest |A| that are written")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()

    model = hc.load_model(dtype=torch.float32)
    train, _, _ = hc.load_prompts().split(seed=0)
    prompts = triple_prompts(train.sample(options.triples, seed=0))
    examples = hc.elicit(model, prompts, max_new_tokens=options.tokens, temperature=0, progress=True)
    harmful, twins = examples[::3], [one for one in examples if one.role != "harmful"]
    scores, benign = (hc.attribute(model, own) for own in (harmful, twins))
    circuit = hc.select(scores, protect=benign, heads=options.heads, neurons=options.neurons)
    weights = hc.attribute_weights(model, harmful, benign=twins)
    mask = hc.select_weights(weights, q=options.q, p=options.p)
    found = {
        "command": shlex.join(["python", *sys.argv]),
        "n": len(harmful),
        "n_benign": len(twins),
        "model": "smollm2-135m-instruct",
        "dtype": "float32",
        "shape": {kind: list(getattr(scores, kind).shape) for kind in ("heads", "neurons")},
        "heads": scored(scores, "heads", circuit),
        "neurons": scored(scores, "neurons", circuit, top=options.top),
        "top": options.top,
        "circuit": records(circuit.table()),
        "mask": records(mask.table()),
        "weights": records(weights.table()),
        "responses": [by_token(model, scores, harmful, 0), by_token(model, benign, twins, 0)],
    }
    print(f"{len(harmful)} harmful responses and {len(twins)} of twins: {circuit!r}, {mask!r}")
    if options.out:
        write_json(options.out, found)


if __name__ == "__main__":
    main()
