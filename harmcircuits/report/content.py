"""What the page says: the report's words, and its numbers as cells. No markup; the template has that."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .columns import KEY_NUMBERS, NOTES, TABLES, Column
from .values import Measured, ReportError, components, conditions, crossed_parts, find, interval, nulls, number, walk

_SHOWN_APART = {
    "circuits", "conditions", "controls", "crossed", "intact", "limits", "n_triples",
    "question", "reproduce", "seconds", "sensitivity_before_run", "settings", "verdict", "verdict_reasons", "verdict_sentence",
}  # fmt: skip
_TONES = {"dissociated": "yes", "shared": "no"}


@dataclass(frozen=True)
class Cell:
    """A measured value as text; `reason` is the number of a null's reason in the page's list of reasons, 0 for none."""

    text: str
    interval: str = ""
    n: str = ""
    reason: int = 0


@dataclass(frozen=True)
class Row:
    """A condition: its name, its kind and what it ablates, and its cells."""

    name: str
    kind: str
    cells: Sequence[tuple[Column, Cell]]


@dataclass(frozen=True)
class Reason:
    """Why some values are null, and which: (condition, field) pairs grouped as field: conditions."""

    number: int
    text: str
    fields: Mapping[str, Sequence[str]]


def words(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report's words, a stand-in for each that is missing."""
    model = report.get("model") or "the model"
    name = (model.get("name") or model.get("id") or "the model") if isinstance(model, Mapping) else model
    verdict = str(report.get("verdict") or "not recorded")
    question = f"Which parts of {name} write harmful text, and does it still recognise harm without them?"
    return {
        "model": name,
        "question": report.get("question") or question,
        "verdict": verdict,
        "tone": _TONES.get(verdict, "open"),
        "sentence": report.get("verdict_sentence") or f"Verdict: {verdict}.",
        "verdict_reasons": _strings(report.get("verdict_reasons")),
        "limits": _strings(report.get("limits")),
        "sensitivity": report.get("sensitivity_before_run"),
        "n_triples": report.get("n_triples"),
        "settings": _flat(report.get("settings")),
        "reproduce": report.get("reproduce"),
        "facts": _flat(_without_draws(_rest(report))),
        "seconds": _seconds(report.get("seconds")),
    }


def numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report's numbers: circuits' key numbers, tables of conditions, single values, and the reasons of nulls.

    Raises:
        ReportError: the report has no list of conditions, or a measured value of another shape.
    """
    reasons = _reasons(report)
    cells = _Cells({reason.text: reason.number for reason in reasons}, usual_n=report.get("n_triples"))
    listed = conditions(report)
    circuits = [condition for condition in listed if condition.get("kind") == "circuit"]
    intact = report.get("intact") or {}
    if not isinstance(intact, Mapping):
        raise ReportError(
            f'the report\'s "intact" is a {type(intact).__name__}; expected an object. Run the measurement again.'
        )
    rows = [{"name": "intact", **intact}, *listed] if intact else listed
    in_tables = {column.path for columns in TABLES.values() for column in columns}
    return {
        "circuits": [cells.row(condition, KEY_NUMBERS) for condition in circuits],
        "conditions": {
            caption: (columns, [cells.row(condition, columns) for condition in rows])
            for caption, columns in _recorded(rows).items()
        },
        "notes": NOTES,
        "has_crossed": bool(crossed_parts(report, "cells")),
        "run_values": cells.single(_rest(report)),
        "intact_values": cells.single(intact, without=in_tables),
        "reasons": reasons,
    }


@dataclass(frozen=True)
class _Cells:
    """Makes cells; a value's n is written only where it differs from the run's usual one."""

    reasons: Mapping[str, int]
    usual_n: object

    def row(self, condition: Mapping[str, Any], columns: Iterable[Column]) -> Row:
        cells = [(column, self.cell(find(condition, column.path), signed=column.signed)) for column in columns]
        return Row(str(condition.get("name", "")), _kind(condition), cells)

    def single(self, tree: object, *, without: Container[str] = ()) -> list[tuple[str, Cell]]:
        return [(label(path), self.cell(result)) for path, result in walk(tree) if ".".join(path) not in without]

    def cell(self, result: Measured | None, *, signed: bool = False) -> Cell:
        if result is None:
            return Cell("–")
        if result.value is None:
            return Cell("n/a", reason=self.reasons[result.reason])
        n = "" if result.n is None or result.n == self.usual_n else f"n = {result.n:,}"
        return Cell(number(result.value, signed=signed), interval(result, signed=signed), n)


def label(path: Iterable[str]) -> str:
    """A path of the report in words.

    >>> label(("generation", "harmful_nll_rise"))
    'generation: harmful nll rise'
    """
    return ": ".join(path).replace("_", " ")


def _kind(condition: Mapping[str, Any]) -> str:
    """What is ablated."""
    if not condition.get("kind"):
        return "nothing ablated"
    return f"{condition['kind']}, {components(condition)}"


def _recorded(rows: Iterable[Mapping[str, Any]]) -> dict[str, Sequence[Column]]:
    """The first table, and those of which a run recorded anything that no table before it shows."""
    shown: set[str] = set()
    tables: dict[str, Sequence[Column]] = {}
    for caption, columns in TABLES.items():
        new = {column.path for column in columns} - shown
        if not tables or any(find(row, path) is not None for row in rows for path in new):
            tables[caption] = columns
            shown |= new
    return tables


def _seconds(recorded: object) -> list[tuple[str, str]]:
    """What each task took; what is no number of seconds is left as it was recorded."""
    if not isinstance(recorded, Mapping):
        return []
    return [
        (str(task), f"{took:,.1f}" if isinstance(took, (int, float)) and took < 1e9 else str(took))
        for task, took in recorded.items()
    ]


def _reasons(report: Mapping[str, Any]) -> list[Reason]:
    grouped: dict[str, dict[str, list[str]]] = {}
    for null in nulls(report):
        owners = grouped.setdefault(null.reason, {}).setdefault(label(null.field.split(".")), [])
        if null.owner and null.owner not in owners:
            owners.append(null.owner)
    return [Reason(at, text, fields) for at, (text, fields) in enumerate(grouped.items(), start=1)]


def _rest(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in _SHOWN_APART}


def _without_draws(rest: dict[str, Any]) -> dict[str, Any]:
    """Null draws by number alone: a figure shows them, and hundreds of numbers in a row help nobody."""
    recorded = rest.get("nulls")
    drawn = recorded.get("selectivity") if isinstance(recorded, Mapping) else None
    if not isinstance(recorded, Mapping) or not isinstance(drawn, Mapping):
        return rest
    counts = {kind: f"{len(draws):,} draws" for kind, draws in drawn.items() if isinstance(draws, Sequence)}
    return rest | {"nulls": {**recorded, "selectivity": counts}}


def _strings(value: object) -> list[str]:
    if value is None:
        return []
    items = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return [str(item) for item in items]


def _flat(tree: object, *, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """(key, value) pairs of nested mappings, exactly as recorded; measured values have cells of their own."""
    if isinstance(tree, Mapping):
        if path and "value" in tree:
            return []
        return [pair for key, node in tree.items() for pair in _flat(node, path=(*path, str(key)))]
    if not path:
        return []
    return [(".".join(path), tree if isinstance(tree, str) else json.dumps(tree, default=str, ensure_ascii=False))]
