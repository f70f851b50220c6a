"""A measured value with its interval, or the reason why there is none."""

import math
import operator
from dataclasses import dataclass
from typing import TypeAlias

from scipy.stats import binomtest

from ..errors import HarmcircuitsError

Json: TypeAlias = dict[str, float | int | str | None]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, measured over `n` units (triples unless said otherwise); or none, and why.

    Attributes:
        value: the measured value, finite; None where it could not be measured. It may lie outside a percentile interval.
        low, high: the interval's ends; both None where no interval can be estimated (fewer than 3 triples).
        n: the number of units measured, at least 1; 0 for a missing value.
        reason: why the value is missing; None where there is a value.

    Raises:
        HarmcircuitsError: a nan or an infinity, a missing value without a reason, or ends that are no interval.

    >>> print(Estimate(0.123, 0.051, 0.19, 24), Estimate.missing("no shots"), sep="; ")
    0.123 [0.051, 0.190] (n=24); — (no shots)
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            object.__setattr__(self, name, None if number is None else float(number))
        object.__setattr__(self, "n", operator.index(self.n))
        ends = [end for end in (self.low, self.high) if end is not None]
        if not all(map(math.isfinite, ends + ([] if self.value is None else [self.value]))):
            raise HarmcircuitsError(f"{self.value}, {ends}: a value that could not be measured is Estimate.missing(reason)")
        if self.value is None and (not self.reason or ends or self.n):
            raise HarmcircuitsError(
                f"a missing value has a reason, no interval and n=0, not {self.reason!r}, {ends}, n={self.n}"
            )
        if self.value is not None and (self.reason is not None or self.n < 1):
            raise HarmcircuitsError(f"a measured value has n >= 1 and no reason, not n={self.n}, {self.reason!r}")
        if len(ends) == 1 or ends != sorted(ends):
            raise HarmcircuitsError(f"an interval has both ends or neither, the lower one first, not [{self.low}, {self.high}]")

    @classmethod
    def missing(cls, reason: str) -> "Estimate":
        """Return the estimate of a value that could not be measured, and why."""
        return cls(None, reason=reason)

    @property
    def is_missing(self) -> bool:
        return self.value is None

    def excludes(self, value: float) -> bool:
        """Whether the interval lies wholly above or wholly below `value`; False where there is no interval.

        >>> Estimate(0.3, 0.1, 0.5, 24).excludes(0)
        True
        """
        return self.low is not None and self.high is not None and not self.low <= value <= self.high

    def to_json(self) -> Json:
        """Return `{"value", "low", "high", "n"}` (low and high null without an interval), or `{"value": None, "reason"}`.

        >>> Estimate.missing("no shots").to_json()
        {'value': None, 'reason': 'no shots'}
        """
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    def __str__(self) -> str:
        if self.value is None:
            return f"— ({self.reason})"
        ends = "" if self.low is None or self.high is None else f" [{_number(self.low)}, {_number(self.high)}]"
        return f"{_number(self.value)}{ends} (n={self.n})"


def wilson(hits: int, n: int) -> Estimate:
    """Return hits / n with its 95 % Wilson score interval; missing where n is 0.

    Source: Wilson 1927. Unlike hits ± 1.96 errors it does not shrink to nothing at 0 and at n.

    >>> print(wilson(0, 20))
    0.000 [0.000, 0.161] (n=20)
    """
    if not n:
        return Estimate.missing("there is nothing to count")
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return Estimate(hits / n, float(interval.low), float(interval.high), n)


def _number(x: float) -> str:
    return f"{x:.3f}" if x == 0 or abs(x) >= 0.001 else f"{x:.1e}"
