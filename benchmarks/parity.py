"""The default model in both of TransformerLens' classes, and with norms folded and centred: what stays the same.

    .venv-tl3/bin/python benchmarks/parity.py --triples 8 --out docs/results/smollm2-135m-instruct/parity.json

Needs TransformerLens 3.9, which has both classes (the environment `.venv-tl3` of `make test`). One set of responses, written by
the bridge, is read in each: losses, scores of heads and neurons, the circuit that follows, rises of L without it, and the mask
of weights. What is told is the largest absolute difference from the bridge, nats per token, beside the largest value itself; of
circuit and mask, what they share with the bridge's (Jaccard).
"""

import argparse
import copy
import logging
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import harmcircuits as hc
from harmcircuits.data import Example
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.effects import ordered
from harmcircuits.store import write_json

HEADS, NEURONS, Q, P = 8, 138, 3e-4, 6e-3
BRIDGE, HOOKED = "TransformerBridge", "HookedTransformer"
AS_IT_IS = {"fold_ln": False, "center_writing_weights": False, "center_unembed": False, "fold_value_biases": False}
PROCESSED = {"norms folded": {"fold_ln": True}, "norms folded, unembedding centred": {"fold_ln": True, "center_unembed": True}}


def read(model: Any, harmful: list[Example], twins: list[Example]) -> dict[str, Any]:
    scores = hc.attribute(model, harmful)
    circuit = hc.select(scores, protect=hc.attribute(model, twins), heads=HEADS, neurons=NEURONS, protect_fraction=0.1)
    intact = hc.loss(model, harmful)
    with hc.ablated(model, circuit):
        rise = hc.loss(model, harmful) - intact
    measured = {"L": intact, "rise": rise, "heads": scores.per_example_heads, "neurons": scores.per_example_neurons}
    try:
        weights = hc.attribute_weights(model, harmful, benign=twins)
        return measured | {"circuit": circuit, "mask": hc.select(weights, q=Q, p=P), "refused": ""}
    except HarmcircuitsError as error:
        return measured | {"circuit": circuit, "mask": None, "refused": str(error)}


def compared(name: str, base: dict[str, Any], other: dict[str, Any], model: Any) -> dict[str, Any]:
    """Differences of `other` from `base`."""
    row: dict[str, Any] = {"model": name, "n": len(base["L"])}
    for what in ("L", "rise", "heads", "neurons"):
        row[what] = float((other[what] - base[what]).abs().max())
        row[f"largest {what}"] = float(base[what].abs().max())
    for what in ("circuit", "mask"):
        both = [numbers[what] for numbers in (base, other)]
        row[what] = None if None in both else float(hc.overlap(*both, model=model).iloc[-1]["jaccard"])
    return row | {"refused": other["refused"]}


def models(bridge: Any) -> dict[str, Any]:
    """The classes beside `bridge`, all held at once."""
    hooked = hc.load_model(hooked=True)
    classes = {HOOKED: hooked}
    for name, given in PROCESSED.items():
        folded = classes[f"{HOOKED}, {name}"] = copy.deepcopy(hooked)
        folded.load_and_process_state_dict(folded.state_dict(), **AS_IT_IS | given)
    classes[f"{BRIDGE}, compatibility mode"] = copy.deepcopy(bridge)
    classes[f"{BRIDGE}, compatibility mode"].enable_compatibility_mode(disable_warnings=True)
    return classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triples", type=int, default=8)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # deepcopy and compatibility mode are talkative
    bridge = hc.load_model()
    examples = hc.elicit(
        bridge, ordered(hc.load_prompts().sample(options.triples, seed=0), options.triples), temperature=0, seed=0
    )
    harmful, twins = examples[::3], [example for example in examples if example.role != "harmful"]
    base = read(bridge, harmful, twins)
    others = models(bridge)
    rows = [compared(name, base, read(model, harmful, twins), bridge) for name, model in others.items()]
    for row in rows:
        cells = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items())
        print("; ".join(cells))
    about = {"command": shlex.join(["python", *sys.argv]), "n": options.triples}
    versions = {"torch": torch.__version__, "transformer-lens": version("transformer-lens")}
    if options.out:
        write_json(options.out, about | {"versions": versions, "rows": rows})


if __name__ == "__main__":
    main()
