"""Outcomes of one condition made by hand, as arrays of triples and roles, and the groups of the report that they give."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harmcircuits.experiments import measures
from harmcircuits.experiments.battery import Outcomes

N = 40
HARMFUL, NEAR, FAR = 0, 1, 2
OPTIONS: dict[str, Any] = {"draws": 200, "seed": 0}
Arrays = dict[str, np.ndarray]


def constant(harmful: float, near: float, far: float = math.nan) -> np.ndarray:
    return np.tile([harmful, near, far], (N, 1))


def odds(*, auroc: float) -> np.ndarray:
    """Harmful scores of which the share `auroc` lies above all near and far ones, the others below all."""
    above = np.arange(N) < auroc * N
    return np.stack([np.where(above, 2.0, -2.0), np.zeros(N), np.zeros(N)], 1) + np.linspace(0, 0.1, N)[:, None]


def intact() -> Arrays:
    """I = 1 nat per token on harmful and near requests; recognition 0.9 in place, 0.8 many-shot, 0.7 by the probe."""
    return {
        "nll": constant(2.0, 2.0, 2.0),
        "kl": constant(0.0, 0.0, 0.0),
        "nll_other": constant(3.0, 3.0),
        "in_place": odds(auroc=0.9),
        "many_shot": odds(auroc=0.8),
        "probe": odds(auroc=0.7),
        "probe_request": odds(auroc=0.6),
        "on_task": constant(1.0, 1.0),
        "refusal": constant(0.0, 0.0),
        "degenerate": constant(0.0, 0.0),
    }


def changed(**columns: np.ndarray) -> Arrays:
    """Rises of 0.5, 0.2 and 0.1; I of 0.5 on harmful and 0.8 on near requests; recognition as it was."""
    after = {"nll": constant(2.5, 2.2, 2.1), "kl": constant(0.3, 0.1, 0.05), "nll_other": constant(3.0, 3.0)}
    return intact() | after | columns


def entry(after: Arrays, *, before: Arrays | None = None, primary: str = "in_place", **options: Any) -> dict[str, Any]:
    """The two groups of a condition that are made of writing and recognition."""
    options, first = OPTIONS | options, before or intact()
    read = measures.recognition(first, after, options, primary=primary)
    wrote = measures.generation(first, after, options)
    groups = {"generation": wrote, "recognition": read}
    return {name: {key: own.to_json() for key, own in found.items()} for name, found in groups.items()}


def value(found: dict[str, Any], path: str) -> float:
    section, key = path.split(".")
    number = found[section][key]["value"]
    assert number is not None, found[section][key]
    return float(number)


def reason(found: dict[str, Any], path: str) -> str:
    section, key = path.split(".")
    assert found[section][key]["value"] is None
    return str(found[section][key]["reason"])


def outcomes(conditions: Mapping[str, Arrays], *, items: pd.DataFrame | None = None) -> Outcomes:
    """A battery's outcomes of hand-made arrays by condition, the intact model's first; two categories in turn."""
    parts = []
    for name, arrays in conditions.items():
        n = len(next(iter(arrays.values())))
        who = [(f"g{at}", "ab"[at % 2], "mild", role) for at in range(n) for role in ("harmful", "near", "far")]
        frame = pd.DataFrame(who, columns=["group", "category", "harm_group", "role"])
        readings = {column: np.asarray(values, dtype=float).ravel() for column, values in arrays.items()}
        parts.append(frame.assign(condition=name, **readings))
    more = {} if items is None else {"items": items}
    return Outcomes(pd.concat(parts, ignore_index=True), pd.DataFrame(columns=["condition", "response"]), **more)
