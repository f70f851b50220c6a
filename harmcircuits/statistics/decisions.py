"""From draws to decisions: p-values against a null, false discovery rate, equivalence within a margin."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from .estimate import Estimate, StatisticsError
from .resampling import Statistic, bootstrap, from_draws

MIN_NULL_DRAWS = 39
"""The fewest null draws with which a two-sided p-value can reach 0.05."""


def p_value(observed: float, null: ArrayLike, *, alternative: Literal["greater", "less", "two-sided"] = "greater") -> Estimate:
    """The p-value of an observed statistic against draws from its null distribution.

    p = (1 + #{null ≥ observed}) / (1 + draws) for "greater" (≤ for "less"); "two-sided" is twice the smaller of both,
    at most 1. It is never 0, and valid for any number of draws. A null draw equal to the observed value up to rounding
    counts as reaching it, and so does an undefined one (nan): that errs on the safe side.

    Returns:
        The p-value with n = the number of null draws and no interval; missing, with the reason, for fewer than 39 draws
        or an undefined observed value.

    Source: Davison and Hinkley 1997, section 4.2; Phipson and Smyth 2010.

    >>> p_value(3.0, np.arange(99) / 99).value
    0.01
    """
    if alternative not in ("greater", "less", "two-sided"):
        raise StatisticsError(f'alternative is "greater", "less" or "two-sided", not {alternative!r}')
    draws = np.asarray(null, dtype=np.float64).ravel()
    if draws.size < MIN_NULL_DRAWS:
        return Estimate.missing(f"fewer than {MIN_NULL_DRAWS} draws: {draws.size}")
    if np.isnan(observed):
        return Estimate.missing("the observed statistic is undefined")
    tolerance = 100 * np.finfo(np.float64).eps * abs(observed) if np.isfinite(observed) else 0.0
    undefined = np.isnan(draws)
    greater = (1 + np.sum((draws >= observed - tolerance) | undefined)) / (1 + draws.size)
    less = (1 + np.sum((draws <= observed + tolerance) | undefined)) / (1 + draws.size)
    p = {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative]
    return Estimate(float(p), n=draws.size)


def fdr(p_values: ArrayLike) -> Float[np.ndarray, " test"]:
    """Benjamini–Hochberg p-values: rejecting those ≤ q keeps the expected share of false rejections ≤ q.

    None and nan are tests that were not made: they stay nan and are not counted among the tests.

    Raises:
        ValueError: a p-value outside [0, 1].

    Source: Benjamini and Hochberg 1995, by scipy.stats.false_discovery_control.

    >>> fdr([0.01, 0.02, 0.9]).round(3).tolist()
    [0.03, 0.03, 0.9]
    """
    adjusted = np.atleast_1d(np.asarray(p_values, dtype=np.float64)).copy()
    made = ~np.isnan(adjusted)
    if made.any():
        adjusted[made] = false_discovery_control(adjusted[made], method="bh")
    return adjusted


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests (TOST) of a difference against ± `margin`, read off one interval [low, high].

    All four are False where the difference has no interval: nothing is shown. A small drop can be `lower` and
    `equivalent` at once.

    Attributes:
        equivalent: −margin < low and high < margin.
        non_inferior: −margin < low; the difference may be a gain of any size.
        lower: high < 0; there is a fall, of whatever size.
        lower_by_margin: high < −margin; the fall is shown to be larger than the margin.
        difference: changed − unchanged, negative where it fell, with its interval: 90 % for tests at 5 % each.
        margin: fixed before looking, in the difference's unit.

    Source: Schuirmann 1987; Lakens 2017.
    """

    equivalent: bool
    non_inferior: bool
    lower: bool
    lower_by_margin: bool
    difference: Estimate
    margin: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name, the difference as `Estimate.to_json` writes it."""
        flags = {name: getattr(self, name) for name in ("equivalent", "non_inferior", "lower", "lower_by_margin")}
        return {**flags, "difference": self.difference.to_json(), "margin": self.margin}


def equivalence(observed: float, draws: ArrayLike, *, n: int, margin: float = 0.05, level: float = 0.95) -> Equivalence:
    """Whether a difference lies within ± `margin`, from its observed value and its bootstrap draws over `n` triples.

    Each one-sided test is made at 1 − level: the interval is the 2 · level − 1 percentile interval (90 % for 95 %).

    Raises:
        StatisticsError: a margin that is not positive, a level not between ½ and 1, or fewer than 19 draws at 95 %.

    >>> result = equivalence(0.0, np.linspace(-0.02, 0.02, 101), n=60)
    >>> result.equivalent, result.lower
    (True, False)
    """
    _check_margin(margin, level)
    return _read(from_draws(observed, draws, n=n, level=2 * level - 1), margin)


def bootstrap_equivalence(
    difference: Statistic, *arrays: ArrayLike, margin: float = 0.05, level: float = 0.95, **options: Any
) -> Equivalence:
    """`equivalence` of a statistic of per-triple arrays, bootstrapped over triples. `options` are those of `bootstrap`.

    Args:
        difference: changed − unchanged, of the arrays (for means: `lambda a, b: (a - b).mean(-1)`; for AUROCs:
            `lambda h, b, h0, b0: auroc(h, b) - auroc(h0, b0)`; both are right with and without `vectorised`).
        arrays: each has the triples on axis 0.

    >>> bootstrap_equivalence(lambda a, b: (a - b).mean(-1), [0.4, 0.5, 0.7], [0.4, 0.5, 0.7]).equivalent
    True
    """
    _check_margin(margin, level)
    return _read(bootstrap(difference, *arrays, level=2 * level - 1, **options), margin)


def _read(difference: Estimate, margin: float) -> Equivalence:
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Equivalence(False, False, False, False, difference, margin)
    return Equivalence(
        equivalent=-margin < low and high < margin,
        non_inferior=-margin < low,
        lower=high < 0,
        lower_by_margin=high < -margin,
        difference=difference,
        margin=margin,
    )


def _check_margin(margin: float, level: float) -> None:
    if not margin > 0:
        raise StatisticsError(f"an equivalence margin is positive, not {margin}")
    if not 0.5 < level < 1:
        raise StatisticsError(f"each one-sided test is made at 1 − level, below ½: level lies in (½, 1), not {level}")
