"""Whether circuits of several aims are the same ones: their overlap as a table, and what falls without each."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .crossed import crossed_effects

_NUMBERS = ["share", "low", "high", "jaccard", "chance", "ceiling"]
_COLUMNS = ["one", "other", *_NUMBERS]
_CELL, _HEAD, _LABEL = 66, 30, 14  # px: a row, what is beside rows, a line of a column's name
_WIDTH = 10
"""Characters of a name that fit over a column on a phone."""
_OVERLAPS = (
    "How alike the circuits of two aims are: their Jaccard overlap beyond chance, as a share of what circuits of one aim that "
    "are found on two halves of its examples have in common. 1: as alike as one aim's own halves; 0: as random circuits of "
    "the same size. Below: 95 % interval, examples drawn again and circuits selected anew. On the diagonal: an aim and "
    "itself, 1 by definition. n/a: not measured."
)
_EFFECTS = (
    "Rows: what was switched off, found by one recipe aimed at each. Columns: the task that falls without it. Numbers: the "
    "standardised effect d, the mean rise of L (over triples, or sentences) divided by its standard deviation, with its 95 % "
    "interval; positive, and vermillion: the task falls. Framed: the task that the circuit was aimed at. *: p of at most 0.05, "
    "adjusted for all cells. Columns compare circuits; rows do not compare tasks, whose lengths differ. Were the circuits of "
    "harm and of a capability one, their rows would look alike."
)


def distinct_overlaps(frame: pd.DataFrame, *, title: str = "Are the circuits of these aims the same?") -> go.Figure:
    """Aims by aims: share of the ceiling as colour and number, with its 95 % interval below it. No unit.

    Args:
        frame: one row a pair, columns one, other, share, low, high, jaccard, chance, ceiling; optionally reason.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, or one that must be numeric is not.

    >>> row = ("harm", "facts", 0.25, 0.1, 0.5, 0.1, 0.01, 0.4)
    >>> drawn = distinct_overlaps(pd.DataFrame([row], columns=_COLUMNS))
    >>> [note.text for note in drawn.layout.annotations if "0.25" in note.text]
    ['<b>0.25</b><br>0.10 to<br>0.50', '<b>0.25</b><br>0.10 to<br>0.50']
    """
    frame = style.checked(frame, _COLUMNS, numbers=_NUMBERS, what="distinct_overlaps")
    aims = list(dict.fromkeys([*frame["one"], *frame["other"]]))
    pairs = {(row["one"], row["other"]): row for row in frame.to_dict("records")}
    cells = pairs | {(other, one): row for (one, other), row in pairs.items()}
    height = _CELL * max(len(aims), 1) + _HEAD
    drawn = style.figure(title=title, height=height, caption=_OVERLAPS, alt=_spoken(frame), under=86)
    _add_heat(drawn, aims, cells, height)
    for row, one in enumerate(aims):
        for column, other in enumerate(aims):
            words = "itself" if one == other else _words(cells.get((one, other), {}))
            drawn.add_annotation(x=column, y=row, text=words, showarrow=False, font={"size": 11, "color": style.INK})
    labels = ["<br>".join(style.wrapped(str(aim), _WIDTH)) for aim in aims]
    places = list(range(len(aims)))
    drawn.update_xaxes(tickvals=places, ticktext=labels, side="top", showgrid=False, ticks="", fixedrange=True, tickangle=0)
    drawn.update_xaxes(tickfont={"size": 10})
    heads = _LABEL * max((label.count("<br>") + 1 for label in labels), default=0)  # their room below the title
    drawn.update_layout(margin_t=drawn.layout.margin.t + heads, height=drawn.layout.height + heads)
    drawn.update_yaxes(
        tickvals=places, ticktext=labels, showgrid=False, ticks="", fixedrange=True, range=[len(aims) - 0.5, -0.5]
    )
    return drawn


def distinct_effects(frame: pd.DataFrame, *, title: str = "What falls without the circuit of each aim?") -> go.Figure:
    """Aims by tasks: `crossed_effects`, with a caption of its own. d of the rise of L; positive: the task falls.

    Args:
        frame: as of `crossed_effects`; drop in nats per token.
        title: the question above the figure.

    Raises:
        FigureError: as of `crossed_effects`.
    """
    drawn = crossed_effects(frame, title=title)
    drawn.update_layout(meta={**drawn.layout.meta, "caption": _EFFECTS})
    return drawn


Cell = Mapping[Any, Any]


def _add_heat(drawn: go.Figure, aims: list[Any], cells: Mapping[tuple[Any, Any], Cell], height: float) -> None:
    value = lambda one, other: np.nan if one == other else cells.get((one, other), {}).get("share", np.nan)
    bar = style.colour_bar("overlap ÷ ceiling (no unit)", below=16, height=height)
    drawn.update_layout(plot_bgcolor=style.PALE)
    drawn.add_heatmap(
        z=[[value(one, other) for other in aims] for one in aims], x=np.arange(len(aims)), y=np.arange(len(aims)),
        zmin=0, zmax=1, colorscale=[(0, "white"), (1, style.WARM)], colorbar=bar, xgap=2, ygap=2, hoverongaps=False,
        text=[[_hover(one, other, cells.get((one, other), {})) for other in aims] for one in aims],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _words(cell: Cell) -> str:
    if not np.isfinite(cell.get("share", np.nan)):
        return "n/a"
    ends = f"<br>{cell['low']:.2f} to<br>{cell['high']:.2f}" if np.isfinite([cell["low"], cell["high"]]).all() else ""
    return f"<b>{cell['share']:.2f}</b>{ends}"


def _hover(one: Any, other: Any, cell: Cell) -> str:
    names = f"<b>{style.text(one)}</b> and <b>{style.text(other)}</b>"
    if not cell:
        return names
    if not np.isfinite(cell["share"]):
        why = "<br>".join(style.text(line) for line in textwrap.wrap(str(cell.get("reason", "")), 44))
        return f"{names}: not measured<br>{why}"
    return (
        f"{names}: {cell['share']:.3f} of the ceiling<br>{style.interval(cell['low'], cell['high'])}<br>"
        f"Jaccard {cell['jaccard']:.3f}, by chance {cell['chance']:.3f}, two halves of one aim {cell['ceiling']:.3f}"
    )


def _spoken(frame: pd.DataFrame) -> str:
    said = [
        f"{row['one']} and {row['other']} " + (f"{row['share']:.2f}" if np.isfinite(row["share"]) else "not measured")
        for row in frame.to_dict("records")
    ]
    return f"Overlap of circuits as a share of what one aim's halves have in common: {', '.join(said) or 'no pair'}."
