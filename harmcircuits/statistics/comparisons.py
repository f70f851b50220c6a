"""What is compared on the same triples: means, differences and ratios."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .estimate import Estimate
from .intervals import from_draws
from .resampling import Statistic, bootstrap, resamples

_AT_A_TIME = 2**23
"""Means in draws (64 MB)."""


def mean_estimate(values: ArrayLike, **options: Any) -> Estimate:
    """Mean of `values` [triple], with its interval. `options` are those of `bootstrap`.

    >>> round(mean_estimate([0.1, 0.2, 0.3]).value, 3)
    0.2
    """
    return bootstrap(lambda x: x.mean(-1), values, vectorised=True, **options)


def mean_estimates(values: Float[np.ndarray, "triple column"], *, draws: int = 2000, seed: int = 0) -> list[Estimate]:
    """`mean_estimate` of each column of `values`, up to rounding; all columns have the same draws, which are made once.

    Args:
        values: a column is one thing that was measured on every triple.
        draws, seed: see `resamples`.

    >>> [round(one.value, 3) for one in mean_estimates(np.array([[0.1, 1.0], [0.2, 1.0], [0.3, 1.0]]))]
    [0.2, 1.0]
    """
    n, width = values.shape
    if n == 0:
        return [Estimate.missing("no triples")] * width
    each = values.astype(np.float64)
    weights = np.stack([np.bincount(drawn, minlength=n) for drawn in resamples(n, draws=draws, seed=seed)]) / n
    step, found = max(1, _AT_A_TIME // draws), []
    for start in range(0, width, step):
        part = each[:, start : start + step]
        pairs = zip(part.mean(0), (weights @ part).T, strict=True)
        found += [from_draws(float(mean), own, n=n) for mean, own in pairs]
    return found


def paired_difference(a: ArrayLike, b: ArrayLike, **options: Any) -> Estimate:
    """Mean of a − b, both [triple], with its interval: positive where `a` is larger. `options`: those of `bootstrap`.

    >>> round(paired_difference([0.3, 0.5, 0.4], [0.1, 0.3, 0.2]).value, 3)
    0.2
    """
    return bootstrap(lambda x, y: (x - y).mean(-1), a, b, vectorised=True, **options)


def ratio(numerator: Statistic, denominator: Statistic, *arrays: ArrayLike, level: float = 0.95, **options: Any) -> Estimate:
    """numerator(*arrays) / denominator(*arrays), both from the same triples in every draw.

    `options` are those of `bootstrap`. Missing, with the reason, where the denominator's own interval includes 0 or
    cannot be estimated: the ratio then has no finite interval that means anything.

    >>> print(ratio(np.mean, np.mean, [1.0, -1.0, 2.0, -2.0]))
    — (the denominator's 95% interval [-2.000, 2.000] includes 0)
    """
    below = bootstrap(denominator, *arrays, level=level, **options)
    if below.is_missing:
        return Estimate.missing(f"the denominator is missing: {below.reason}")
    if below.low is None or below.high is None:
        return Estimate.missing("the denominator has no interval, so whether it differs from 0 cannot be told")
    if not below.excludes(0):
        interval = f"[{below.low:.3f}, {below.high:.3f}]"
        return Estimate.missing(f"the denominator's {100 * level:g}% interval {interval} includes 0")
    return bootstrap(lambda *x: np.divide(numerator(*x), denominator(*x)), *arrays, level=level, **options)


def ratio_of_means(a: ArrayLike, b: ArrayLike, **options: Any) -> Estimate:
    """mean(a) / mean(b), both [triple], with its interval; missing where the interval of mean(b) includes 0.

    `options` are those of `bootstrap`. See `ratio`.

    >>> ratio_of_means([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).value
    0.5
    """
    return ratio(lambda x, y: x.mean(-1), lambda x, y: y.mean(-1), a, b, vectorised=True, **options)
