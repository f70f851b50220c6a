"""Tests that need no distribution: what is paired within a triple changes places at random."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from .decisions import Alternative, check_alternative, p_value, reaching
from .estimate import Estimate, StatisticsError
from .resampling import Statistic

EXACT = 12
"""Up to so many triples every pattern of swaps is looked at: 4,096 of them."""

_CHUNK = 2**24


def sign_flip_p(
    differences: ArrayLike, *, alternative: Alternative = "two-sided", draws: int = 9999, seed: int = 0
) -> Estimate:
    """The p-value of a mean of paired differences [triple] against signs flipped at random.

    Its null: each difference is as likely to be d as −d (the two sides of a triple are exchangeable), whatever its size and
    distribution. "greater": the mean is above what the flips give; "two-sided": its absolute value is. Up to 12 triples all
    2ⁿ patterns are counted and the p-value is exact, p = #{patterns that reach the observed mean} / 2ⁿ, which is at least
    2⁻ⁿ (twice that two-sided: 5 triples cannot reach 0.05); beyond, it is `p_value` of `draws` random patterns.

    Returns:
        The p-value, n = patterns counted; its interval is that of `p_value`, and a point where it is exact. Missing, with the
        reason, without triples, with a difference that is not finite, or for fewer than 39 draws.

    Raises:
        StatisticsError: another alternative, or differences that are no list of numbers.

    Source: Fisher 1935, section 21; Pitman 1937; Phipson and Smyth 2010.

    >>> print(sign_flip_p([0.2, 0.1, 0.4, 0.3, 0.1, 0.2]))
    0.031 [0.031, 0.031] (n=64)
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise StatisticsError(f"differences are one number a triple, not an array of shape {list(values.shape)}")
    signs = lambda swap: 1.0 - 2.0 * swap
    return _tested(lambda swap: signs(swap) @ values / max(1, len(values)), values[:, None], alternative, draws, seed)


def permutation_p(
    statistic: Statistic,
    *outcomes: ArrayLike,
    alternative: Alternative = "two-sided",
    draws: int = 9999,
    seed: int = 0,
    vectorised: bool = False,
) -> Estimate:
    """The p-value of a statistic of paired outcomes against the two roles swapped at random within triples.

    Its null: within a triple the two roles are exchangeable. "two-sided" compares absolute values, so that the statistic is
    one whose null lies around 0 (an AUROC minus ½, not an AUROC). Exact up to 12 triples, as `sign_flip_p`.

    Args:
        statistic: of the outcomes; a larger value speaks against the null. With `vectorised`, of arrays
            [some draws, triple, 2, …], one number a draw.
        outcomes: each [triple, 2, …], the roles on axis 1; a triple is swapped in all of them or in none.
        alternative: see above.
        draws: random patterns of swaps beyond 12 triples.
        seed: of the patterns.
        vectorised: see `statistic`.

    Returns:
        As `sign_flip_p`.

    Raises:
        StatisticsError: another alternative, arrays of unequal length, or without two roles on axis 1.

    >>> scores = np.array([[0.9, 0.1], [0.8, 0.3], [0.7, 0.2], [0.6, 0.4]])
    >>> print(permutation_p(lambda x: (x[:, 0] - x[:, 1]).mean(), scores, alternative="greater"))
    0.062 [0.062, 0.062] (n=16)
    """
    data = [np.asarray(array, dtype=np.float64) for array in outcomes]
    shapes = ", ".join(str(list(array.shape)) for array in data)
    if not data or any(array.ndim < 2 or array.shape[1] != 2 for array in data) or len({len(array) for array in data}) > 1:
        raise StatisticsError(f"outcomes are [triple, 2, …] with the same triples, not of shapes {shapes or '(none)'}")

    def swapped(array: np.ndarray, swap: Bool[np.ndarray, "draw triple"]) -> np.ndarray:
        return np.asarray(np.where(swap.reshape(*swap.shape, *[1] * (array.ndim - 1)), array[:, ::-1], array))

    def evaluate(swap: Bool[np.ndarray, "draw triple"]) -> Float[np.ndarray, " draw"]:
        if not vectorised:
            return np.array([float(statistic(*(swapped(array, one[None])[0] for array in data))) for one in swap])
        step = max(1, _CHUNK // sum(array.size for array in data))
        parts = [swap[start : start + step] for start in range(0, len(swap), step)]
        found = [np.asarray(statistic(*(swapped(array, part) for array in data)), dtype=np.float64) for part in parts]
        return np.concatenate(found)

    return _tested(evaluate, np.concatenate([array.reshape(len(array), -1) for array in data], 1), alternative, draws, seed)


def _tested(
    evaluate: Any, values: Float[np.ndarray, "triple value"], alternative: Alternative, draws: int, seed: int
) -> Estimate:
    """The p-value of evaluate(no swaps) against evaluate(swaps)."""
    check_alternative(alternative)
    n = len(values)
    if n == 0:
        return Estimate.missing("no triples")
    if not np.isfinite(values).all():
        return Estimate.missing(f"{int((~np.isfinite(values)).sum())} of the values are not finite")
    observed = float(evaluate(np.zeros((1, n), dtype=bool))[0])
    if not np.isfinite(observed):
        return Estimate.missing("the observed statistic is undefined")
    exact = n <= EXACT
    null = evaluate(_all_patterns(n) if exact else np.random.default_rng(seed).random((draws, n)) < 0.5)
    if alternative == "two-sided":
        observed, null = abs(observed), np.abs(null)
    size = np.abs(null[np.isfinite(null)]).max(initial=abs(observed))
    null = np.where(np.abs(null - observed) <= 1e-13 * size, observed, null)  # the same sum, added up in another order
    if not exact:
        return p_value(observed, null, alternative="less" if alternative == "less" else "greater")
    p = reaching(observed, null)[1 if alternative == "less" else 0] / len(null)
    return Estimate(p, p, p, len(null))


def _all_patterns(n: int) -> Bool[np.ndarray, "pattern triple"]:
    return np.asarray((np.arange(2**n)[:, None] >> np.arange(n)) % 2, dtype=bool)
