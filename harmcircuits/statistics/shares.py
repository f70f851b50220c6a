"""Shares of few things, all of which may be alike."""

from scipy.stats import binomtest

from .estimate import Estimate


def wilson(hits: int, n: int) -> Estimate:
    """hits / n with its 95 % Wilson score interval; missing where n is 0.

    Source: Wilson 1927. Unlike hits ± 1.96 errors it does not shrink to nothing at 0 and at n.

    >>> print(wilson(0, 20))
    0.000 [0.000, 0.161] (n=20)
    """
    if not n:
        return Estimate.missing("there is nothing to count")
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return Estimate(hits / n, float(interval.low), float(interval.high), n)
