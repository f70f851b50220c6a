"""What each circuit was aimed at, crossed with what falls without it, as a table whose cells are coloured by effect."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .matrix import Cell, Place, by_place

_COLUMNS = ["condition", "aim", "task", "value", "low", "high", "drop", "p_adjusted", "n"]
_LARGE = 0.8
"""d from which colours may be full at the earliest (Cohen: a large effect), so that chance looks pale."""
_LEVEL = 0.05
_TOP, _BOTTOM = -0.16, 0.46
"""Where a row's cells begin and end; above them is the row's label."""
_ROW, _HEAD = 86, 52  # px
_TASK_WIDTH = 11  # characters that fit over a column on a phone
_MANY = 5
"""Columns from which their heads are set smaller, so that neighbours stay apart on a phone."""
_CAPTION = (
    "Rows: what was switched off. Columns: the task that falls without it. Numbers: the standardised effect d, the mean "
    "drop over triples divided by its standard deviation, with its 95 % interval; positive, and vermillion: the task falls; "
    "negative, and blue: it rises. Framed: the task that the circuit was aimed at. *: p of at most 0.05, adjusted for all "
    "cells. Grey: not measured. Were one mechanism behind all tasks, each row would look alike; where each has its own, the "
    "frames stand out."
)


def crossed_effects(
    frame: pd.DataFrame, *, title: str = "Does each circuit hurt the task that it was aimed at, and only that?"
) -> go.Figure:
    """Conditions (rows) by tasks (columns): standardised effect d as colour and number, with its 95 % interval.

    d = mean / standard deviation over triples of what the task loses. Positive: it falls without the condition's components.
    A frame marks the task that a condition was aimed at, an asterisk an adjusted p of at most 0.05; a cell that was not
    measured is grey and says n/a, with the reason when pointed at and under the title. Rows and columns keep the frame's order.

    Args:
        frame: one row a condition and task, columns condition, aim (a task, or "" for a control), task, value (d), low and
            high (its interval), drop (in the task's own unit), p_adjusted, n (triples); optionally unit, of drop, and reason,
            why a value is missing.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, one that must be numeric is not, or a condition has two rows for one task.

    >>> row = ("heads", "writing", "writing", 0.5, 0.25, 0.75, 0.01, 0.02, 99)
    >>> [trace.text[0] for trace in crossed_effects(pd.DataFrame([row], columns=_COLUMNS)).data if trace.type == "scatter"]
    ['<b>+0.50</b> *<br>+0.25 to<br>+0.75']
    """
    frame = style.checked(frame, _COLUMNS, numbers=_COLUMNS[3:], what="crossed_effects")
    conditions, tasks = (list(dict.fromkeys(frame[column].astype(str))) for column in ("condition", "task"))
    cells = by_place(frame, "condition", "task", "crossed_effects")
    height = _ROW * len(conditions) + _HEAD
    drawn = style.figure(
        title=title,
        height=height,
        caption=_CAPTION,
        alt=f"Standardised effects d, positive where the task falls. {_spoken(cells, conditions, tasks)}",
        note=_missing_note(frame),
        under=118,
    )
    _add_cells(drawn, cells, conditions, tasks, height)
    style.row_labels(drawn, [(str(name), _aim_note(str(name), cells, tasks)) for name in conditions])
    _add_heads(drawn, tasks)
    bounds = [max(len(conditions), 1) - 0.45, -0.45 - _HEAD / _ROW]
    drawn.update_yaxes(range=bounds, showgrid=False)
    across = [-0.5, max(len(tasks), 1) - 0.5]
    words = f"task<br>framed: aimed at; * adjusted p ≤ {_LEVEL}"
    drawn.update_xaxes(title_text=words, range=across, showgrid=False, showticklabels=False, ticks="", fixedrange=True)
    return drawn


Cells = Mapping[Place, Cell]


def _add_cells(drawn: go.Figure, cells: Cells, conditions: Sequence[Any], tasks: Sequence[Any], height: float) -> None:
    """One heat map a row, so that there is room for a label above each; words over them, frames and grey patches by shapes."""
    known = [abs(cell["value"]) for cell in cells.values() if np.isfinite(cell["value"])]
    limit = max([_LARGE, *known])
    bar = style.colour_bar("standardised effect d (positive: the task falls)", below=56, height=height)
    colours = [(0, style.COOL), (0.5, "white"), (1, style.WARM)]
    drawn.update_layout(coloraxis={"cmin": -limit, "cmax": limit, "cmid": 0, "colorscale": colours, "colorbar": bar})
    for row, condition in enumerate(conditions):
        own = [cells.get((condition, task), {}) for task in tasks]
        drawn.add_heatmap(
            z=[[cell.get("value", np.nan) for cell in own]], x=np.arange(len(tasks) + 1) - 0.5, y=[row + _TOP, row + _BOTTOM],
            xgap=2, coloraxis="coloraxis", hoverongaps=True, hovertemplate="%{text}<extra></extra>",
            text=[[_hover(condition, task, cell) for task, cell in zip(tasks, own, strict=True)]],
        )  # fmt: skip
        for column, (task, cell) in enumerate(zip(tasks, own, strict=True)):
            _add_shapes(drawn, row, column, missing=not _is_measured(cell), aimed=cell.get("aim") == task)
        drawn.add_scatter(
            x=np.arange(len(tasks)), y=[row + (_TOP + _BOTTOM) / 2] * len(tasks), mode="text",
            text=[_words(cell) for cell in own], textfont={"size": 11, "color": style.INK}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip


def _add_shapes(drawn: go.Figure, row: int, column: int, *, missing: bool, aimed: bool) -> None:
    edges = {"x0": column - 0.48, "x1": column + 0.48, "y0": row + _TOP, "y1": row + _BOTTOM}
    if missing:
        drawn.add_shape(type="rect", **edges, fillcolor=style.PALE, line_width=0, layer="below")
    drawn.add_shape(
        type="rect", **edges, line={"color": style.BLACK if aimed else style.PALE, "width": 2.5 if aimed else 1},
        layer="above" if aimed else "between",
    )  # fmt: skip


def _add_heads(drawn: go.Figure, tasks: Sequence[Any]) -> None:
    """Names of the columns above the first row, inside the plot: ticks there would lie over a title."""
    for column, task in enumerate(tasks):
        drawn.add_annotation(
            text="<br>".join(style.text(line) for line in textwrap.wrap(str(task), _TASK_WIDTH, break_long_words=False)),
            x=column, y=-0.46, yanchor="bottom", showarrow=False, font={"size": 10 if len(tasks) < _MANY else 9}, borderpad=0,
        )  # fmt: skip


def _is_measured(cell: Cell) -> bool:
    return bool(np.isfinite(cell.get("value", np.nan)))


def _words(cell: Cell) -> str:
    if not _is_measured(cell):
        return "n/a"
    mark = " *" if cell["p_adjusted"] <= _LEVEL else ""
    value, low, high = (f"{round(cell[name], 2) + 0.0:+.2f}" for name in ("value", "low", "high"))  # + 0.0: no minus zero
    interval = f"<br>{low} to<br>{high}" if np.isfinite([cell["low"], cell["high"]]).all() else ""
    return f"<b>{value}</b>{mark}{interval}"


def _hover(condition: object, task: object, cell: Cell) -> str:
    name = f"{style.text(condition)}: {style.text(task)}"
    if not _is_measured(cell):
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


def _missing_note(frame: pd.DataFrame) -> str:
    missing = frame[~np.isfinite(frame["value"])].to_dict("records")
    return f"n/a: {'; '.join(dict.fromkeys(map(_reason, missing)))}" if missing else ""


def _aim_note(condition: str, cells: Cells, tasks: Sequence[Any]) -> str:
    """The aim in brackets, unless the condition's name already says it."""
    aims = {str(cells[place]["aim"]) for task in tasks if (place := (condition, task)) in cells and cells[place]["aim"]}
    return ", ".join(f"(aimed at {aim})" for aim in sorted(aims) if f"aimed at {aim}" not in condition)


def _spoken(cells: Cells, conditions: Sequence[Any], tasks: Sequence[Any]) -> str:
    parts = []
    for condition in conditions:
        own = [(task, cells.get((condition, task), {})) for task in tasks]
        values = ", ".join(
            f"{task} {cell['value']:+.2f}" if _is_measured(cell) else f"{task} not measured" for task, cell in own
        )
        parts.append(f"{condition} {_aim_note(str(condition), cells, tasks)}".rstrip() + f": {values}")
    return f"{'; '.join(parts) or 'nothing was measured'}."
