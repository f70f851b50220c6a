"""What stands beside a verdict, and what a run in particular cannot say: in words, with its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..components import Circuit, WeightMask
from ..statistics import auroc_estimate
from .checks import MATCHED
from .instruments import Instruments
from .measures import Arrays, separation
from .nulls import Nulls
from .scores import Scores
from .settings import Settings


def remarks(
    intact: Arrays,
    changed: Arrays,
    circuit: Circuit | WeightMask,
    nulls: Nulls | None,
    instruments: Instruments,
    settings: Settings,
    *,
    strata: Sequence[str] | None = None,
) -> Iterator[str]:
    """Lines for the verdict's reasons: readings that decide nothing, and how like the circuit its nulls are."""
    options: dict[str, Any] = {"draws": settings.bootstrap_draws, "seed": settings.seed, "strata": strata}
    before = instruments.probes.get("probe_request")
    if before is not None:
        auroc = [auroc_estimate(*arrays["probe_request"][:, :2].T, **options) for arrays in (intact, changed)]
        parts = (*circuit.heads, *circuit.neurons) if isinstance(circuit, Circuit) else ()
        blind = f", and {sum(layer > before.layer for layer, _ in parts)} of {len(parts)} components lie after its layer"
        yield (
            f"Beside the verdict: before the response, the {before.name} gives AUROC {auroc[0]} intact and {auroc[1]} without "
            f"the circuit; it reads nothing of what is written{blind if parts else ''}."
        )
    shown = {name: intact[name][:, :2] for name in ("many_shot", "many_shot_shuffled", "many_shot_arbitrary")}
    read = {name: scores[~np.isnan(scores).any(1)] for name, scores in shown.items()}
    if len(read["many_shot"]):
        true, shuffled, arbitrary = (f"{float(separation(of)):.3f}" if len(of) else "not read" for of in read.values())
        yield (
            f"Beside the verdict: many-shot recognition in plain text by the intact model, AUROC {true}; with shuffled labels "
            f"{shuffled} (if as much, the label words do it, not the shots), with arbitrary words for labels {arbitrary}."
        )
    for kind, sums in (nulls.balance if nulls is not None else {}).items():
        if sums["abs_A"]["circuit"]:
            share = sums["abs_A"]["drawn"] / sums["abs_A"]["circuit"]
            yield f"Matched random {kind} have {share:.0%} of the circuit's sum of |A|{POOR if share < 0.8 else ''}."


POOR = ": a poor match, whose damage is smaller from the outset"


def limits_of(instruments: Instruments, missing: Mapping[str, str], scores: Scores | None, *, given: bool) -> list[str]:
    """What this run in particular cannot say."""
    lines = [f"There is no circuit {aim}: {why}" for aim, why in missing.items()]
    drawn = scores is not None and MATCHED not in missing
    if given and drawn:
        lines.append(
            "The circuit was given, not selected in this run: the label-swap null runs this run's own recipe (its protection "
            "and its training triples) for circuits of that size, which need not be the recipe that found it."
        )
    if instruments.primary == "probe":
        lines.append(
            "A probe shows what can be read from the model's state, not what the model says when asked; "
            "the question in place is that, and stands beside it."
        )
    if "{request}" in instruments.question.text:
        lines.append(
            "The question after the response quotes the request: what is recognised there may come from reading it again."
        )
    if drawn:
        lines.append(
            "Further falls of recognition are compared with one matched random circuit; others would fall by more or less."
        )
    return lines
