"""Equivalence within a margin that was fixed beforehand, and whether so many triples could have shown it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from .estimate import Estimate, StatisticsError
from .intervals import FromDraws, from_draws
from .power import n_for_equivalence
from .resampling import Statistic, bootstrap


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests (TOST) of a difference against ± `margin`, read off one interval [low, high].

    The first four are False where the difference has no interval: nothing is shown. A small drop can be `lower` and
    `equivalent` at once.

    Attributes:
        equivalent: −margin < low and high < margin.
        non_inferior: −margin < low; the difference may be a gain of any size.
        lower: high < 0; there is a fall, of whatever size.
        lower_by_margin: high < −margin; the fall is shown to be larger than the margin.
        difference: changed − unchanged, negative where it fell, with its interval: 90 % for tests at 5 % each.
        margin: fixed before looking, in the difference's unit.
        testable: (high − low)/2 < margin. Where it is False, not even an observed difference of 0 would have been shown to be
            equivalent with so many triples of this spread, and "not equivalent" says nothing.
        n_needed: triples with which a true difference of 0 would be shown to be equivalent with a probability of 0.8, at the
            spread observed (`n_for_equivalence`); None where the spread is unknown or 0.

    Source: Schuirmann 1987; Lakens 2017.
    """

    equivalent: bool
    non_inferior: bool
    lower: bool
    lower_by_margin: bool
    difference: Estimate
    margin: float
    testable: bool = True
    n_needed: int | None = None

    @property
    def words(self) -> str:
        """The outcome in words.

        >>> equivalence(0.0, np.linspace(-0.5, 0.5, 101), n=24).words
        'equivalence within ± 0.05 not testable, n = 24 (about 6,164 would show that there is none)'
        """
        if self.equivalent:
            return f"equivalent within ± {self.margin:g}"
        if self.testable:
            return f"not shown to be equivalent within ± {self.margin:g}"
        if self.difference.value is None:
            return f"equivalence within ± {self.margin:g} not testable ({self.difference.reason})"
        needed = f" (about {self.n_needed:,} would show that there is none)" if self.n_needed else ""
        return f"equivalence within ± {self.margin:g} not testable, n = {self.difference.n}{needed}"

    def to_json(self) -> dict[str, Any]:
        """The fields by name, the difference as `Estimate.to_json` writes it."""
        flags = {name: getattr(self, name) for name in ("equivalent", "non_inferior", "lower", "lower_by_margin", "testable")}
        return {**flags, "difference": self.difference.to_json(), "margin": self.margin, "n_needed": self.n_needed}


def equivalence(
    observed: float,
    draws: ArrayLike,
    *,
    n: int,
    margin: float = 0.05,
    level: float = 0.95,
    method: FromDraws = "expanded",
    strata: ArrayLike | None = None,
) -> Equivalence:
    """Whether a difference lies within ± `margin`, from its observed value and its bootstrap draws over `n` triples.

    Each one-sided test is made at 1 − level: the interval has the level 2 · level − 1 (90 % for 95 %). `method` and `strata`
    are those of `from_draws`.

    Raises:
        StatisticsError: a margin that is not positive, a level not between ½ and 1, or fewer than 19 draws at 95 %.

    >>> result = equivalence(0.0, np.linspace(-0.02, 0.02, 101), n=60)
    >>> result.equivalent, result.lower, result.testable
    (True, False, True)
    """
    _check_margin(margin, level)
    return equivalent_within(
        from_draws(observed, draws, n=n, level=2 * level - 1, method=method, strata=strata), margin=margin, level=level
    )


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
    return equivalent_within(bootstrap(difference, *arrays, level=2 * level - 1, **options), margin=margin, level=level)


def equivalent_within(difference: Estimate, *, margin: float = 0.05, level: float = 0.95) -> Equivalence:
    """Whether a difference lies within ± `margin`, read off its interval, which has the level 2 · level − 1.

    Raises:
        StatisticsError: a margin that is not positive, or a level not between ½ and 1.

    >>> equivalent_within(Estimate(0.01, -0.02, 0.04, 60)).words
    'equivalent within ± 0.05'
    """
    _check_margin(margin, level)
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Equivalence(False, False, False, False, difference, margin, testable=False)
    half = (high - low) / 2
    return Equivalence(
        equivalent=-margin < low and high < margin,
        non_inferior=-margin < low,
        lower=high < 0,
        lower_by_margin=high < -margin,
        difference=difference,
        margin=margin,
        testable=half < margin,
        n_needed=_needed(half, margin, level, difference.n),
    )


def _needed(half: float, margin: float, level: float, n: int) -> int | None:
    """Triples that would show a true 0, from half the width of an interval over `n` of them."""
    spread = half / stdtrit(n - 1, level) * np.sqrt(n)
    try:
        return n_for_equivalence(float(spread), margin) if spread > 0 else None
    except StatisticsError:  # more than 10⁹ triples
        return None


def _check_margin(margin: float, level: float) -> None:
    if not margin > 0:
        raise StatisticsError(f"an equivalence margin is positive, not {margin}")
    if not 0.5 < level < 1:
        raise StatisticsError(f"each one-sided test is made at 1 − level, below ½: level lies in (½, 1), not {level}")
