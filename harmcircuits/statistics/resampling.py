"""Bootstrap intervals over triples: a draw takes whole triples, and the same seed the same ones for every statistic."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.stats
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from .estimate import Estimate, StatisticsError

Statistic: TypeAlias = Callable[..., Any]
Method: TypeAlias = Literal["percentile", "BCa"]

MIN_TRIPLES = 3
"""With fewer, no interval is estimated: two triples give three different draws."""

MAX_UNDEFINED = 0.05
"""The share of draws in which a statistic may be undefined; beyond it, dropping them would choose the answer."""

_CHUNK = 2**24
"""Numbers gathered at a time by a vectorised statistic (128 MB)."""


def resamples(n: int, *, draws: int = 2000, seed: int = 0) -> Int[np.ndarray, "draws n"]:
    """Indices of the triples in each bootstrap draw: `n` triples with replacement, from a seed.

    >>> resamples(3, draws=2).shape
    (2, 3)
    """
    if n < 1 or draws < 1:
        raise StatisticsError(f"resampling needs at least one triple and one draw, not n={n}, draws={draws}")
    return np.random.default_rng(seed).integers(n, size=(draws, n))


def bootstrap_draws(
    statistic: Statistic, *arrays: ArrayLike, draws: int = 2000, seed: int = 0, vectorised: bool = False
) -> Float[np.ndarray, " draws"]:
    """`statistic(*arrays)` in each bootstrap draw; nan where it is undefined there.

    Args:
        statistic: called once a draw on the arrays indexed by it, each [n, …], and returns a number; with `vectorised`,
            called on arrays [some draws, n, …] and returns one number a draw.
        arrays: each has the triples on axis 0.

    Raises:
        StatisticsError: no array, arrays of unequal length, or a statistic that returns another shape.

    >>> bootstrap_draws(np.mean, np.ones(5), draws=3).tolist()
    [1.0, 1.0, 1.0]
    """
    data = _by_triple(arrays)
    return _evaluate(statistic, data, resamples(len(data[0]), draws=draws, seed=seed), vectorised)


def from_draws(observed: float, draws: ArrayLike, *, n: int, level: float = 0.95) -> Estimate:
    """The percentile interval of an observed statistic from its bootstrap draws.

    The interval runs from the (1 − level)/2 to the (1 + level)/2 quantile of the draws. Undefined draws (nan, infinite)
    are dropped; the estimate is missing, with the reason, where more than 5 % are, or where the observed value is
    undefined itself. Fewer than 3 triples: the value without an interval.

    Raises:
        StatisticsError: too few draws for the level (39 for 95 %: fewer have no 2.5 % tail), or a level outside (0, 1).

    >>> print(from_draws(0.5, np.linspace(0, 1, 101), n=20))
    0.500 [0.025, 0.975] (n=20)
    """
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data")
    if n < MIN_TRIPLES:
        return Estimate(observed, n=n)
    values = np.asarray(draws, dtype=np.float64)
    _check_level(level, values.size)
    defined = values[np.isfinite(values)]
    if values.size - defined.size > MAX_UNDEFINED * values.size:
        return Estimate.missing(
            f"undefined in {values.size - defined.size} of {values.size} bootstrap draws, more than {MAX_UNDEFINED:.0%}"
        )
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(observed, low, high, n)


def bootstrap(
    statistic: Statistic,
    *arrays: ArrayLike,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    method: Method = "percentile",
    vectorised: bool = False,
) -> Estimate:
    """A statistic of per-triple arrays with its bootstrap interval over triples.

    Args:
        statistic: called on the arrays, then once a draw on the arrays indexed by the draw, each [n, …], and returns a
            number; with `vectorised`, called on arrays [some draws, n, …] and returns one number a draw. nan says that
            it is undefined.
        arrays: each has the triples on axis 0; a draw takes the same triples from all of them.
        draws: bootstrap draws.
        seed: the same seed gives the same draws for every statistic of as many triples: the estimates are paired.
        level: the interval's coverage.
        method: "percentile", or "BCa" (bias-corrected and accelerated, by scipy; for means and other smooth
            statistics), whose interval is null where a draw or a leave-one-out value is undefined.
        vectorised: see `statistic`.

    Returns:
        The value, its interval and n, the number of triples. No interval below 3 triples; missing, with the reason,
        where there are no triples, the statistic is undefined on the data, or in more than 5 % of the draws.

    Raises:
        StatisticsError: arrays of unequal length, a statistic that returns another shape, or too few draws for the
            level.

    Source: Efron and Tibshirani 1993, chapters 13 (percentile) and 14 (BCa).

    >>> estimate = bootstrap(np.mean, [0.1, 0.2, 0.3, 0.4])
    >>> round(estimate.value, 3), estimate.n
    (0.25, 4)
    """
    if method not in ("percentile", "BCa"):
        raise StatisticsError(f'method is "percentile" or "BCa", not {method!r}')
    data = _by_triple(arrays)
    n = len(data[0])
    if n == 0:
        return Estimate.missing("no triples")
    observed = float(_evaluate(statistic, data, np.arange(n)[None], vectorised)[0])
    if not np.isfinite(observed):
        return Estimate.missing(f"undefined on the data{_not_finite(data)}")
    if n < MIN_TRIPLES:
        return Estimate(observed, n=n)
    values = bootstrap_draws(statistic, *data, draws=draws, seed=seed, vectorised=vectorised)
    estimate = from_draws(observed, values, n=n, level=level)
    if method == "percentile" or estimate.is_missing or np.ptp(values) == 0:  # no spread: BCa divides by it
        return estimate
    if not np.isfinite(values).all():
        return Estimate(observed, n=n)
    return Estimate(observed, *_bca(statistic, data, draws, seed, level, vectorised), n)


def mean_estimate(values: ArrayLike, **options: Any) -> Estimate:
    """Mean of `values` [triple], with its interval. `options` are those of `bootstrap`.

    >>> round(mean_estimate([0.1, 0.2, 0.3]).value, 3)
    0.2
    """
    return bootstrap(lambda x: x.mean(-1), values, vectorised=True, **options)


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
    — (the denominator's 95% interval [-1.500, 1.500] includes 0)
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


def _by_triple(arrays: Sequence[ArrayLike]) -> list[np.ndarray]:
    data = [np.asarray(array) for array in arrays]
    shapes = ", ".join(str(list(array.shape)) for array in data)
    if not data or any(array.ndim == 0 for array in data) or len({len(array) for array in data}) > 1:
        raise StatisticsError(f"arrays must have the same triples on axis 0, not shapes {shapes or '(none)'}")
    # half precision would lose the interval in rounding
    return [array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array for array in data]


def _evaluate(
    statistic: Statistic, data: list[np.ndarray], indices: Int[np.ndarray, "draw n"], vectorised: bool
) -> Float[np.ndarray, " draw"]:
    # an undefined draw shows as nan or infinity in the result, where it is counted
    with np.errstate(divide="ignore", invalid="ignore"):
        if vectorised:
            width = max(1, indices.shape[1] * sum(math.prod(array.shape[1:]) for array in data))
            step = max(1, _CHUNK // width)
            parts = [indices[start : start + step] for start in range(0, len(indices), step)]
            results = [np.asarray(statistic(*(array[part] for array in data)), dtype=np.float64) for part in parts]
            wrong = [result.shape for result, part in zip(results, parts, strict=True) if result.shape != (len(part),)]
        else:
            results = [np.asarray(statistic(*(array[row] for array in data)), dtype=np.float64) for row in indices]
            wrong = [result.shape for result in results if result.shape != ()]
    if wrong:
        raise StatisticsError(f"the statistic must return one number a draw, not an array of shape {list(wrong[0])}")
    return np.concatenate([np.atleast_1d(result) for result in results])


def _bca(
    statistic: Statistic, data: list[np.ndarray], draws: int, seed: int, level: float, vectorised: bool
) -> tuple[float | None, float | None]:
    """scipy resamples the triples' indices, so that any statistic of any arrays is one sample to it."""

    def of_indices(indices: Int[np.ndarray, "*draws n"], axis: int = -1) -> Float[np.ndarray, "*draws"]:
        rows = indices.reshape(-1, indices.shape[-1])
        return _evaluate(statistic, data, rows, vectorised).reshape(indices.shape[:-1])

    result = scipy.stats.bootstrap(
        (np.arange(len(data[0])),),
        of_indices,
        vectorized=True,
        method="BCa",
        n_resamples=draws,
        confidence_level=level,
        random_state=np.random.default_rng(seed),
    )
    low, high = (float(end) for end in result.confidence_interval)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _check_level(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise StatisticsError(f"an interval's level lies between 0 and 1, not {level}")
    needed = math.ceil(2 / (1 - level) - 1e-6) - 1
    if draws < needed:
        raise StatisticsError(f"a {100 * level:g}% interval needs at least {needed} bootstrap draws, not {draws}")


def _not_finite(data: list[np.ndarray]) -> str:
    counts = [int((~np.isfinite(array)).sum()) for array in data if np.issubdtype(array.dtype, np.floating)]
    return f": {sum(counts)} of its input values are not finite" if sum(counts) else ""
