"""Bootstrap intervals over triples: a draw takes whole triples, and the same seed the same ones for every statistic."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from .estimate import Estimate, StatisticsError
from .intervals import MIN_TRIPLES, from_draws
from .strata import strata_codes

Statistic: TypeAlias = Callable[..., Any]

_CHUNK = 2**24
"""Numbers gathered at a time by a vectorised statistic (128 MB)."""


def resamples(n: int, *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None) -> Int[np.ndarray, "draws n"]:
    """Indices of the triples in each bootstrap draw: `n` triples with replacement, from a seed.

    Args:
        n: triples to draw from, and to draw.
        draws: bootstrap draws.
        seed: the same seed gives the same draws, given the same strata.
        strata: one label a triple (its category): as many are drawn from each stratum as it has, so that every draw has the
            sample's composition. Strata of fewer than 3 triples are put together.

    Raises:
        StatisticsError: no triple, no draw, or not one label a triple.

    >>> resamples(3, draws=2).shape
    (2, 3)
    >>> bool((resamples(8, draws=9, strata=["a"] * 4 + ["b"] * 4)[:, :4] < 4).all())
    True
    """
    if n < 1 or draws < 1:
        raise StatisticsError(f"resampling needs at least one triple and one draw, not n={n}, draws={draws}")
    generator = np.random.default_rng(seed)
    if strata is None:
        return generator.integers(n, size=(draws, n))
    codes = strata_codes(strata, n)
    drawn = np.empty((draws, n), dtype=np.int64)
    for code in range(codes.max() + 1):
        members = np.flatnonzero(codes == code)
        drawn[:, members] = members[generator.integers(len(members), size=(draws, len(members)))]
    return drawn


def bootstrap_draws(
    statistic: Statistic,
    *arrays: ArrayLike,
    draws: int = 2000,
    seed: int = 0,
    vectorised: bool = False,
    strata: ArrayLike | None = None,
) -> Float[np.ndarray, " draws"]:
    """`statistic(*arrays)` in each bootstrap draw; nan where it is undefined there.

    Args:
        statistic: called once a draw on the arrays indexed by it, each [n, …], and returns a number; with `vectorised`,
            called on arrays [some draws, n, …] and returns one number a draw.
        arrays: each has the triples on axis 0.
        draws: see `resamples`.
        seed: see `resamples`.
        vectorised: see `statistic`.
        strata: see `resamples`.

    Raises:
        StatisticsError: no array, arrays of unequal length, or a statistic that returns another shape.

    >>> bootstrap_draws(np.mean, np.ones(5), draws=3).tolist()
    [1.0, 1.0, 1.0]
    """
    data = _by_triple(arrays)
    return _evaluate(statistic, data, resamples(len(data[0]), draws=draws, seed=seed, strata=strata), vectorised)


def bootstrap(
    statistic: Statistic,
    *arrays: ArrayLike,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    vectorised: bool = False,
    strata: ArrayLike | None = None,
) -> Estimate:
    """A statistic of per-triple arrays with its bootstrap interval over triples (the expanded one, see `from_draws`).

    Args:
        statistic: called on the arrays, then once a draw on the arrays indexed by the draw, each [n, …], and returns a
            number; with `vectorised`, called on arrays [some draws, n, …] and returns one number a draw. nan says that
            it is undefined.
        arrays: each has the triples on axis 0; a draw takes the same triples from all of them.
        draws: bootstrap draws.
        seed: the same seed gives the same draws for every statistic of as many triples: the estimates are paired.
        level: the interval's coverage.
        vectorised: see `statistic`.
        strata: one label a triple (its category), see `resamples`. Where the sample was drawn by category, intervals are then
            those of another sample of the same composition.

    Returns:
        The value, its interval and n, the number of triples. No interval below 3 triples; missing, with the reason,
        where there are no triples, the statistic is undefined on the data, or in more than 5 % of the draws.

    Raises:
        StatisticsError: arrays of unequal length, a statistic that returns another shape, too few draws for the level, or
            not one stratum a triple.

    Source: Efron and Tibshirani 1993, chapter 13; Hesterberg 2015, section 5.3.

    >>> estimate = bootstrap(np.mean, [0.1, 0.2, 0.3, 0.4])
    >>> round(estimate.value, 3), estimate.n
    (0.25, 4)
    """
    data = _by_triple(arrays)
    n = len(data[0])
    if n == 0:
        return Estimate.missing("no triples")
    observed = float(_evaluate(statistic, data, np.arange(n)[None], vectorised)[0])
    if not np.isfinite(observed):
        return Estimate.missing(f"undefined on the data{_not_finite(data)}")
    if n < MIN_TRIPLES:
        return Estimate(observed, n=n)
    values = bootstrap_draws(statistic, *data, draws=draws, seed=seed, vectorised=vectorised, strata=strata)
    return from_draws(observed, values, n=n, level=level, strata=strata)


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


def _not_finite(data: list[np.ndarray]) -> str:
    counts = [int((~np.isfinite(array)).sum()) for array in data if np.issubdtype(array.dtype, np.floating)]
    return f": {sum(counts)} of its input values are not finite" if sum(counts) else ""
