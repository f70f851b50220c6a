"""The matrix of transfer: selected on A, tested on B, with what it is compared to; and its means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import Estimate, mean_estimate, ratio_of_means
from .plan import AIMS
from .rises import Rises

OTHERS, RANDOM = "all other groups", "matched random"
AGAINST = {"harmful": "near", "near": "harmful", "far": "near"}
"""What selectivity of an aim is against."""
OWN = "the circuit of the same group"
FEWEST = 6
"""Triples from which on a mean has an interval: of 3, 4 and 5 it holds the true one in 76, 88 and 92 % (docs/statistics.md)."""
TOO_FEW = f"an interval of fewer than {FEWEST} triples is too short to go by"
Options = Mapping[str, Any]
Triples = Float[np.ndarray, " triple"]


@dataclass(frozen=True, eq=False)
class Transfer:
    """Rises of one aim's circuits, by the group that each was selected on.

    Attributes:
        aim: the role whose responses the circuits were aimed at.
        rises: by group.
        groups: the group of each test triple; those without a circuit are left out of means.
        categories: the category of each test triple.
    """

    aim: str
    rises: Mapping[str, Rises]
    groups: Sequence[str]
    categories: Sequence[str]

    def of(self, rises: Rises, what: str) -> Triples:
        """The rise of a role, or "selectivity": that of the aim's role minus that of its twin."""
        role = lambda name: rises[:, AIMS.index(name)]
        if what != "selectivity":
            return np.asarray(role(what))
        return np.asarray(role(self.aim) - role(AGAINST[self.aim]))

    def diagonal(self, what: str = "selectivity") -> Triples:
        """Of each triple, under the circuit of its own group; NaN where it has none."""
        return self._of_triples(what, own=True)

    def off_diagonal(self, what: str = "selectivity") -> Triples:
        """Of each triple, under the circuits of the other groups, their mean."""
        return self._of_triples(what, own=False)

    def _of_triples(self, what: str, *, own: bool) -> Triples:
        found = np.full(len(self.groups), np.nan)
        for at, group in enumerate(self.groups):
            if group in self.rises:
                used = [name for name in self.rises if (name == group) == own]
                found[at] = np.mean([self.of(self.rises[name], what)[at] for name in used]) if used else np.nan
        return found


def across(values: Triples, groups: Sequence[str], options: Options) -> Estimate:
    """The mean over groups of each group's mean over its triples, with its interval over triples, redrawn within groups."""
    weighted, own = _weighted([values], groups, options)
    return mean_estimate(weighted[0], **own)


def ratio_across(one: Triples, other: Triples, groups: Sequence[str], options: Options) -> Estimate:
    """`across` of the one divided by `across` of the other; missing where the other's interval includes 0."""
    weighted, own = _weighted([one, other], groups, options)
    return ratio_of_means(*weighted, **own)


def _weighted(values: Sequence[Triples], groups: Sequence[str], options: Options) -> tuple[list[Triples], dict[str, Any]]:
    """Scaled so that their plain mean gives every group the same weight; triples without a value are left out."""
    kept = np.isfinite(values).all(0)
    labels = np.asarray(groups, dtype=object)[kept]
    counts = {label: int((labels == label).sum()) for label in labels}
    weight = np.array([len(labels) / (len(counts) * counts[label]) for label in labels])
    return [one[kept] * weight for one in values], {**options, "strata": list(labels)}


def rows_of(tested: Transfer, same: Mapping[str, Rises], options: Options, *, grain: str, kind: str) -> list[dict[str, Any]]:
    """One row a circuit and a group that it was tested on, on that group's test triples alone.

    `same`: the rises of each group's own circuit, which the ratios are shares of.
    """
    found = []
    for selected, rises in tested.rises.items():
        for group in dict.fromkeys(sorted(tested.groups)):
            about = {"grain": grain, "circuit": kind, "selected": selected, "tested": group}
            found.append(about | _cell(tested, rises, same.get(group), group, options))
    return found


def _cell(tested: Transfer, rises: Rises, same: Rises | None, group: str, options: Options) -> dict[str, Any]:
    """Rises and selectivity in nats per token, and their share of what `same`, the tested group's own circuit, does."""
    mine = np.array([label == group for label in tested.groups])
    own = {**options, "strata": [label for label, kept in zip(tested.categories, mine, strict=True) if kept]}
    row: dict[str, Any] = {"n": int(mine.sum())}
    for what in (*AIMS, "selectivity"):
        row |= ends(what, mean_of_few(tested.of(rises, what)[mine], own))
    reasons = []
    for name, what in (("ratio", "selectivity"), ("rise_ratio", tested.aim)):
        share = Estimate.missing(f"{OWN} could not be selected" if same is None else TOO_FEW)
        if same is not None and row["n"] >= FEWEST:
            share = ratio_of_means(tested.of(rises, what)[mine], tested.of(same, what)[mine], **own)
        row |= ends(name, share)
        reasons += [f"{name}: {share.reason}"] if share.reason else []
    return row | {"reason": "; ".join(reasons)}


def mean_of_few(values: Triples, options: Options) -> Estimate:
    """The mean with its interval over triples; without one for fewer than `FEWEST`, of which intervals are too short."""
    found = mean_estimate(values, **options)
    return Estimate(found.value, n=found.n) if 0 < found.n < FEWEST else found


def ends(name: str, estimate: Estimate) -> dict[str, float | None]:
    """A value and its interval as columns; null where it is missing."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def beside(tested: Transfer, rises: Rises, group: str, options: Options, *, selected: str, kind: str) -> dict[str, Any]:
    """The row of another circuit that was tested on one group: all other groups' circuit, or matched random ones."""
    about = {"grain": "heads and neurons", "circuit": kind, "selected": selected, "tested": group}
    return about | _cell(tested, rises, tested.rises.get(group), group, options)


def as_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of transfer; numbers are float64 also where a column holds none."""
    frame = pd.DataFrame(list(rows))
    numbers = [name for name in frame if name not in ("grain", "circuit", "selected", "tested", "reason", "n")]
    return frame.astype(dict.fromkeys(numbers, float))


def left_out(
    categories: Sequence[str], without: Mapping[str, Rises], whole: Rises | None, options: Options
) -> tuple[pd.DataFrame, dict[str, Estimate]]:
    """Each category under the circuit selected on all others, and under the one selected on all; and the means.

    Selectivity, harmful − near, nats per token; `share` is the first divided by the second.
    """
    select = lambda rises: rises[:, 0] - rises[:, 1]
    every, rows = np.full((2, len(categories)), np.nan), []
    for category, rises in without.items():
        mine = np.array([label == category for label in categories])
        every[0, mine] = select(rises)[mine]
        every[1, mine] = np.nan if whole is None else select(whole)[mine]
        own = {**options, "strata": None}
        values = {"left_out": every[0, mine], "included": every[1, mine], "difference": every[0, mine] - every[1, mine]}
        found = {name: mean_of_few(value, own) for name, value in values.items()}
        rows.append({"category": category, **{k: v for n, e in found.items() for k, v in ends(n, e).items()}, "n": mine.sum()})
    out, included = every
    means = {
        "left_out": across(out, categories, options),
        "left_out_difference": across(out - included, categories, options),
        "left_out_share": ratio_across(out, included, categories, options),
    }
    numbers = [f"{name}{end}" for name in ("left_out", "included", "difference") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["category", *numbers, "n"]).astype(dict.fromkeys(numbers, float)), means
