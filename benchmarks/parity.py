"""The default model in both of TransformerLens' classes, and with norms folded and centred: what stays the same.

    .venv-tl3/bin/python benchmarks/parity.py --triples 8 --out docs/results/smollm2-135m-instruct/parity.json

Needs TransformerLens 3.9, which has both classes (the environment `.venv-tl3` of `make test`). One set of responses, written by
the bridge, is read in each: losses, scores of heads and neurons, the circuit that follows, rises of L without it, and the mask
of weights. What is told is the largest absolute difference from the bridge, nats per token, beside the largest value itself; of
circuit and mask, what they share with the bridge's (Jaccard). With --report the whole of `dissociate` runs on so many test
triples in both classes, each writing its own responses, and every number of the two reports is compared; twice, since rounding
may flip the draw of a token: as it always runs, and with the likeliest token in the place of every draw.
"""

import argparse
import copy
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import harmcircuits as hc
from harmcircuits.examples import Example
from harmcircuits.experiments.scores import triple_prompts
from harmcircuits.experiments.settings import Settings
from harmcircuits.models.decode import Drawing
from harmcircuits.models.protocol import ModelError
from harmcircuits.store import CACHE_VARIABLE, write_json

HEADS, NEURONS, Q, P = 8, 138, 3e-4, 6e-3
BRIDGE, HOOKED = "TransformerBridge", "HookedTransformer"
AS_IT_IS = {"fold_ln": False, "center_writing_weights": False, "center_unembed": False, "fold_value_biases": False}
PROCESSED = {"norms folded": {"fold_ln": True}, "norms folded, unembedding centred": {"fold_ln": True, "center_unembed": True}}


def read(model: Any, harmful: list[Example], twins: list[Example]) -> dict[str, Any]:
    scores = hc.attribute(model, harmful)
    circuit = hc.select(scores, protect=hc.attribute(model, twins), heads=HEADS, neurons=NEURONS)
    intact = hc.loss(model, harmful)
    with hc.ablated(model, circuit):
        rise = hc.loss(model, harmful) - intact
    found = {"L": intact, "rise": rise, "heads": scores.per_example_heads, "neurons": scores.per_example_neurons}
    try:
        weights = hc.attribute_weights(model, harmful, benign=twins)
        return found | {"circuit": circuit, "mask": hc.select_weights(weights, q=Q, p=P), "refused": ""}
    except ModelError as error:
        return found | {"circuit": circuit, "mask": None, "refused": str(error)}


def compared(name: str, one: dict[str, Any], other: dict[str, Any], model: Any) -> dict[str, Any]:
    """Differences of `other` from `one`."""
    row: dict[str, Any] = {"model": name, "n": len(one["L"])}
    for what in ("L", "rise", "heads", "neurons"):
        row[what] = float((other[what] - one[what]).abs().max())
        row[f"largest {what}"] = float(one[what].abs().max())
    for what in ("circuit", "mask"):
        both = [found[what] for found in (one, other)]
        row[what] = None if None in both else float(hc.overlap(*both, model=model).iloc[-1]["jaccard"])
    return row | {"refused": other["refused"]}


def models(bridge: Any) -> dict[str, Any]:
    """The classes beside `bridge`, all held at once."""
    hooked = hc.load_model(hooked=True)
    found = {HOOKED: hooked}
    for name, given in PROCESSED.items():
        folded = found[f"{HOOKED}, {name}"] = copy.deepcopy(hooked)
        folded.load_and_process_state_dict(folded.state_dict(), **AS_IT_IS | given)
    found[f"{BRIDGE}, compatibility mode"] = copy.deepcopy(bridge)
    found[f"{BRIDGE}, compatibility mode"].enable_compatibility_mode(disable_warnings=True)
    return found


def numbers(found: Any, place: str = "") -> dict[str, float]:
    """Every number of a report but seconds, by its place."""
    if isinstance(found, bool) or found is None or place.endswith("/seconds"):
        return {}
    if isinstance(found, int | float):
        return {place: float(found)}
    parts = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return {at: value for name, part in parts for at, value in numbers(part, f"{place}/{name}").items()}


def reports(loaded: dict[str, Any], n: int) -> dict[str, Any]:
    """The whole main job in each class, and what of the two reports is not the same."""
    few = {f"{part}_triples": n for part in ("attribution", "development", "aim", "null")}
    settings = replace(Settings.quick().on(n), **few, probe_triples=2 * n)
    train, development, test = hc.load_prompts().split(seed=0)
    how: dict[str, Any] = {"train": train, "development": development, "settings": settings}
    one, other = (alone(hc.dissociate, model, None, test, **how) for model in loaded.values())
    first, second = numbers(one.report), numbers(other.report)
    apart = sorted(((abs(first[at] - second[at]), at) for at in {*first} & {*second}), reverse=True)
    return {
        "test triples": n,
        "numbers": len(first),
        "in one report alone": len({*first} ^ {*second}),
        "circuits equal": one.circuits == other.circuits,
        "largest difference": apart[0][0],
        "where": apart[0][1],
        "differences above 1e-4": sum(difference > 1e-4 for difference, _ in apart),
    }


def alone(job: Callable[..., Any], *given: Any, **how: Any) -> Any:
    """What `job` returns with a cache of its own: no class reads what another has written, and no later run reads likeliest
    tokens as if they had been drawn.
    """
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, {CACHE_VARIABLE: cache}):
        return job(*given, **how)


def likeliest(self: Drawing, logits: Tensor, step: int) -> Tensor:
    return logits.argmax(dim=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triples", type=int, default=8)
    parser.add_argument("--report", type=int, default=0, help="test triples of the whole of dissociate; 0: none")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # deepcopy and compatibility mode are talkative
    bridge = hc.load_model()
    examples = hc.elicit(bridge, triple_prompts(hc.load_prompts().sample(options.triples, seed=0)), temperature=0, seed=0)
    harmful, twins = examples[::3], [one for one in examples if one.role != "harmful"]
    base = read(bridge, harmful, twins)
    others = models(bridge)
    rows = [compared(name, base, read(model, harmful, twins), bridge) for name, model in others.items()]
    for row in rows:
        told = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items())
        print("; ".join(told))
    about = {"command": shlex.join(["python", *sys.argv]), "n": options.triples}
    versions = {"torch": torch.__version__, "transformer-lens": version("transformer-lens")}
    both = {BRIDGE: bridge, HOOKED: others[HOOKED]}
    whole = greedy = None
    if options.report:
        whole = reports(both, options.report)
        with patch.object(Drawing, "draw", likeliest):
            greedy = reports(both, options.report)
        print(f"drawn: {whole}\nlikeliest tokens: {greedy}")
    if options.out:
        found = {"rows": rows, "report": whole, "report of likeliest tokens": greedy}
        write_json(options.out, about | {"versions": versions} | found)


if __name__ == "__main__":
    main()
