"""How small an effect so many triples can show, and how many triples an effect needs."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.optimize import brentq

from .estimate import StatisticsError
from .ranks import auroc_se

_MAX_N = 10**9
_NODES = (np.arange(4096) + 0.5) / 4096


def detectable(sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true mean of paired differences that a t test over `n` triples shows with probability `power`.

    Solves P(|T| > t_{1−α/2, n−1}) = power for δ, where T is noncentral t with n − 1
    degrees of freedom and noncentrality δ √n / sd. For large n: δ = (z_{1−α/2} + z_power) sd / √n. A percentile
    bootstrap interval is narrower than the t test's by the factor √((n − 1)/n) · z / t: 0.93 at n = 24, 0.97 at 60.

    Args:
        sd: standard deviation of the per-triple differences (√n × the bootstrap standard error, for any statistic).
        n: triples, at least 2.

    Returns:
        The difference, positive, in the unit of `sd`.

    >>> round(detectable(1.0, 34), 2)
    0.5
    """
    _check(power, alpha, sd)
    if n < 2:
        raise StatisticsError(f"a paired test needs at least 2 triples, not {n}")
    if sd == 0:
        return 0.0

    def gap(shift: float) -> float:
        return _t_power(shift, n, alpha) - power

    upper = 1.0
    while gap(upper) < 0:
        upper *= 2
    return float(brentq(gap, 0.0, upper)) * sd / math.sqrt(n)


def n_for_equivalence(sd: float, margin: float, *, difference: float = 0.0, power: float = 0.8, alpha: float = 0.05) -> int:
    """The fewest triples with which two one-sided t tests show equivalence within ± `margin` with probability `power`.

    With S the estimated standard deviation (S² (n − 1) / sd² is χ² with n − 1 degrees of freedom), θ the true
    difference and t = t_{1−α, n−1} (each test at `alpha`), the power is

        E_S [ Φ((margin − θ) √n / sd − t S / sd) + Φ((margin + θ) √n / sd − t S / sd) − 1 ]₊

    For θ = 0 and large n: n = ((z_{1−α} + z_{(1+power)/2}) sd / margin)².

    Args:
        sd: standard deviation of the per-triple differences. For a statistic that is no mean (a difference of AUROCs):
            √n × the standard deviation of its bootstrap draws over n triples.
        margin: the equivalence margin, in the unit of `sd`.
        difference: θ, the true difference supposed; 0 is the most hopeful.

    Raises:
        StatisticsError: the supposed difference is not within the margin, or more than 10⁹ triples would be needed.

    Source: Schuirmann 1987; Phillips 1990.

    >>> n_for_equivalence(0.2, 0.05)
    139
    """
    _check(power, alpha, sd)
    if not abs(difference) < margin < math.inf:
        raise StatisticsError(f"a difference of {difference} is not within ± {margin}: no n shows equivalence")
    if sd == 0:
        return 2

    def enough(n: int) -> bool:
        spread, t = _spread(n), stats.t.ppf(1 - alpha, n - 1)
        above, below = ((margin + sign * difference) * math.sqrt(n) / sd - t * spread for sign in (-1, 1))
        inside = stats.norm.cdf(above) + stats.norm.cdf(below) - 1
        return bool(np.maximum(inside, 0).mean() >= power)

    return _fewest(enough, f"a margin of {margin:.2g} at a standard deviation of {sd:.2g}")


def detectable_auroc(
    n: int,
    *,
    auroc: float = 0.7,
    correlation: float = 0.5,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """The smallest true change of an AUROC over `n` triples, scored twice, that shows with probability `power`.

        δ = (z_{1−α/2} + z_power) · SE · √(2 (1 − r))

    with SE Hanley and McNeil's at `auroc` for n positives and n negatives, the same for both scorings, and r the
    correlation of the two AUROC estimates, which comes from scoring the same triples before and after.

    Raises:
        StatisticsError: a correlation outside [−1, 1), or see `auroc_se`.

    Source: Hanley and McNeil 1983.

    >>> round(detectable_auroc(96), 3)
    0.105
    """
    _check(power, alpha, 0.0)
    if not -1 <= correlation < 1:
        raise StatisticsError(f"the correlation of two AUROCs lies in [-1, 1), not {correlation}")
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    return float(z) * auroc_se(auroc, n, n) * math.sqrt(2 * (1 - correlation))


def _t_power(shift: float, n: int, alpha: float) -> float:
    """P(T in the rejection region), T noncentral t, as the mean over the estimated spread of a normal tail.

    scipy.stats.nct has nan in its far tail, which the search passes through; this has not.
    """
    spread = _spread(n)
    t = stats.t.ppf(1 - alpha / 2, n - 1)
    return float((stats.norm.cdf(shift - t * spread) + stats.norm.cdf(-shift - t * spread)).mean())


@lru_cache(maxsize=512)
def _spread(n: int) -> Float[np.ndarray, " node"]:
    """Equally likely values of S / sd, S the standard deviation estimated from n normal values."""
    return np.sqrt(stats.chi2.ppf(_NODES, n - 1) / (n - 1))


def _fewest(enough: Callable[[int], bool], wanted: str) -> int:
    """The smallest n >= 2 that is enough; `enough` stays true once it is."""
    high = 2
    while not enough(high):
        high *= 2
        if high > _MAX_N:
            raise StatisticsError(f"{wanted} needs more than 10⁹ triples")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check(power: float, alpha: float, sd: float) -> None:
    if not 0 < alpha < power < 1:
        raise StatisticsError(f"needs 0 < alpha < power < 1, not alpha={alpha}, power={power}")
    if not 0 <= sd < math.inf:
        raise StatisticsError(f"a standard deviation is finite and not negative, not {sd}")
