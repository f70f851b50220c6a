"""From the draws of a bootstrap to the two ends of an interval."""

import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from .estimate import Estimate, StatisticsError
from .strata import strata_codes

FromDraws: TypeAlias = Literal["expanded", "percentile"]

MIN_TRIPLES = 3
"""With fewer, no interval is estimated: two triples give three different draws."""

MAX_UNDEFINED = 0.05
"""The share of draws in which a statistic may be undefined; beyond it, dropping them would choose the answer."""


def from_draws(
    observed: float,
    draws: ArrayLike,
    *,
    n: int,
    level: float = 0.95,
    method: FromDraws = "expanded",
    strata: ArrayLike | None = None,
) -> Estimate:
    """The interval of an observed statistic from its bootstrap draws.

    "percentile": from the (1 − level)/2 to the (1 + level)/2 quantile of the draws, as scipy takes it. "expanded": the same
    with the tail

        Φ(−√(n / (n − H)) · t_{(1 + level)/2, n − H})

    instead of (1 − level)/2, H the number of strata (1 without): a draw of n triples spreads less than a sample of n does, by
    the factor √((n − H)/n), and its spread is itself an estimate. Its q quantile of B draws is the one in place q · (B + 1): a
    further draw lies below that with probability q, however few draws there are.

    Undefined draws (nan, infinite) are dropped; the estimate is missing, with the reason, where more than 5 % are, or where the
    observed value is undefined itself. Fewer than 3 triples: the value without an interval.

    Args:
        observed: the statistic on the data.
        draws: the statistic in each draw.
        n: triples drawn from.
        level: the interval's coverage.
        method: see above.
        strata: as the draws were made with, one label a triple.

    Raises:
        StatisticsError: too few draws for the level (39 for 95 %: fewer have no 2.5 % tail), or a level outside (0, 1).

    Source: Efron and Tibshirani 1993, chapter 13; Davison and Hinkley 1997, section 2.4 (the place); Hesterberg 2015, section
    5.3 (expanded).

    >>> print(from_draws(0.5, np.linspace(0, 1, 101), n=20, method="percentile"))
    0.500 [0.025, 0.975] (n=20)
    """
    if method not in ("expanded", "percentile"):
        raise StatisticsError(f'draws alone give an interval that is "expanded" or "percentile", not {method!r}')
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data")
    if n < MIN_TRIPLES:
        return Estimate(observed, n=n)
    values = np.asarray(draws, dtype=np.float64)
    check_level(level, values.size)
    defined = values[np.isfinite(values)]
    if values.size - defined.size > MAX_UNDEFINED * values.size:
        return Estimate.missing(
            f"undefined in {values.size - defined.size} of {values.size} bootstrap draws, more than {MAX_UNDEFINED:.0%}"
        )
    if method == "percentile":
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    else:
        tail = _expanded_tail(n, level, strata)
        low, high = np.quantile(defined, [tail, 1 - tail], method="weibull")
    return Estimate(observed, low, high, n, level=level)


def _expanded_tail(n: int, level: float, strata: ArrayLike | None) -> float:
    free = n - len(set(strata_codes(strata, n).tolist()))
    return float(ndtr(-math.sqrt(n / free) * stdtrit(free, (1 + level) / 2)))


def check_level(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise StatisticsError(f"an interval's level lies between 0 and 1, not {level}")
    needed = math.ceil(2 / (1 - level) - 1e-6) - 1
    if draws < needed:
        raise StatisticsError(f"a {100 * level:g}% interval needs at least {needed} bootstrap draws, not {draws}")
