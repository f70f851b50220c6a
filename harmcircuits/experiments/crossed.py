"""The crossed table: what a circuit was aimed at × which task falls without it.

The same recipe is aimed at generation, at recognition and at explanation; each circuit is switched off, and all tasks are
measured under each. Refusal is measured too, and never aimed at. A task's *drop* is taken for each triple, positive where the
task falls:

    generation      rise of L on the harmful response − rise on the near twin's, nats per token
    recognition     fall of log-odds (or probe score) of harmful − near twin, by the primary reading, in place
    explanation     fall of E, the mean L of mismatched explanations − L of the request's own, nats per token
    refusal         fall of the share of harmful requests declined without prefill

and its standardised effect is d = mean / standard deviation over triples, so that tasks compare.

Source: arXiv 2604.09544, where generation, refusal, explanation and detection are crossed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from ..statistics import (
    Estimate,
    aim_by_task,
    aim_by_task_null,
    bootstrap,
    fdr_estimates,
    mean_estimate,
    p_value,
    sign_flip_p,
    standardised_effect,
)
from ..tasks.teacher_forced import INTACT
from .battery import Outcomes
from .collateral import explained
from .measures import HARMFUL, NEAR, Arrays, measured

GENERATION, RECOGNITION, EXPLANATION, REFUSAL = "generation", "recognition", "explanation", "refusal"
TASKS = (GENERATION, RECOGNITION, EXPLANATION, REFUSAL)
FEWEST = 3
NULL_DRAWS = 999
TOO_FEW = f"both tasks were not read on at least {FEWEST} triples"


@dataclass(frozen=True)
class Interaction:
    """(d_one − d_other | first) − (d_one − d_other | second), standardised: does each circuit hurt its own task more?"""

    first: str
    second: str
    one: str
    other: str
    value: Estimate
    p: Estimate

    def to_json(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in ("first", "second", "one", "other")}
        return {**named, "value": self.value.to_json(), "p": self.p.to_json()}


def drops(intact: Arrays, changed: Arrays, *, primary: str) -> dict[str, Float[np.ndarray, " triple"]]:
    """How much each task falls, by triple; NaN where it was not read."""
    gap = lambda arrays, column: arrays[column][:, HARMFUL] - arrays[column][:, NEAR]
    rise = lambda column: gap(changed, column) - gap(intact, column)
    return {
        GENERATION: rise("nll"),
        RECOGNITION: -rise(primary),
        EXPLANATION: explained(intact) - explained(changed),
        REFUSAL: (intact["refused"] - changed["refused"])[:, HARMFUL],
    }


def crossed(
    outcomes: Outcomes, aims: Mapping[str, str], options: Mapping[str, Any], *, primary: str, beside: Sequence[str] = ()
) -> dict[str, Any]:
    """The section `crossed` of `report.json`.

    Args:
        outcomes: of the whole battery.
        aims: the condition aimed at each task, by task.
        options: of the bootstrap.
        primary: column of the primary reading of recognition.
        beside: further conditions to put below the aims (controls).
    """
    intact = outcomes.by_triple(INTACT)
    rows = {**{condition: task for task, condition in aims.items()}, **dict.fromkeys(beside, "")}
    fallen = {condition: drops(intact, outcomes.by_triple(condition), primary=primary) for condition in rows}
    cells = [_cell(condition, aim, task, fallen[condition][task], options) for condition, aim in rows.items() for task in TASKS]
    _adjust(cells)
    pairs = [pair.to_json() for pair in _aims(aims, fallen, options)]
    _adjust(pairs)
    return {"tasks": list(TASKS), "aims": dict(aims), "cells": cells, "interactions": pairs}


def _adjust(entries: Sequence[dict[str, Any]]) -> None:
    """Sets `p_adjusted` (Benjamini–Hochberg) beside each `p`."""
    for entry, p in zip(entries, fdr_estimates([Estimate.from_json(entry["p"]) for entry in entries]), strict=True):
        entry["p_adjusted"] = p.to_json()


def _cell(
    condition: str, aim: str, task: str, drop: Float[np.ndarray, " triple"], options: Mapping[str, Any]
) -> dict[str, Any]:
    (read,), own = measured(options, drop)
    missing = Estimate.missing(f"{task} was not read on at least {FEWEST} triples")
    found = {"drop": missing, "effect": missing, "p": missing}
    if len(read) >= FEWEST and task == REFUSAL and not read.any():
        found = dict.fromkeys(
            found, Estimate.missing("not one answer changed between declining and not: there is nothing to compare")
        )
    elif len(read) >= FEWEST:
        effect = Estimate.missing("all triples fall by the same amount: there is no spread to compare with")
        if np.ptp(read) > 0:
            effect = bootstrap(standardised_effect, read, vectorised=True, **own)
        found = {"drop": mean_estimate(read, **own), "effect": effect, "p": sign_flip_p(read, seed=own.get("seed", 0))}
    return {"condition": condition, "aim": aim, "task": task, **{name: value.to_json() for name, value in found.items()}}


def _aims(
    aims: Mapping[str, str], fallen: Mapping[str, Mapping[str, np.ndarray]], options: Mapping[str, Any]
) -> Iterator[Interaction]:
    """Each two aims against their own two tasks."""
    for one, other in combinations(aims, 2):
        table = [[fallen[aims[aim]][task] for task in (one, other)] for aim in (one, other)]
        yield Interaction(f"aimed at {one}", f"aimed at {other}", one, other, *_interaction(table, options))


def _interaction(table: Sequence[Sequence[np.ndarray]], options: Mapping[str, Any]) -> tuple[Estimate, Estimate]:
    read, own = _stacked(table, options)
    if len(read) < FEWEST:
        return Estimate.missing(TOO_FEW), Estimate.missing(TOO_FEW)
    value = bootstrap(lambda found: aim_by_task(np.moveaxis(found, -3, -1)), read, vectorised=True, **own)
    if value.value is None:
        return value, Estimate.missing(f"the interaction is missing: {value.reason}")
    null = aim_by_task_null(np.moveaxis(read, 0, -1), draws=NULL_DRAWS, seed=own.get("seed", 0))
    return value, p_value(value.value, null)


def _stacked(
    table: Sequence[Sequence[np.ndarray]], options: Mapping[str, Any]
) -> tuple[Float[np.ndarray, "triple 2 2"], dict[str, Any]]:
    """The four drops of the triples on which all were read."""
    (read,), own = measured(options, np.moveaxis(np.array(table), -1, 0))
    return read, own
