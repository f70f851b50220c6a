"""Measured values of a report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any

NO_REASON = "no reason recorded"
NULL = "n/a"
"""Stands in a table for a null, whose reason the page gives."""


class ReportError(ValueError):
    """A report lacks what a page can't do without, or holds something of another shape; the message says where."""


@dataclass(frozen=True)
class Measured:
    """A measured value with its 95 % interval and the number of triples; or null (`value` None) with the reason."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str = ""


def measured(raw: object, *, where: str = "value") -> Measured | None:
    """`raw` as a Measured; None where the report has nothing at this place.

    A bare number is taken as a value without an interval; NaN and infinities are nulls, for JSON has no other word.

    Raises:
        ReportError: `raw` is something else.

    >>> measured({"value": 0.5, "low": 0.4, "high": 0.6, "n": 99})
    Measured(value=0.5, low=0.4, high=0.6, n=99, reason='')
    >>> measured({"value": None, "reason": "too few"}).reason
    'too few'
    """
    if raw is None:
        return None
    if _is_number(raw):
        raw = {"value": raw}
    if not isinstance(raw, Mapping) or not (raw.get("value") is None or _is_number(raw["value"])):
        raise ReportError(f"{where} is {shortened(raw)}; expected {{value, low, high, n}} or {{value: null, reason}}.")
    value = _finite(raw.get("value"))
    if value is None:
        otherwise = NO_REASON if raw.get("value") is None else f"not a finite number ({shortened(raw['value'])})"
        return Measured(None, reason=str(raw.get("reason") or otherwise))
    n = _finite(raw.get("n"))
    return Measured(value, _finite(raw.get("low")), _finite(raw.get("high")), None if n is None else int(n))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(value: Any) -> float | None:
    try:
        return float(value) if _is_number(value) and math.isfinite(value) else None
    except OverflowError:  # a whole number beyond what a float holds
        return None
