"""Equivalence within a margin that was fixed beforehand, and whether so many triples could have shown it."""

from dataclasses import dataclass

from .estimate import Estimate, StatisticsError


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests (TOST) of a difference against ± `margin`, read off one interval [low, high].

    The first two are False where the difference has no interval: nothing is shown. A small drop can be `lower` and
    `equivalent` at once.

    Attributes:
        equivalent: −margin < low and high < margin.
        lower: high < 0; there is a fall, of whatever size.
        difference: changed − unchanged, negative where it fell, with its interval: 90 % for tests at 5 % each.
        margin: fixed before looking, in the difference's unit.
        testable: (high − low)/2 < margin. Where it is False, not even an observed difference of 0 would have been shown to be
            equivalent with so many triples of this spread, and "not equivalent" says nothing.

    Source: Schuirmann 1987; Lakens 2017.
    """

    equivalent: bool
    lower: bool
    difference: Estimate
    margin: float
    testable: bool = True

    @property
    def words(self) -> str:
        """The outcome in words.

        >>> equivalent_within(Estimate(0.0, -0.5, 0.5, 24)).words
        'equivalence within ± 0.05 not testable, n = 24'
        """
        if self.equivalent:
            return f"equivalent within ± {self.margin:g}"
        if self.testable:
            return f"not shown to be equivalent within ± {self.margin:g}"
        if self.difference.value is None:
            return f"equivalence within ± {self.margin:g} not testable ({self.difference.reason})"
        return f"equivalence within ± {self.margin:g} not testable, n = {self.difference.n}"


def equivalent_within(difference: Estimate, *, margin: float = 0.05) -> Equivalence:
    """Whether a difference lies within ± `margin`, read off its interval: a 90 % one for two tests at 5 % each.

    Raises:
        StatisticsError: a margin that is not positive.

    >>> equivalent_within(Estimate(0.01, -0.02, 0.04, 60)).words
    'equivalent within ± 0.05'
    """
    if not margin > 0:
        raise StatisticsError(f"an equivalence margin is positive, not {margin}")
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Equivalence(False, False, difference, margin, testable=False)
    return Equivalence(
        equivalent=-margin < low and high < margin,
        lower=high < 0,
        difference=difference,
        margin=margin,
        testable=(high - low) / 2 < margin,
    )
