"""Measured values of a report: reading them, writing them as text, and finding those that are null."""

import math
from collections.abc import Iterator, Mapping, Sequence
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


@dataclass(frozen=True)
class Null:
    """A value that was not measured: whose (a condition's name, "intact", or ""), which, and why."""

    owner: str
    field: str
    reason: str


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


def find(tree: Mapping[str, Any], path: str) -> Measured | None:
    """The measured value at a dotted path such as "generation.selectivity"; None where it is missing.

    >>> find({"generation": {"kl": {"value": 1}}}, "generation.kl").value
    1.0
    """
    node: object = tree
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return measured(node, where=f"{tree.get('name', 'intact')}: {path}")


def number(value: float, *, signed: bool = False) -> str:
    """Three decimals, or two significant digits where three decimals would show nothing.

    >>> number(0.1234), number(0.1234, signed=True), number(0.00004), number(-0.0)
    ('0.123', '+0.123', '4.0e-05', '0.000')
    """
    value = value + 0.0  # minus zero
    sign = "+" if signed else ""
    return f"{value:{sign}.1e}" if 0 < abs(value) < 0.0005 else f"{value:{sign}.3f}"


def interval(result: Measured, *, signed: bool = False) -> str:
    """ "[low, high]", or "" where the value has no interval."""
    if result.low is None or result.high is None:
        return ""
    return f"[{number(result.low, signed=signed)}, {number(result.high, signed=signed)}]"


def text(result: Measured | None, *, signed: bool = False) -> str:
    """A value and its interval for a table, or NULL.

    >>> text(Measured(0.5, 0.25, 0.75)), text(None)
    ('0.500 [0.250, 0.750]', 'n/a')
    """
    if result is None or result.value is None:
        return NULL
    return f"{number(result.value, signed=signed)} {interval(result, signed=signed)}".rstrip()


def components(condition: Mapping[str, Any]) -> str:
    """What a condition ablates.

    >>> components({"n_heads": 8, "n_neurons": 0, "n_weights": 1})
    '8 heads, 1 weight'
    """
    counts = ((_count(condition, f"n_{kind}s"), kind) for kind in ("head", "neuron", "weight"))
    return ", ".join(f"{count:,} {kind}{'' if count == 1 else 's'}" for count, kind in counts if count) or "none"


def _count(condition: Mapping[str, Any], name: str) -> int:
    found = condition.get(name) or 0
    if not isinstance(found, int):
        raise ReportError(f"{condition.get('name', '')}: {name} is {shortened(found)}; expected a whole number.")
    return found


def walk(tree: object, *, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Measured]]:
    """Every measured value below `tree` with its path; lists are not entered."""
    if isinstance(tree, Mapping):
        if "value" in tree:
            found = measured(tree, where=".".join(path))
            if found is not None:
                yield path, found
        else:
            for key, node in tree.items():
                yield from walk(node, path=(*path, str(key)))


def nulls(report: Mapping[str, Any]) -> list[Null]:
    """Every null of a report, in the report's order."""
    listed = conditions(report)
    run = {key: node for key, node in report.items() if key not in ("intact", "conditions")}
    owners: list[tuple[str, object]] = [("", run), ("intact", report.get("intact"))]
    owners += [(str(condition.get("name", "")), condition) for condition in listed]
    found = [
        Null(owner, ".".join(path), result.reason)
        for owner, tree in owners
        for path, result in walk(tree)
        if result.value is None
    ]
    return found + _crossed_nulls(report)


def crossed_parts(report: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The list `name` ("cells" or "interactions") of a report's crossed table; empty where it has none.

    Raises:
        ReportError: it is no list of mappings.
    """
    table = report.get("crossed")
    if table is None:
        return []
    found = table.get(name, []) if isinstance(table, Mapping) else table
    if not isinstance(table, Mapping) or not isinstance(found, list) or not all(isinstance(part, Mapping) for part in found):
        raise ReportError(
            f"the report's crossed {name} are {shortened(found)}; expected a list of objects. Run the measurement again."
        )
    return found


def _crossed_nulls(report: Mapping[str, Any]) -> list[Null]:
    """One for each cell and reason: a task that was not read has neither drop nor effect nor p."""
    cells = [(cell.get("condition"), cell.get("task"), cell) for cell in crossed_parts(report, "cells")]
    pairs = [
        (f"{pair.get('first')} against {pair.get('second')}", "interaction", pair)
        for pair in crossed_parts(report, "interactions")
    ]
    found = [
        Null(str(owner), f"crossed.{what}", result.reason)
        for owner, what, tree in [*cells, *pairs]
        for _, result in walk({key: node for key, node in tree.items() if key != "value"} | {"interaction": tree.get("value")})
        if result.value is None
    ]
    return list(dict.fromkeys(found))


def conditions(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The report's conditions.

    Raises:
        ReportError: the report is not a mapping with a list of them.
    """
    found = report.get("conditions") if isinstance(report, Mapping) else None
    if not isinstance(found, Sequence) or not all(isinstance(condition, Mapping) for condition in found):
        raise ReportError('the report has no list "conditions"; is it the report.json of a harmcircuits run?')
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(value: Any) -> float | None:
    try:
        return float(value) if _is_number(value) and math.isfinite(value) else None
    except OverflowError:  # a whole number beyond what a float holds
        return None
