"""How far two sets of scores of the same components agree: correlations, tops that overlap, and Spearman and Brown's formula.

Scores lie on the last axis, [*draws, component]; positive and negative ones are told apart by their sign alone. Nothing here
has a unit except `slope` (that of the first scores over that of the second).
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from .estimate import Estimate, StatisticsError
from .intervals import MAX_UNDEFINED, MIN_TRIPLES

MIN_DRAWS = 39
"""The fewest draws from which a standard error is taken, as many as a 95 % percentile interval needs."""

_ONE = 1 - 1e-12  # beyond it Fisher's z has no finite value that means anything


def pearson(a: ArrayLike, b: ArrayLike) -> Float[np.ndarray, "*draws"]:
    """Pearson's correlation over the last axis, in [−1, 1]; nan where either side has no spread.

    >>> float(pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])), float(pearson([1.0, 2.0], [5.0, 5.0]))
    (1.0, nan)
    """
    x, y = _centred(a), _centred(b)
    product = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    correlation: Float[np.ndarray, "*draws"] = np.divide(
        (x * y).sum(-1), product, out=np.full(np.shape(product), np.nan), where=product > 0
    )
    return np.asarray(np.clip(correlation, -1, 1))


def spearman(a: ArrayLike, b: ArrayLike) -> Float[np.ndarray, "*draws"]:
    """Spearman's rank correlation over the last axis: Pearson's of the midranks.

    >>> float(spearman([1.0, 2.0, 9.0], [0.1, 0.2, 0.3]))
    1.0
    """
    return pearson(rankdata(np.asarray(a), axis=-1), rankdata(np.asarray(b), axis=-1))


def slope(a: ArrayLike, b: ArrayLike) -> Float[np.ndarray, "*draws"]:
    """The least-squares slope of `a` on `b` over the last axis; nan where `b` has no spread.

    >>> float(slope([1.0, 3.0, 5.0], [0.0, 1.0, 2.0]))
    2.0
    """
    x, y = _centred(a), _centred(b)
    square = (y * y).sum(-1)
    return np.asarray(np.divide((x * y).sum(-1), square, out=np.full(np.shape(square), np.nan), where=square > 0))


def top_overlap(a: ArrayLike, b: ArrayLike, k: int) -> Float[np.ndarray, "*draws"]:
    """|top k of a ∩ top k of b| / k over the last axis, from 0 to 1; two random choices of k among n share k/n on average.

    Raises:
        StatisticsError: k is not between 1 and the number of scores.

    >>> float(top_overlap([3.0, 2.0, 1.0, 0.0], [0.0, 2.0, 1.0, 3.0], 2))
    0.5
    """
    return np.asarray((_top(np.asarray(a), k) & _top(np.asarray(b), k)).sum(-1) / k)


def spearman_brown(reliability: float, times: float) -> float:
    """The reliability of a mean of `times` as many examples: m·r / (1 + (m − 1)·r); nan where r ≤ 0.

    It holds for Pearson's correlation between two independent means of equal size, and for ranks only nearly.

    Source: Spearman 1910; Brown 1910.

    >>> round(spearman_brown(0.5, 2), 3)
    0.667
    """
    return times * reliability / (1 + (times - 1) * reliability) if reliability > 0 else math.nan


def times_needed(reliability: float, target: float) -> float:
    """How many times as many examples bring `reliability` to `target`: R(1 − r) / (r(1 − R)); nan where r ≤ 0.

    Raises:
        StatisticsError: a target outside (0, 1).

    >>> round(times_needed(0.5, 0.9), 3)
    9.0
    """
    if not 0 < target < 1:
        raise StatisticsError(f"a target reliability lies between 0 and 1, not {target}")
    return target * (1 - reliability) / (reliability * (1 - target)) if reliability > 0 else math.nan


def standard_interval(
    observed: float, draws: ArrayLike, *, n: int, level: float = 0.95, scale: Literal["correlation", "plain"] = "plain"
) -> Estimate:
    """observed ± z · (standard deviation of its bootstrap draws); for a correlation on Fisher's scale, atanh r.

    For statistics of many means at once, whose draws lie to one side of the observed value: each draw adds noise of its own,
    so that a percentile interval would be that of noisier data and could exclude the value it belongs to. This one says how
    far the value would move with another sample of as many units.

    Returns:
        The value with its interval and `n`; without one below 3 units; missing, with the reason, where the value is
        undefined, or more than 5 % of the draws are.

    Raises:
        StatisticsError: fewer than 39 draws.

    Source: Efron and Tibshirani 1993, sections 12.6 and 13.2.

    >>> print(standard_interval(0.5, np.linspace(0.4, 0.6, 101), n=20))
    0.500 [0.385, 0.615] (n=20)
    """
    values = np.asarray(draws, dtype=np.float64)
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data: all scores of one side are equal")
    if n < MIN_TRIPLES:
        return Estimate(observed, n=n)
    if values.size < MIN_DRAWS:
        raise StatisticsError(f"a standard error needs at least {MIN_DRAWS} draws, not {values.size}")
    defined = values[np.isfinite(values)]
    if values.size - defined.size > MAX_UNDEFINED * values.size:
        return Estimate.missing(f"undefined in {values.size - defined.size} of {values.size} bootstrap draws")
    half = norm.isf((1 - level) / 2)
    if scale == "plain":
        return Estimate(observed, observed - half * defined.std(ddof=1), observed + half * defined.std(ddof=1), n)
    centre, spread = np.arctanh(np.clip(observed, -_ONE, _ONE)), np.arctanh(np.clip(defined, -_ONE, _ONE)).std(ddof=1)
    return Estimate(observed, np.tanh(centre - half * spread), np.tanh(centre + half * spread), n)


def _centred(values: ArrayLike) -> Float[np.ndarray, "*draws n"]:
    """Exactly 0 where all values are equal: rounding alone would leave a spread, and a correlation of it."""
    array = np.asarray(values, dtype=np.float64)
    centred: Float[np.ndarray, "*draws n"] = array - array.mean(-1, keepdims=True)
    return np.where(np.ptp(array, axis=-1, keepdims=True) == 0, 0.0, centred)


def _top(scores: Float[np.ndarray, "*draws n"], k: int) -> Bool[np.ndarray, "*draws n"]:
    n = scores.shape[-1]
    if not 1 <= k <= n:
        raise StatisticsError(f"the top k of {n} scores: k lies between 1 and {n}, not {k}")
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, np.argpartition(-scores, k - 1, axis=-1)[..., :k], True, axis=-1)
    return chosen
