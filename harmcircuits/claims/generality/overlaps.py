"""Whether the circuits of two groups share more with each other than with the circuits of each other's near twins."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...components import Circuit
from ...models.protocol import geometry
from ...statistics import Estimate, fdr_named, p_value
from ..material import Material
from .plan import Aim, Plan, scores_on, sizes
from .swaps import swapped_overlaps

Found = Mapping[tuple[Aim, str], Circuit]
"""By aim and group."""
Pair = tuple[str, str]


def excess(found: Found, one: str, other: str) -> float:
    """J(A, B) − ½ (J(A, twins of B) + J(B, twins of A)), Jaccard indices; NaN where a circuit is missing.

    A and B are the circuits of two groups; their twins' are those of the same recipe aimed at near twins. Positive: they share
    more than topic, form and prefill alone explain.
    """
    aims: tuple[Aim, ...] = ("harmful", "near")
    needed = [(aim, group) for aim in aims for group in (one, other)]
    if not all(name in found for name in needed):
        return float("nan")
    a, b, twin_a, twin_b = (found[name] for name in needed)
    return a.jaccard(b) - (a.jaccard(twin_b) + b.jaccard(twin_a)) / 2


def overlaps(material: Material, plan: Plan, found: Found, *, swaps: int) -> tuple[pd.DataFrame, Estimate, Estimate]:
    """One row a pair of groups; and the mean excess with its p value.

    p: of the excess against `swaps` draws of the label-swap null, one-sided, adjusted over the pairs.
    `null_low` and `null_high` are the middle 95 % of those draws.
    """
    pairs = list(combinations(plan.groups, 2))
    null = _null(material, plan, pairs, swaps)
    observed = np.array([excess(found, *pair) for pair in pairs])
    rows = [_row(material, found, pair, null[:, at]) for at, pair in enumerate(pairs)]
    tests = [p_value(observed[at], null[:, at]).value for at in range(len(pairs))]
    p = pd.Series(tests, dtype=float)
    frame = pd.DataFrame(rows).assign(excess=observed, p_value=p, p_adjusted=fdr_named(p))
    frame = frame.astype({name: float for name in frame if name not in ("one", "other")})
    if not np.isfinite(observed).all():
        missing = Estimate.missing("a group's circuit, or its twins', could not be selected")
        return frame, missing, missing
    mean = float(observed.mean())
    return frame, Estimate(mean, n=len(material.training_categories)), p_value(mean, null.mean(1))


def _null(material: Material, plan: Plan, pairs: Sequence[Pair], swaps: int) -> Float[np.ndarray, "draw pair"]:
    """The excess of every pair in every draw of `swapped_overlaps`; nan, which `p_value` counts as reaching the observed value,
    where a circuit cannot be selected."""
    groups, settings = [scores_on(material, plan, group) for group in plan.groups], material.settings
    how: dict[str, Any] = {"sizes": sizes(material), "protect": settings.protect, "draws": swaps, "seed": settings.seed}
    overlap, n = swapped_overlaps(groups, **how), len(groups)
    place = {group: at for at, group in enumerate(plan.groups)}
    columns = []
    for a, b in [(place[one], place[other]) for one, other in pairs]:
        columns.append(overlap[:, a, b] - (overlap[:, a, n + b] + overlap[:, b, n + a]) / 2)
    return np.stack(columns, 1)


def _row(material: Material, found: Found, pair: Pair, null: Float[np.ndarray, " draw"]) -> dict[str, object]:
    one, other = pair
    jaccard = lambda a, b: found[a].jaccard(found[b]) if a in found and b in found else float("nan")
    twins = jaccard(("harmful", one), ("near", other)), jaccard(("harmful", other), ("near", one))
    drawn = null[np.isfinite(null)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return {
        "one": one,
        "other": other,
        "jaccard": jaccard(("harmful", one), ("harmful", other)),
        "with_twins": sum(twins) / 2,
        "random": random_jaccard(material),
        "null_low": low,
        "null_high": high,
    }


def random_jaccard(material: Material) -> float:
    """What two random circuits of these counts have in common on average, Σ k²/n, divided by what is then in either of them."""
    shape, count = geometry(material.model), sizes(material)
    both = count["heads"] ** 2 / (shape.n_layers * shape.n_heads) + count["neurons"] ** 2 / shape.n_neurons
    return both / (2 * sum(count.values()) - both)
