"""The crossed table of a report as frames: what each circuit was aimed at against what falls without it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from .frames import primary_auroc
from .values import NULL, Measured, crossed_parts, measured, number, text

_RECOGNITION = "recognition"
_UNITS = {
    "generation": "nats per token",
    "explanation": "nats per token",
    "refusal": "share of requests",
}
"""Of a drop, by task; recognition's depends on the primary reading."""

TASKS = "What each circuit was aimed at (rows) against what falls without it (columns)"
INTERACTIONS = "Interactions of aim with task, in standard deviations"
"""Captions of the page's tables; the page explains both."""


def effects_frame(report: Mapping[str, Any]) -> pd.DataFrame:
    """What `figures.crossed_effects` draws, one line a condition and task, aims first, in the report's order.

    Columns: condition; aim, the task that it was aimed at ("" for a control); task; value, the standardised effect d = mean /
    standard deviation over triples of the drop, with low and high; drop, in unit; p_adjusted; n, triples; reason, why d is
    missing. Positive: the task falls. No lines where the report has no crossed table.

    Raises:
        ReportError: the crossed table, or a measured value in it, has another shape.

    >>> cell = {"condition": "heads", "aim": "refusal", "task": "refusal", "effect": {"value": 0.5}, "drop": {"value": 0.1}}
    >>> effects_frame({"crossed": {"cells": [cell]}})[["value", "drop", "unit"]].values.tolist()
    [[0.5, 0.1, 'share of requests']]
    """
    rows = []
    for cell in _cells(report):
        found = _read(cell, "effect", "drop", "p_adjusted")
        effect, drop, p = found["effect"], found["drop"], found["p_adjusted"]
        row = {name: str(cell.get(name) or "") for name in ("condition", "aim", "task")}
        numbers = {"value": effect.value, "low": effect.low, "high": effect.high, "drop": drop.value, "p_adjusted": p.value}
        unit = _unit(report, row["task"])
        rows.append({**row, **numbers, "n": effect.n or drop.n, "unit": unit, "reason": effect.reason or None})
    columns = ["condition", "aim", "task", "value", "low", "high", "drop", "p_adjusted", "n", "unit", "reason"]
    return pd.DataFrame(rows, columns=columns)


def crossed_frames(report: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The page's tables of the crossed table, by caption; none where the report has no crossed table.

    The first has a row a condition and a column a task, the unit of its drop in brackets; its cells are text, "n/a" where a
    value is missing. The second has a row an interaction.

    Raises:
        ReportError: as `effects_frame`.

    >>> crossed_frames({"conditions": []})
    {}
    """
    frames = {}
    if cells := _cells(report):
        frames[TASKS] = _by_condition(report, cells)
    if pairs := crossed_parts(report, "interactions"):
        frames[INTERACTIONS] = pd.DataFrame([_pair(pair) for pair in pairs])
    return frames


def _by_condition(report: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    tasks = dict.fromkeys(str(cell.get("task", "")) for cell in cells)
    units = {task: _unit(report, task) for task in tasks}
    heads = {task: f"{task} ({unit})" if unit else task for task, unit in units.items()}
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        name, aim = str(cell.get("condition", "")), str(cell.get("aim") or "")
        label = name if not aim or f"aimed at {aim}" in name else f"{name} (aimed at {aim})"
        row = rows.setdefault(name, {"switched off": label} | dict.fromkeys(heads.values(), NULL))
        row[heads[str(cell.get("task", ""))]] = _words(cell)
    return pd.DataFrame(list(rows.values()))


def _words(cell: Mapping[str, Any]) -> str:
    found = _read(cell, "drop", "effect", "p_adjusted")
    if all(result.value is None for result in found.values()):
        return NULL
    parts = [text(found["drop"], signed=True), f"d = {_effect(found['effect'])}", f"p = {_p(found['p_adjusted'])}"]
    return "; ".join(parts)


def _pair(pair: Mapping[str, Any]) -> dict[str, str]:
    found = _read(pair, "value", "p", "p_adjusted")
    first, second, one, other = (str(pair.get(name, "")) for name in ("first", "second", "one", "other"))
    return {
        "between": f"{first} against {second}",
        "tasks": f"{one} against {other}",
        "interaction": _effect(found["value"]),
        **{column: _p(found[name]) for column, name in (("p", "p"), ("p, adjusted", "p_adjusted"))},
    }


def _p(result: Measured) -> str:
    return NULL if result.value is None else number(result.value)


def _effect(result: Measured) -> str:
    """d in two decimals: a third would be noise."""
    if result.value is None:
        return NULL
    known = (result.value, *(() if result.low is None or result.high is None else (result.low, result.high)))
    value, *ends = (f"{round(part, 2) + 0.0:+.2f}" for part in known)  # + 0.0: no minus zero
    return f"{value} [{', '.join(ends)}]" if ends else value


def _read(part: Mapping[str, Any], *names: str) -> dict[str, Measured]:
    owner = part.get("condition", part.get("first", ""))
    where = f"crossed: {owner}, {part.get('task', part.get('one', ''))}"
    nothing = Measured(None, reason="not recorded")
    return {name: measured(part.get(name), where=f"{where}: {name}") or nothing for name in names}


def _cells(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Aims in the order of the tasks, then controls."""
    cells = crossed_parts(report, "cells")
    order = {task: at for at, task in enumerate(dict.fromkeys(str(cell.get("task", "")) for cell in cells))}
    return sorted(cells, key=lambda cell: order.get(str(cell.get("aim") or ""), len(order)))


def _unit(report: Mapping[str, Any], task: str) -> str:
    if task == _RECOGNITION:
        return "probe score" if primary_auroc(report) == "recognition.probe_auroc" else "log-odds"
    return _UNITS.get(task, "")
