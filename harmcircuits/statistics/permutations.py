"""A test that needs no distribution: signs of paired differences are flipped at random."""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from .decisions import p_value, reaching
from .estimate import Estimate, StatisticsError

EXACT = 12
"""Up to so many triples every pattern of signs is looked at: 4,096 of them."""


def sign_flip_p(differences: ArrayLike, *, draws: int = 9999, seed: int = 0) -> Estimate:
    """The two-sided p-value of a mean of paired differences [triple] against signs flipped at random.

    Its null: each difference is as likely to be d as −d (the two sides of a triple are exchangeable), whatever its size and
    distribution. Up to 12 triples all 2ⁿ patterns are counted and the p-value is exact, p = #{patterns whose mean is at least
    as large in size} / 2ⁿ, which is at least 2¹⁻ⁿ (5 triples cannot reach 0.05); beyond, it is `p_value` of `draws` random
    patterns.

    Returns:
        The p-value, n = patterns counted; its interval is that of `p_value`, and a point where it is exact. Missing, with the
        reason, without triples, with a difference that is not finite, or for fewer than 39 draws.

    Raises:
        StatisticsError: differences that are no list of numbers.

    Source: Fisher 1935, section 21; Pitman 1937; Phipson and Smyth 2010.

    >>> print(sign_flip_p([0.2, 0.1, 0.4, 0.3, 0.1, 0.2]))
    0.031 [0.031, 0.031] (n=64)
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise StatisticsError(f"differences are one number a triple, not an array of shape {list(values.shape)}")
    n = len(values)
    if n == 0:
        return Estimate.missing("no triples")
    if not np.isfinite(values).all():
        return Estimate.missing(f"{int((~np.isfinite(values)).sum())} of the values are not finite")
    flipped: Bool[np.ndarray, "pattern triple"] = (
        _all_patterns(n) if n <= EXACT else np.random.default_rng(seed).random((draws, n)) < 0.5
    )
    observed, null = abs(float(values.mean())), np.abs((1.0 - 2.0 * flipped) @ values / n)
    null = _as_one(null, observed)
    if n > EXACT:
        return p_value(observed, null)
    p = reaching(observed, null) / len(null)
    return Estimate(p, p, p, len(null))


def _as_one(null: Float[np.ndarray, " pattern"], observed: float) -> Float[np.ndarray, " pattern"]:
    """The same sum, added up in another order, is the same number."""
    return np.where(np.abs(null - observed) <= 1e-13 * null.max(initial=observed), observed, null)


def _all_patterns(n: int) -> Bool[np.ndarray, "pattern triple"]:
    return np.asarray((np.arange(2**n)[:, None] >> np.arange(n)) % 2, dtype=bool)
