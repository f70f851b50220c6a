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

OTHER: dict[Aim, Aim] = {"harmful": "near", "near": "harmful"}
Found = Mapping[tuple[Aim, str], Circuit]
"""By aim and group."""
Pair = tuple[str, str]


def excess(found: Found, aim: Aim, one: str, other: str) -> float:
    """J(A, B) − ½ (J(A, twins of B) + J(B, twins of A)), Jaccard indices; NaN where a circuit is missing.

    A and B are the circuits of two groups with the same aim. Their twins' are those of the same recipe aimed at near twins
    (for `aim` near: at harmful requests). Positive: they share more than topic, form and prefill alone explain.
    """
    across = OTHER[aim]
    needed = [(kind, group) for kind in (aim, across) for group in (one, other)]
    if not all(name in found for name in needed):
        return float("nan")
    a, b, twin_a, twin_b = (found[name] for name in needed)
    return a.jaccard(b) - (a.jaccard(twin_b) + b.jaccard(twin_a)) / 2


def overlaps(
    material: Material, plan: Plan, found: Found, *, swaps: int
) -> tuple[pd.DataFrame, dict[Aim, tuple[Estimate, Estimate]]]:
    """One row an aim and pair of groups; and for each aim the mean excess with its p value.

    p: of the excess against `swaps` draws of the label-swap null, one-sided, adjusted over the pairs of an aim.
    `null_low` and `null_high` are the middle 95 % of those draws.
    """
    pairs = list(combinations(plan.groups, 2))
    null = _null(material, plan, pairs, swaps)
    frames, means = [], {}
    for aim in OTHER:
        observed = np.array([excess(found, aim, *pair) for pair in pairs])
        rows = [_row(material, found, aim, pair, null[aim][:, at]) for at, pair in enumerate(pairs)]
        tests = [p_value(observed[at], null[aim][:, at]).value for at in range(len(pairs))]
        p = pd.Series(tests, dtype=float)
        frames.append(pd.DataFrame(rows).assign(excess=observed, p_value=p, p_adjusted=fdr_named(p)))
        means[aim] = _mean(observed, null[aim], len(material.training_categories))
    frame = pd.concat(frames, ignore_index=True)
    return frame.astype({name: float for name in frame if name not in ("aim", "one", "other", "draws")}), means


def _mean(observed: Float[np.ndarray, " pair"], null: Float[np.ndarray, "draw pair"], n: int) -> tuple[Estimate, Estimate]:
    if not np.isfinite(observed).all():
        missing = Estimate.missing("a group's circuit, or its twins', could not be selected")
        return missing, missing
    return Estimate(float(observed.mean()), n=n), p_value(float(observed.mean()), null.mean(1))


def _null(material: Material, plan: Plan, pairs: Sequence[Pair], swaps: int) -> dict[Aim, Float[np.ndarray, "draw pair"]]:
    """The excess of every pair in every draw of `swapped_overlaps`; nan, which `p_value` counts as reaching the observed value,
    where a circuit cannot be selected."""
    groups, settings = [scores_on(material, plan.own(group)) for group in plan.groups], material.settings
    how: dict[str, Any] = {"sizes": sizes(material), "protect": settings.protect, "draws": swaps, "seed": settings.seed}
    overlap = swapped_overlaps(groups, **how)
    n, place = len(groups), {group: at for at, group in enumerate(plan.groups)}
    null: dict[Aim, Float[np.ndarray, "draw pair"]] = {}
    places: list[tuple[Aim, int, int]] = [("harmful", 0, n), ("near", n, 0)]
    for aim, own, twin in places:
        columns = []
        for a, b in [(place[one], place[other]) for one, other in pairs]:
            across = (overlap[:, own + a, twin + b] + overlap[:, own + b, twin + a]) / 2
            columns.append(overlap[:, own + a, own + b] - across)
        null[aim] = np.stack(columns, 1)
    return null


def _row(material: Material, found: Found, aim: Aim, pair: Pair, null: Float[np.ndarray, " draw"]) -> dict[str, object]:
    one, other = pair
    jaccard = lambda a, b: found[a].jaccard(found[b]) if a in found and b in found else float("nan")
    twins = jaccard((aim, one), (OTHER[aim], other)), jaccard((aim, other), (OTHER[aim], one))
    drawn = null[np.isfinite(null)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return {
        "aim": aim,
        "one": one,
        "other": other,
        "jaccard": jaccard((aim, one), (aim, other)),
        "with_twins": sum(twins) / 2,
        "random": random_jaccard(material),
        "null_low": low,
        "null_high": high,
        "draws": len(null),
    }


def random_jaccard(material: Material) -> float:
    """What two random circuits of these counts have in common on average, Σ k²/n, divided by what is then in either of them."""
    shape, count = geometry(material.model), sizes(material)
    both = count["heads"] ** 2 / (shape.n_layers * shape.n_heads) + count["neurons"] ** 2 / shape.n_neurons
    return both / (2 * sum(count.values()) - both)
