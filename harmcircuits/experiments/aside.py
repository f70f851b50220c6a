"""Conditions that are read on fewer triples, for writing and recognition in place alone: random ones, those at equal damage."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..ablation.partial import Condition, Partial
from ..models.protocol import HookedModel
from ..statistics import Estimate
from ..tasks.teacher_forced import INTACT, teacher_forced
from . import measures
from .asked import Asked
from .kept import Kept
from .measures import Arrays
from .names import name_of

ROLES = 3
NOT_READ = "this condition is read for writing and recognition in place alone"
READ = (
    *("harmful_nll_rise", "near_nll_rise", "far_nll_rise", "selectivity", "kl", "kl_near"),
    *("auroc_in_place", "auroc_in_place_far", "accuracy_in_place", "probe_auroc", "probe_auroc_request", "retained"),
)
"""What is told of them; what else `measures` would tell was not read."""


@dataclass(frozen=True, eq=False)
class Aside:
    """`conditions` by name, and their readings, those of the intact model among them."""

    conditions: Mapping[str, Condition]
    readings: Mapping[str, Arrays]


def read_aside(
    model: HookedModel,
    asked: Asked,
    conditions: Mapping[str, Condition],
    *,
    kept: Kept | None = None,
    progress: bool = False,
) -> Aside | None:
    """L, KL and recognition in place on the first `null_triples` triples; None without conditions."""
    if not conditions:
        return None
    every: dict[str, Condition] = {INTACT: None, **conditions}
    question, probes = asked.instruments.question, asked.instruments.probes
    some = asked.examples[: ROLES * asked.settings.null_triples]
    read = partial(teacher_forced, model, some, every, question=question, probes=probes, progress=progress)
    frame = (kept or Kept()).frame("aside", [(name, name_of(condition)) for name, condition in every.items()], read)
    readings = [column for column in frame.columns if column not in ("condition", "example")]
    found: dict[str, Arrays] = {
        str(name): {column: rows[column].to_numpy(dtype=float).reshape(-1, ROLES) for column in readings}
        for name, rows in frame.groupby("condition", sort=False)
    }
    return Aside(conditions, found)


def aside_entries(
    aside: Aside | None, everything: Arrays, options: Mapping[str, Any], how: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Their entries of `conditions` in `report.json`.

    `everything`: the intact model's readings, whose names are wanted. `options`: of the bootstrap of all triples.
    """
    if aside is None:
        return []
    intact = _filled(aside.readings[INTACT], everything)
    if options.get("strata") is not None:  # those of the first triples
        options = {**options, "strata": options["strata"][: len(intact["nll"])]}
    missing = Estimate.missing(NOT_READ)
    empty = {
        "explanation": measures.as_json({"score": missing}),
        "refusal": measures.as_json({"harmful_rate": missing, "benign_rate": missing}),
        "utility": measures.as_json({"nll_rise": missing}),
        "dissociation": measures.as_json({"index": missing, "p_value": missing}),
    }
    entries = []
    for name, condition in aside.conditions.items():
        changed, part = _filled(aside.readings[name], everything), isinstance(condition, Partial)
        entries.append(
            {
                "name": name,
                "kind": "iso-damage" if part else "random",
                **measures.counts(condition),
                **({"alpha": condition.alpha} if isinstance(condition, Partial) else {}),
                "generation": measures.as_json(_told(measures.generation(intact, changed, options))),
                "recognition": measures.as_json(_told(measures.recognition(intact, changed, options, **how))),
                **empty,
            }
        )
    return entries


def _told(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {name: own if name in READ else Estimate.missing(NOT_READ) for name, own in estimates.items()}


def _filled(arrays: Arrays, like: Arrays) -> dict[str, np.ndarray]:
    """`arrays` with NaN for each reading of `like` that was not taken."""
    nothing = np.full_like(next(iter(arrays.values())), np.nan)
    return {**dict.fromkeys(like, nothing), **arrays}
