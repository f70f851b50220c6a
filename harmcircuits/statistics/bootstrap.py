"""Bootstrap intervals over triples (or requests, or examples): the expanded percentile interval, drawn within strata.

    tail = Φ(−√(n / (n − H)) · t_{(1 + level)/2, n − H})

in the place of (1 − level)/2, with H the number of strata: a draw of n units spreads less than a sample of n does, by
√((n − H)/n), and its spread is itself an estimate. Own code: scipy's bootstrap does not draw within strata, where percentiles
are too short (`tests/test_statistics.py`). A draw takes whole triples, and the same seed the same ones for every statistic.

Sources: Efron and Tibshirani 1993, chapter 13; Davison and Hinkley 1997, section 2.4; Hesterberg 2015, section 5.3 (expanded).
"""

import math

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from .estimate import LEVEL, Estimate, StatisticsError

LEAST_UNITS = 3
"""With fewer units no interval is estimated, and strata of fewer are put together."""
MAX_UNDEFINED = 0.05
"""The share of draws in which a statistic may be undefined; beyond it, dropping them would choose the answer."""
CHUNK = 2**23
"""Numbers held at a time (64 MB)."""


def strata_codes(strata: ArrayLike | None, n: int) -> Int[np.ndarray, " n"]:
    """Return the stratum of each of `n` units as a number 0, 1, …; None: all in one.

    A stratum of one unit does not vary from draw to draw, as if its value were known without error: strata of fewer than 3
    units are put together, and where these are fewer than 3 in all, they join the smallest other.

    Raises:
        StatisticsError: not one label a unit.

    >>> strata_codes(["a", "b", "a", "b", "a", "b", "c"], 7).tolist()
    [0, 1, 0, 1, 0, 1, 0]
    """
    if strata is None:
        return np.zeros(n, dtype=np.int64)
    labels = [str(label) for label in np.asarray(strata, dtype=object).ravel()]
    if len(labels) != n:
        raise StatisticsError(f"strata are one label a unit: {n} units have {len(labels)} labels")
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    counts = np.bincount(codes)
    small = np.flatnonzero(counts < LEAST_UNITS)
    if len(small) < len(counts) and 0 < counts[small].sum() < LEAST_UNITS:
        small = np.append(small, np.where(counts < LEAST_UNITS, n + 1, counts).argmin())
    codes[np.isin(codes, small)] = small.min() if len(small) else 0
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def resamples(n: int, *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None) -> Int[np.ndarray, "draw n"]:
    """Return the indices of the units in each bootstrap draw: `n` units with replacement.

    Args:
        strata: one label a unit (its category): as many are drawn from each stratum as it has.

    Raises:
        StatisticsError: no unit, no draw, or not one label a unit.

    >>> bool((resamples(8, draws=9, strata=["a"] * 4 + ["b"] * 4)[:, :4] < 4).all())
    True
    """
    if n < 1 or draws < 1:
        raise StatisticsError(f"resampling needs at least one unit and one draw, not n={n}, draws={draws}")
    generator = np.random.default_rng(seed)
    if strata is None:
        return generator.integers(n, size=(draws, n))
    codes = strata_codes(strata, n)
    indices = np.empty((draws, n), dtype=np.int64)
    for code in range(codes.max() + 1):
        members = np.flatnonzero(codes == code)
        indices[:, members] = members[generator.integers(len(members), size=(draws, len(members)))]
    return indices


def from_draws(observed: float, draws: ArrayLike, *, n: int, level: float = LEVEL, strata: ArrayLike | None = None) -> Estimate:
    """Return an observed statistic with the expanded percentile interval of its bootstrap draws.

    Undefined draws (nan, infinite) are dropped. The estimate is missing, with the reason, where more than 5 % are, or where
    the observed value is undefined itself. Of fewer than 3 units it is the value without an interval.

    Args:
        n: units drawn from.
        strata: as the draws were made with, one label a unit.

    Raises:
        StatisticsError: too few draws for the level (39 for 95 %: fewer have no 2.5 % tail), or a level outside (0, 1).

    >>> print(from_draws(0.5, np.linspace(0, 1, 101), n=1000))
    0.500 [0.015, 0.985] (n=1000)
    """
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data")
    if n < LEAST_UNITS:
        return Estimate(observed, n=n)
    values = np.asarray(draws, dtype=np.float64)
    check_level(level, values.size)
    defined = values[np.isfinite(values)]
    undefined = values.size - defined.size
    if undefined > MAX_UNDEFINED * values.size:
        return Estimate.missing(f"undefined in {undefined} of {values.size} bootstrap draws, more than {MAX_UNDEFINED:.0%}")
    free = free_units(n, strata)
    tail = float(ndtr(-math.sqrt(n / free) * stdtrit(free, (1 + level) / 2)))
    low, high = np.quantile(defined, [tail, 1 - tail], method="weibull")
    return Estimate(observed, low, high, n, level=level)


def free_units(n: int, strata: ArrayLike | None) -> int:
    """Degrees of freedom: units − strata."""
    return n - len(set(strata_codes(strata, n).tolist()))


def check_level(level: float, draws: int) -> None:
    """Raise StatisticsError where the draws have no tail of (1 − level)/2."""
    if not 0 < level < 1:
        raise StatisticsError(f"an interval's level lies between 0 and 1, not {level}")
    needed = math.ceil(2 / (1 - level) - 1e-6) - 1
    if draws < needed:
        raise StatisticsError(f"a {100 * level:g}% interval needs at least {needed} bootstrap draws, not {draws}")


def mean_estimates(
    values: Float[np.ndarray, "unit column"], *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None
) -> list[Estimate]:
    """Return the mean of each column with its interval; all columns have the same draws.

    >>> [round(mean.value, 3) for mean in mean_estimates(np.array([[0.1, 1.0], [0.2, 1.0], [0.3, 1.0]]))]
    [0.2, 1.0]
    """
    n, width = values.shape
    if n == 0:
        return [Estimate.missing("no units")] * width
    columns = values.astype(np.float64)
    weights = np.stack([np.bincount(row, minlength=n) for row in resamples(n, draws=draws, seed=seed, strata=strata)]) / n
    step, means = max(1, CHUNK // draws), []
    for start in range(0, width, step):
        part = columns[:, start : start + step]
        with np.errstate(invalid="ignore"):
            means += [
                from_draws(float(mean), column, n=n, strata=strata)
                for mean, column in zip(part.mean(0), (weights @ part).T, strict=True)
            ]
    return means


def mean_estimate(
    values: Float[np.ndarray, " unit"], *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None
) -> Estimate:
    """Return the mean with its interval.

    >>> round(mean_estimate([0.1, 0.2, 0.3]).value, 3)
    0.2
    """
    return mean_estimates(np.asarray(values)[:, None], draws=draws, seed=seed, strata=strata)[0]
