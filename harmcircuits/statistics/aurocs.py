"""AUROCs of scores that are paired within triples, their changes, and what can be said of them near 0 and 1.

    AUROC = Σ_ij c_i O_ij d_j / (n m),   O_ij = 1 where positive i scores above negative j, ½ where they are equal

with c_i and d_j how often a bootstrap draw took positive i and negative j: once each on the data. From 0 to 1, no unit; ½ is
chance; above ½ the positives score higher. Near 1 few pairs are left to vary, and draws alone give too short intervals:
there limits of a difference and of a ratio are made of the logit limits of both AUROCs (own code: no library has them).

Sources: Mann and Whitney 1947; Clopper and Pearson 1934 (no error in ⌊n/2⌋ independent pairs); Pepe 2003, section 5.2 (logit);
Zou and Donner 2008 (a difference); Donner and Zou 2012 (a ratio).
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from ..errors import HarmcircuitsError
from .bootstrap import LEAST_UNITS, free_units, from_draws
from .estimate import LEVEL, Estimate

AT_BOUND = 0.025
"""Of the draws: where more are separated without an error, draws alone give intervals that are too short."""
Areas: TypeAlias = Float[np.ndarray, "2"]
Draws: TypeAlias = Float[np.ndarray, "2 draw"]


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the probability that a positive scores above a negative, ties counting one half; nan where a score is nan.

    Raises:
        HarmcircuitsError: either side is empty or is no row of scores.

    >>> auroc([1, 2, 3], [0, 2])
    0.75
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (positive, negative)]
    if any(side.ndim != 1 or not side.size for side in sides):
        raise HarmcircuitsError(f"an AUROC needs scores of both kinds, not shapes {[list(side.shape) for side in sides]}")
    if not all(np.isfinite(side).all() for side in sides):
        return float("nan")
    ones = (np.ones((1, side.size)) for side in sides)
    return float(auroc_of_counts(*sides, *ones)[0])


def auroc_of_counts(
    positive: Float[np.ndarray, " n"],
    negative: Float[np.ndarray, " m"],
    taken: Float[np.ndarray, "draw n"],
    others: Float[np.ndarray, "draw m"],
) -> Float[np.ndarray, " draw"]:
    """Return the AUROC of each draw, which took positive i c_i (`taken`) times and negative j d_j (`others`) times."""
    order = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return np.asarray(((taken @ order) * others).sum(-1) / order.size)


def one_auroc(
    areas: Float[np.ndarray, "1"], drawn: Float[np.ndarray, "1 draw"], *, n: int, strata: ArrayLike | None = None
) -> Estimate:
    """Return an AUROC with its interval from its draws.

    A sample that is separated without an error has no spread to draw from. Its interval runs from 1 to 0.025^(1 / ⌊n/2⌋) (from
    0 to 1 − that for an AUROC of 0): the AUROC at which ⌊n/2⌋ pairs, no triple in two of them, are all in order with a
    probability of 0.025. It holds for any distribution.

    >>> print(one_auroc(np.array([1.0]), np.ones((1, 50)), n=4))
    1.000 [0.158, 1.000] (n=4)
    """
    value = float(areas[0])
    if value not in (0, 1) or n < 2:
        return from_draws(value, drawn[0], n=n, strata=strata)
    bound = ((1 - LEVEL) / 2) ** (1 / (n // 2))
    return Estimate(value, bound, 1.0, n) if value == 1 else Estimate(value, 0.0, 1 - bound, n)


def change_of_aurocs(areas: Areas, drawn: Draws, *, n: int, strata: ArrayLike | None = None) -> Estimate:
    """Return A₂ − A₁ with an interval from the draws of both.

    It is that of the draws of the difference. Where one of the AUROCs is 0 or 1 in more than 2.5 % of the draws, it is made of
    the limits [l, u] of both (`_limits`) and the correlation r of their draws:

        low  = A₂ − A₁ − √((A₂ − l₂)² + (u₁ − A₁)² − 2 r (A₂ − l₂)(u₁ − A₁))
        high = A₂ − A₁ + √((u₂ − A₂)² + (A₁ − l₁)² − 2 r (u₂ − A₂)(A₁ − l₁))
    """
    change = float(areas[1] - areas[0])
    if n < LEAST_UNITS or not _near_bounds(areas, drawn):
        return from_draws(change, drawn[1] - drawn[0], n=n, strata=strata)
    (below_1, above_1), (below_2, above_2), r = _limits(areas, drawn, n, strata)
    apart = lambda x, y: float(np.sqrt(max(0.0, x**2 + y**2 - 2 * r * x * y)))
    return Estimate(change, change - apart(below_2, above_1), change + apart(above_2, below_1), n)


def retained_signal(areas: Areas, drawn: Draws, *, n: int, strata: ArrayLike | None = None) -> Estimate:
    """Return R = (A₂ − ½) / (A₁ − ½), the share of the signal that is left, with its interval.

    Near 1, as in `change_of_aurocs`, the ends are the R at which the interval of A₂ − ½ − R (A₁ − ½), made of the limits of A₁
    and A₂, begins or ends at 0; missing where the interval of A₁ reaches ½ (a share of no signal).
    """
    y, x = (float(area) - 0.5 for area in areas)
    if n < LEAST_UNITS or not _near_bounds(areas, drawn):
        with np.errstate(divide="ignore", invalid="ignore"):
            return from_draws(np.divide(x, y), (drawn[1] - 0.5) / (drawn[0] - 0.5), n=n, strata=strata)
    (below_1, above_1), (below_2, above_2), r = _limits(areas, drawn, n, strata)
    if y - below_1 <= 0:
        return Estimate.missing("the baseline's AUROC is not shown to be above chance, so that its signal has no share")

    def end(of_x: float, of_y: float, sign: int) -> float:
        cross = x * y - r * of_x * of_y
        root = np.sqrt(max(0.0, cross**2 - (y**2 - of_y**2) * (x**2 - of_x**2)))
        return float((cross + sign * root) / (y**2 - of_y**2))

    return Estimate(x / y, end(below_2, above_1, -1), end(above_2, below_1, 1), n)


def _near_bounds(areas: Areas, drawn: Draws) -> bool:
    """Whether one of the AUROCs is 0 or 1 in more draws than lie beyond an end of its interval.

    Where no draw changes and neither AUROC is 0 or 1 (an ablation that leaves all ranks as they are), the interval is a point.
    """
    unchanged = bool(((areas > 0) & (areas < 1)).all() and np.ptp(drawn[1] - drawn[0]) == 0)
    return not unchanged and bool((((drawn == 0) | (drawn == 1)).mean(-1) > AT_BOUND).any())


def _limits(
    areas: Areas, drawn: Draws, n: int, strata: ArrayLike | None
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return how far each AUROC may lie below and above its value, and the correlation of their draws.

    l, u = logit⁻¹(logit A ± t · SE / (A (1 − A))), SE = √(n / (n − H)) · standard deviation of the draws, t of n − H degrees of
    freedom, H strata, and A drawn in to 1/(2n) from 0 and 1.
    """
    free = free_units(n, strata)
    errors = drawn.std(-1, ddof=1) * np.sqrt(n / free)
    r = float(np.corrcoef(drawn)[0, 1]) if errors.min() > 0 else 0.0
    within = np.clip(areas, 1 / (2 * n), 1 - 1 / (2 * n))
    reach = stdtrit(free, (1 + LEVEL) / 2) * errors / (within * (1 - within))
    below = areas - np.minimum(expit(logit(within) - reach), areas)
    above = np.maximum(expit(logit(within) + reach), areas) - areas
    before, after = zip(below.tolist(), above.tolist(), strict=True)
    return before, after, r
