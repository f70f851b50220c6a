"""The matrix of transfer: selected on A, tested on B, with what it is compared to; and its means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import Estimate, mean_estimate, ratio_of_means
from .rises import Rises

MEASURES = ("harmful", "near", "selectivity")
OWN = "the circuit of the same group"
FEWEST = 6
"""Triples from which on a mean has an interval: of 3, 4 and 5 it holds the true one in 76, 88 and 92 % (docs/statistics.md)."""
TOO_FEW = f"an interval of fewer than {FEWEST} triples is too short to go by"
Options = Mapping[str, Any]
Triples = Float[np.ndarray, " triple"]


def measured(rises: Rises, what: str) -> Triples:
    """The rise of a role, or "selectivity": that of harmful minus that of near responses."""
    harmful, near, _ = rises.T
    return np.asarray({"harmful": harmful, "near": near, "selectivity": harmful - near}[what])


@dataclass(frozen=True, eq=False)
class Transfer:
    """Rises of circuits, by the group that each was selected on.

    Attributes:
        rises: by group.
        groups: the group of each test triple; those without a circuit are left out of means.
        categories: the category of each test triple.
    """

    rises: Mapping[str, Rises]
    groups: Sequence[str]
    categories: Sequence[str]

    def diagonal(self) -> Triples:
        """Selectivity of each triple under the circuit of its own group; NaN where it has none."""
        return self._of_triples(own=True)

    def off_diagonal(self) -> Triples:
        """Of each triple, under the circuits of the other groups, their mean."""
        return self._of_triples(own=False)

    def _of_triples(self, *, own: bool) -> Triples:
        found = np.full(len(self.groups), np.nan)
        for at, group in enumerate(self.groups):
            if group in self.rises:
                used = [name for name in self.rises if (name == group) == own]
                values = [measured(self.rises[name], "selectivity")[at] for name in used]
                found[at] = np.mean(values) if used else np.nan
        return found

    def row(self, selected: str, rises: Rises, tested: str, options: Options) -> dict[str, Any]:
        """One cell: what `rises` are on the test triples of the group `tested`, nats per token, and their selectivity as a
        share of that of the group's own circuit."""
        mine = np.array([label == tested for label in self.groups])
        own = {**options, "strata": [label for label, kept in zip(self.categories, mine, strict=True) if kept]}
        row: dict[str, Any] = {"selected": selected, "tested": tested, "n": int(mine.sum())}
        for what in MEASURES:
            row |= ends(what, mean_of_few(measured(rises, what)[mine], own))
        share = Estimate.missing(TOO_FEW if tested in self.rises else f"{OWN} could not be selected")
        if tested in self.rises and row["n"] >= FEWEST:
            parts = (measured(one, "selectivity")[mine] for one in (rises, self.rises[tested]))
            share = ratio_of_means(*parts, **own)
        return row | ends("ratio", share) | {"reason": share.reason or ""}


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


def mean_of_few(values: Triples, options: Options) -> Estimate:
    """The mean with its interval over triples; without one for fewer than `FEWEST`, of which intervals are too short."""
    found = mean_estimate(values, **options)
    return Estimate(found.value, n=found.n) if 0 < found.n < FEWEST else found


def ends(name: str, estimate: Estimate) -> dict[str, float | None]:
    """A value and its interval as columns; null where it is missing."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def as_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of transfer; numbers are float64 also where a column holds none."""
    numbers = [f"{name}{end}" for name in (*MEASURES, "ratio") for end in ("", "_low", "_high")]
    frame = pd.DataFrame(list(rows), columns=["selected", "tested", "n", *numbers, "reason"])
    return frame.astype(dict.fromkeys(numbers, float))
