"""AUROCs of scores that are paired within triples, their changes, and what can be said of them near 0 and 1."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from .estimate import Estimate, StatisticsError
from .intervals import MIN_TRIPLES, check_level, from_draws
from .ranks import auroc
from .resampling import resamples
from .strata import strata_codes

AT_BOUND = 0.025
"""Of the draws: where more are separated without an error, draws alone give intervals that are too short."""
_MATRIX = 2000
"""Triples up to which all pairs of an AUROC are kept as a matrix (32 MB)."""


def auroc_draws(
    positive: ArrayLike, negative: ArrayLike, *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None
) -> Float[np.ndarray, " draws"]:
    """The AUROC of `positive` against `negative`, both [triple], in each draw of `bootstrap_draws`, to the last bit.

    With c_i how often a draw took triple i and O_ij = 1 where positive i is above negative j (½ where they are equal), it is
    Σ_ij c_i O_ij c_j / n²: some twenty times faster than ranking each draw. `draws`, `seed`, `strata`: see `resamples`.

    Raises:
        StatisticsError: not one score of each kind a triple.

    >>> scores = np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.5, 1.0])
    >>> bool((auroc_draws(*scores, draws=9) == [auroc(*(side[row] for side in scores)) for row in resamples(3, draws=9)]).all())
    True
    """
    above, below = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    if above.ndim != 1 or above.shape != below.shape:
        raise StatisticsError(f"one score of each kind a triple, not shapes {list(above.shape)} and {list(below.shape)}")
    drawn, n = resamples(len(above), draws=draws, seed=seed, strata=strata), len(above)
    if n > _MATRIX:
        return np.asarray([auroc(above[row], below[row]) for row in drawn])
    if not (np.isfinite(above).all() and np.isfinite(below).all()):
        return np.full(draws, np.nan)
    taken = times_drawn(drawn)
    return auroc_of_counts(above, below, taken, taken)


def times_drawn(drawn: Int[np.ndarray, "draw n"]) -> Float[np.ndarray, "draw n"]:
    """Return how often each draw took each item.

    >>> times_drawn(np.array([[0, 0, 2]])).tolist()
    [[2.0, 0.0, 1.0]]
    """
    draws, n = drawn.shape
    return np.bincount((drawn + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n).reshape(draws, n).astype(float)


def auroc_of_counts(
    positive: Float[np.ndarray, " n"],
    negative: Float[np.ndarray, " m"],
    taken: Float[np.ndarray, "draw n"],
    others: Float[np.ndarray, "draw m"],
) -> Float[np.ndarray, " draw"]:
    """Return Σ_ij c_i O_ij d_j / (n m) of each draw, which took positive i c_i times and negative j d_j times."""
    order = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return np.asarray(((taken @ order) * others).sum(-1) / order.size)


def separated(value: float, n: int, *, level: float = 0.95) -> Estimate:
    """An AUROC of 1 or 0 with the interval of `auroc_estimate`: of a sample without an error."""
    bound = ((1 - level) / 2) ** (1 / (n // 2))
    low, high = (bound, 1.0) if value == 1 else (0.0, 1 - bound)
    return Estimate(value, low, high, n, level=level)


def one_auroc(
    areas: Float[np.ndarray, "1"], drawn: Float[np.ndarray, "1 draw"], *, n: int, strata: ArrayLike | None = None
) -> Estimate:
    """An AUROC with its interval from its draws; 1 and 0 with the interval of a sample without an error."""
    value = float(areas[0])
    return separated(value, n) if value in (0, 1) and n >= 2 else from_draws(value, drawn[0], n=n, strata=strata)


def auroc_estimate(
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    strata: ArrayLike | None = None,
) -> Estimate:
    """AUROC of `positive` against `negative`, both [triple], with its interval; bounded where it is 0 or 1.

    A sample that is separated without an error has no spread to draw from, and its bootstrap interval would be a point. The
    interval then runs from 1 to

        ((1 − level) / 2)^(1 / ⌊n/2⌋)

    (from 0 to 1 − that for an AUROC of 0): the AUROC at which ⌊n/2⌋ pairs, each of a positive and a negative of different
    triples and no triple in two pairs, are all in order with a probability of (1 − level)/2. It holds for any distribution.
    `draws`, `seed`, `level`, `strata`: see `bootstrap`.

    Returns:
        As `bootstrap`.

    Raises:
        StatisticsError: not one score of each kind a triple, or too few draws for the level.

    Source: Clopper and Pearson 1934, of no error in ⌊n/2⌋ independent pairs.

    >>> print(auroc_estimate([2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 0.0, 1.0]))
    1.000 [0.158, 1.000] (n=4)
    """
    above, below = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    n = above.size
    if n == 0:
        return Estimate.missing("no triples")
    lost = int((~np.isfinite(above)).sum() + (~np.isfinite(below)).sum())
    if lost:
        return Estimate.missing(f"undefined on the data: {lost} of its input values are not finite")
    found = auroc_draws(above, below, draws=draws, seed=seed, strata=strata)
    value = float(auroc(above, below))
    if value not in (0.0, 1.0) or n < MIN_TRIPLES:
        return from_draws(value, found, n=n, level=level, strata=strata)
    return separated(value, n, level=level)


def auroc_change(
    before: ArrayLike,
    after: ArrayLike,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    strata: ArrayLike | None = None,
) -> Estimate:
    """AUROC after − before, of the same triples, with an interval that holds near 1, too; negative where it fell.

    From intervals [l, u] of the two AUROCs A₁ (before) and A₂ and the correlation r of their bootstrap draws:

        low  = A₂ − A₁ − √((A₂ − l₂)² + (u₁ − A₁)² − 2 r (A₂ − l₂)(u₁ − A₁))
        high = A₂ − A₁ + √((u₂ − A₂)² + (A₁ − l₁)² − 2 r (u₂ − A₂)(A₁ − l₁))
        l, u = logit⁻¹(logit A ± t · SE / (A (1 − A))),   SE = √(n / (n − H)) · standard deviation of the draws

    with t of n − H degrees of freedom, H strata, and A drawn in to 1/(2n) from 0 and 1. An interval from the draws of the
    change itself is too short there: few pairs out of order are left to vary. Where no draw changes (an ablation that leaves
    all ranks as they are) and neither AUROC is 0 or 1, the interval is a point.

    Args:
        before: [triple, 2], the positive and the negative score of each triple.
        after: the same after a change.
        draws: see `bootstrap`.
        seed: see `bootstrap`.
        level: the interval's coverage.
        strata: see `bootstrap`.

    Returns:
        As `bootstrap`.

    Raises:
        StatisticsError: not two scores a triple both times, or too few draws for the level.

    Source: Zou and Donner 2008 (limits of a difference from limits of its parts); Pepe 2003, section 5.2 (logit).

    >>> scores = np.array([[2.0, 0.0], [3.0, 2.5], [1.0, 2.0], [2.0, 1.5]])
    >>> auroc_change(scores, 2 * scores + 1)
    Estimate(value=0.0, low=0.0, high=0.0, n=4, reason=None)
    """
    scores = [np.asarray(side, dtype=np.float64) for side in (before, after)]
    n = len(scores[0])
    if any(side.shape != (n, 2) for side in scores):
        raise StatisticsError(f"two scores a triple before and after, not shapes {[list(side.shape) for side in scores]}")
    if n == 0:
        return Estimate.missing("no triples")
    if not all(np.isfinite(side).all() for side in scores):
        lost = sum(int((~np.isfinite(side)).sum()) for side in scores)
        return Estimate.missing(f"undefined on the data: {lost} of its input values are not finite")
    drawn = np.stack([auroc_draws(*side.T, draws=draws, seed=seed, strata=strata) for side in scores])
    areas = np.array([float(auroc(*side.T)) for side in scores])
    if n < MIN_TRIPLES or _unchanged(areas, drawn):
        return from_draws(float(areas[1] - areas[0]), drawn[1] - drawn[0], n=n, level=level, strata=strata)
    return _difference(areas, drawn, n, level, strata)


Areas: TypeAlias = Float[np.ndarray, "2"]
Draws: TypeAlias = Float[np.ndarray, "2 draw"]


def change_of_aurocs(areas: Areas, drawn: Draws, *, n: int, strata: ArrayLike | None = None) -> Estimate:
    """A₂ − A₁ with an interval from the draws of both.

    It is that of the draws of the difference, and where one of the AUROCs is 0 or 1 in more than 2.5 % of the draws that of
    `auroc_change`.
    """
    if n < MIN_TRIPLES or not _near_bounds(areas, drawn):
        return from_draws(float(areas[1] - areas[0]), drawn[1] - drawn[0], n=n, strata=strata)
    return _difference(areas, drawn, n, 0.95, strata)


def _difference(areas: Areas, drawn: Draws, n: int, level: float, strata: ArrayLike | None) -> Estimate:
    (below_1, above_1), (below_2, above_2), r = _limits(areas, drawn, n, level, strata)
    apart = lambda one, other: float(np.sqrt(max(0.0, one**2 + other**2 - 2 * r * one * other)))
    change = float(areas[1] - areas[0])
    return Estimate(change, change - apart(below_2, above_1), change + apart(above_2, below_1), n, level=level)


def retained_signal(areas: Areas, drawn: Draws, *, n: int, strata: ArrayLike | None = None) -> Estimate:
    """R = (A₂ − ½) / (A₁ − ½), the share of the signal that is left, with an interval that holds near 1, too.

    Near 1, as in `change_of_aurocs`, the ends are the R at which the interval of A₂ − ½ − R (A₁ − ½), made of those of A₁ and
    A₂, begins or ends at 0; missing where the interval of A₁ reaches ½ (a share of no signal).

    Source: Donner and Zou 2012 (limits of a ratio from limits of its parts).
    """
    y, x = (float(area) - 0.5 for area in areas)
    if n < MIN_TRIPLES or not _near_bounds(areas, drawn):
        with np.errstate(divide="ignore", invalid="ignore"):
            return from_draws(np.divide(x, y), (drawn[1] - 0.5) / (drawn[0] - 0.5), n=n, strata=strata)
    (below_1, above_1), (below_2, above_2), r = _limits(areas, drawn, n, 0.95, strata)
    if y - below_1 <= 0:
        return Estimate.missing("the baseline's AUROC is not shown to be above chance, so that its signal has no share")

    def end(own: float, other: float, sign: int) -> float:
        cross = x * y - r * own * other
        root = np.sqrt(max(0.0, cross**2 - (y**2 - other**2) * (x**2 - own**2)))
        return float((cross + sign * root) / (y**2 - other**2))

    return Estimate(x / y, end(below_2, above_1, -1), end(above_2, below_1, 1), n)


def _near_bounds(areas: Areas, drawn: Draws) -> bool:
    """Whether one of the AUROCs is 0 or 1 in more draws than lie beyond an end of its interval."""
    return not _unchanged(areas, drawn) and bool((((drawn == 0) | (drawn == 1)).mean(-1) > AT_BOUND).any())


def _unchanged(areas: Areas, drawn: Draws) -> bool:
    """Whether no draw changes and neither AUROC is 0 or 1."""
    return bool(((areas > 0) & (areas < 1)).all() and np.ptp(drawn[1] - drawn[0]) == 0)


def _limits(
    areas: Areas, drawn: Draws, n: int, level: float, strata: ArrayLike | None
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """How far each AUROC may lie below and above its value, and the correlation of their draws."""
    check_level(level, drawn.shape[1])
    free = n - len(set(strata_codes(strata, n).tolist()))
    errors = drawn.std(-1, ddof=1) * np.sqrt(n / free)
    r = float(np.corrcoef(drawn)[0, 1]) if errors.min() > 0 else 0.0
    within = np.clip(areas, 1 / (2 * n), 1 - 1 / (2 * n))
    reach = stdtrit(free, (1 + level) / 2) * errors / (within * (1 - within))
    below = areas - np.minimum(expit(logit(within) - reach), areas)
    above = np.maximum(expit(logit(within) + reach), areas) - areas
    first, second = zip(below.tolist(), above.tolist(), strict=True)
    return first, second, r
