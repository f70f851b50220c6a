"""A measured value with its interval, or the reason why there is none."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from scipy.stats import binomtest

Json: TypeAlias = dict[str, float | int | str | None]
LEVEL = 0.95


class StatisticsError(ValueError):
    """An input from which no statistic can be computed, or a number that is no measurement."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, measured over `n` units (triples unless said otherwise); or none, and why.

    Attributes:
        value: the measured value, finite; None where it could not be measured.
        low, high: the interval's ends; both None where no interval can be estimated (fewer than 3 triples), which leaves
            `value` as it is. The value may lie outside a percentile interval.
        n: the number of units measured, at least 1; 0 for a missing value.
        reason: why the value is missing; None exactly where there is a value.
        level: of the interval; another than 0.95 is told with it.

    Raises:
        StatisticsError: a nan or an infinity, a missing value without a reason, or ends that are no interval.

    >>> print(Estimate(0.123, 0.051, 0.19, 24), Estimate.missing("no shots"), sep="; ")
    0.123 [0.051, 0.190] (n=24); — (no shots)
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None
    level: float = field(default=LEVEL, repr=False)

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))
        object.__setattr__(self, "n", operator.index(self.n))
        if self.value is None:
            self._check_missing()
        else:
            self._check_measured()

    def _check_missing(self) -> None:
        if not self.reason:
            raise StatisticsError("a missing value needs a reason: use Estimate.missing(reason)")
        if self.low is not None or self.high is not None or self.n:
            raise StatisticsError(f"a missing value has no interval and n=0, not [{self.low}, {self.high}], n={self.n}")

    def _check_measured(self) -> None:
        if self.reason is not None:
            raise StatisticsError(f"a measured value takes no reason: {self.reason!r}")
        if self.n < 1:
            raise StatisticsError(f"a measured value needs n >= 1, not {self.n}")
        if (self.low is None) != (self.high is None):
            raise StatisticsError(f"an interval needs both ends or neither, not [{self.low}, {self.high}]")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise StatisticsError(f"the interval's low end {self.low} is above its high end {self.high}")

    @classmethod
    def missing(cls, reason: str) -> "Estimate":
        """A value that could not be measured, and why."""
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
        """`{"value", "low", "high", "n"}` (low and high null where no interval can be estimated), or `{"value": None,
        "reason"}`; with "level" where that is not 0.95.

        >>> Estimate.missing("no shots").to_json()
        {'value': None, 'reason': 'no shots'}
        """
        if self.value is None:
            return {"value": None, "reason": self.reason}
        level: Json = {} if self.level == LEVEL else {"level": self.level}
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n} | level

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Estimate":
        """The estimate that `to_json` wrote. Raises StatisticsError where a key is absent."""
        try:
            if data["value"] is None:
                return cls.missing(data["reason"])
            return cls(data["value"], data["low"], data["high"], data["n"], level=data.get("level", LEVEL))
        except KeyError as error:
            raise StatisticsError(f"an estimate without the key {error}: it has {sorted(data)}") from error

    def __str__(self) -> str:
        if self.value is None:
            return f"— ({self.reason})"
        ends = "" if self.low is None or self.high is None else f" [{_number(self.low)}, {_number(self.high)}]"
        level = f" at {100 * self.level:g} %" if ends and self.level != LEVEL else ""
        return f"{_number(self.value)}{ends}{level} (n={self.n})"


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


def _finite(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        raise StatisticsError(f"{name} is {number}: a value that could not be measured is Estimate.missing(reason)")
    return number


def _number(x: float) -> str:
    return f"{x:.3f}" if x == 0 or abs(x) >= 0.001 else f"{x:.1e}"
