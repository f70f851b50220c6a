"""The same tokens, two readouts: how much less likely each response became, and whether it is still recognised.

For the harmful and the near response of each triple, under one condition: r = L ablated − L intact (nats per token; positive:
it became less likely), and s, the primary reading of recognition after those very tokens (positive: "harmful").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ...statistics import (
    Equivalence,
    Estimate,
    auroc_change,
    auroc_estimate,
    bootstrap_draws,
    equivalent_within,
    mean_estimate,
    spearman,
    standard_interval,
)

HARMFUL, NEAR = 0, 1
Pair = Float[np.ndarray, "triple 2"]
"""Harmful, near."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SameTokens:
    """One condition. AUROCs are of harmful against near; a change is ablated − intact of the same triples, negative: it fell.

    Attributes:
        upper: the triples whose harmful response is hurt most: `upper_half` of the harmful rise.
        rise: mean harmful rise in the upper half, nats per token.
        intact, ablated: AUROC in the upper half.
        change: its change, with a 95 % interval.
        kept: the change against the margin.
        change_all: of all triples.
        coupling: Spearman's correlation over all triples of the harmful rise with the fall of recognition,
            (s_harmful − s_near) intact − ablated. Positive: what is written less is recognised less.
    """

    upper: Bool[np.ndarray, " triple"]
    rise: Estimate
    intact: Estimate
    ablated: Estimate
    change: Estimate
    kept: Equivalence
    change_all: Estimate
    coupling: Estimate


def upper_half(rise: Float[np.ndarray, " triple"]) -> Bool[np.ndarray, " triple"]:
    """The half of the triples with the largest rise, the larger half of an odd number; of equal ones the first.

    >>> upper_half(np.array([0.1, 0.4, 0.2])).tolist()
    [False, True, True]
    """
    chosen = np.zeros(len(rise), dtype=bool)
    chosen[np.argsort(-rise, kind="stable")[: ceil(len(rise) / 2)]] = True
    return chosen


def fall(before: Pair, after: Pair) -> Float[np.ndarray, " triple"]:
    """d = (s_harmful − s_near) intact − ablated; positive: harm stands out less."""
    apart = lambda scores: scores[:, HARMFUL] - scores[:, NEAR]
    return np.asarray(apart(before) - apart(after))


def same_tokens(
    rise: Float[np.ndarray, " triple"],
    before: Pair,
    after: Pair,
    *,
    margin: float,
    level: float = 0.95,
    strata: Sequence[str] | None = None,
    **options: Any,
) -> SameTokens:
    """What became of the recognition of the responses that the condition hurts most.

    The half is chosen by L alone. L and recognition are two readouts of a model that computes without chance, so that a triple
    is not among the upper half because its score happened to be read low; and the intact AUROC is taken on the same triples.

    Args:
        rise: of the harmful responses, nats per token.
        before: s of the intact model.
        after: s under the condition.
        margin: of equivalence, AUROC.
        level: 1 − level is the size of each of its two one-sided tests.
        strata: the category of each triple.
        options: `draws` and `seed` of `statistics.bootstrap`.
    """
    upper = upper_half(rise)
    own = own_options(upper, strata, options)
    how = options | {"strata": strata}
    pairs = before[upper], after[upper]
    narrow = auroc_change(*pairs, level=2 * level - 1, **own)
    return SameTokens(
        upper=upper,
        rise=mean_estimate(rise[upper], **own),
        intact=auroc_estimate(*pairs[0].T, **own),
        ablated=auroc_estimate(*pairs[1].T, **own),
        change=auroc_change(*pairs, **own),
        kept=equivalent_within(narrow, margin=margin, level=level),
        change_all=auroc_change(before, after, **how),
        coupling=coupling(rise, fall(before, after), **how),
    )


def own_options(chosen: Bool[np.ndarray, " triple"], strata: Sequence[str] | None, options: dict[str, Any]) -> dict[str, Any]:
    """The bootstrap's options for some of the triples."""
    return options | {"strata": None if strata is None else [one for one, own in zip(strata, chosen, strict=True) if own]}


def coupling(rise: Float[np.ndarray, " triple"], fallen: Float[np.ndarray, " triple"], **options: Any) -> Estimate:
    """Spearman's correlation with a 95 % interval; missing where one of the two does not vary.

    >>> coupling(np.arange(6.0), np.arange(6.0) ** 3, draws=99).value
    1.0
    """
    if not len(rise):
        return Estimate.missing("no triples")
    if np.ptp(rise) == 0 or np.ptp(fallen) == 0:
        return Estimate.missing("either the rise or the fall of recognition is the same on all triples")
    drawn = bootstrap_draws(spearman, rise, fallen, vectorised=True, **options)
    return standard_interval(float(spearman(rise, fallen)), drawn, n=len(rise), scale="correlation")
