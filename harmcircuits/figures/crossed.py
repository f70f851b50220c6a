"""What each circuit was aimed at, crossed with what falls without it, as a matrix whose cells are coloured by effect."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .matrix import Cell, Place, by_place, matrix

_COLUMNS = ["condition", "aim", "task", "value", "low", "high", "drop", "p_adjusted", "n"]
_LARGE = 0.8
"""d from which colours may be full at the earliest (Cohen: a large effect), so that chance looks pale."""
_LEVEL = 0.05
_CAPTION = (
    "Rows: what was switched off. Columns: the task that falls without it. Numbers: the standardised effect d, the mean "
    "drop over triples divided by its standard deviation, with its 95 % interval; positive, and vermillion: the task falls; "
    "negative, and blue: it rises. Framed: the task that the circuit was aimed at. *: p of at most 0.05, adjusted for all "
    "cells. n/a: not measured. Were one mechanism behind all tasks, each row would look alike; where each has its own, the "
    "frames stand out."
)


def crossed_effects(
    frame: pd.DataFrame, *, title: str = "Does each circuit hurt the task that it was aimed at, and only that?"
) -> go.Figure:
    """Conditions (rows) by tasks (columns): standardised effect d as colour and number, with its 95 % interval.

    d = mean / standard deviation over triples of what the task loses. Positive: it falls without the condition's components.
    A frame marks the task that a condition was aimed at, an asterisk an adjusted p of at most 0.05; a cell that was not
    measured says n/a, with the reason when pointed at and under the title. Rows and columns keep the frame's order.

    Args:
        frame: one row a condition and task, columns condition, aim (a task, or "" for a control), task, value (d), low and
            high (its interval), drop (in the task's own unit), p_adjusted, n (triples); optionally unit, of drop, and reason,
            why a value is missing.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, one that must be numeric is not, or a condition has two rows for one task.

    >>> row = ("heads", "writing", "writing", 0.5, 0.25, 0.75, 0.01, 0.02, 99)
    >>> crossed_effects(pd.DataFrame([row], columns=_COLUMNS)).data[0].text[0][0]
    '<b>+0.50</b> *<br>+0.25 to<br>+0.75'
    """
    frame = style.checked(frame, _COLUMNS, numbers=_COLUMNS[3:], what="crossed_effects")
    conditions, tasks = (list(dict.fromkeys(frame[column].astype(str))) for column in ("condition", "task"))
    cells = by_place(frame, "condition", "task", "crossed_effects")
    missing = dict.fromkeys(_reason(cell) for cell in cells.values() if not np.isfinite(cell["value"]))
    return matrix(
        cells, conditions, tasks, value="value", words=_words, hover=_hover, title=title, full=_LARGE,
        axis=f"task<br>framed: aimed at; * adjusted p ≤ {_LEVEL}", bar="standardised effect d (positive: the task falls)",
        caption=_CAPTION, alt=f"Standardised effects d, positive where the task falls. {_spoken(cells, conditions, tasks)}",
        note=f"n/a: {'; '.join(missing)}" if missing else "",
        framed=[place for place, cell in cells.items() if cell["aim"] == place[1]],
    )  # fmt: skip


def _words(cell: Cell, roomy: bool) -> str:
    if not np.isfinite(cell["value"]):
        return "n/a"
    mark = " *" if cell["p_adjusted"] <= _LEVEL else ""
    value, low, high = (style.short(cell[name]) for name in ("value", "low", "high"))
    interval = f"<br>{low} to<br>{high}" if roomy and np.isfinite([cell["low"], cell["high"]]).all() else ""
    return f"<b>{value}</b>{mark}{interval}"


def _hover(place: Place, cell: Cell) -> str:
    name = f"{style.text(place[0])}: {style.text(place[1])}"
    if not np.isfinite(cell.get("value", np.nan)):
        return f"{name}<br>{'<br>'.join(style.wrapped(f'not measured: {_reason(cell)}', 50))}"
    unit = cell.get("unit")
    lines = [
        name,
        f"d {style.number(cell['value'])}, {style.interval(cell['low'], cell['high'])}",
        f"drop {style.number(cell['drop'])}{f' {style.text(unit)}' if isinstance(unit, str) else ''}",
        f"adjusted p {cell['p_adjusted']:.3f}" if np.isfinite(cell["p_adjusted"]) else "no p",
    ]
    return "<br>".join([*lines, f"{cell['n']:.0f} triples"] if np.isfinite(cell["n"]) else lines)


def _reason(cell: Cell) -> str:
    reason = cell.get("reason")
    return reason if isinstance(reason, str) and reason else "no reason recorded"


def _spoken(cells: Mapping[Place, Cell], conditions: Sequence[str], tasks: Sequence[str]) -> str:
    parts = []
    for condition in conditions:
        own = [(task, cells[condition, task]["value"]) for task in tasks if (condition, task) in cells]
        values = ", ".join(f"{task} {value:+.2f}" if np.isfinite(value) else f"{task} not measured" for task, value in own)
        parts.append(f"{condition}: {values}")
    return f"{'; '.join(parts) or 'nothing was measured'}."
