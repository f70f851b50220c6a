"""A matrix of coloured cells with their numbers written in, as several figures draw it."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import FigureError

Cell = Mapping[Any, Any]
Place = tuple[str, str]
_ROW, _LABEL = 66, 13
_BAR, _UNDER, _ASLANT = 92, 152, 30  # px below the cells: to the bar, to the end, and more where names may lie aslant
_NAMES, _CELL = 110, 40  # px: the rows' names, and the narrowest cell whose number can be read
_ROOMY = 5
"""Columns up to which a cell has room for its interval on a phone."""
_ACROSS = 52
"""Letters of ten pixels that fit beside one another there, as long as each column's longest word."""


def by_place(frame: pd.DataFrame, row: str, column: str, what: str) -> dict[Place, Cell]:
    """The rows of a frame by their place in the matrix: what two of its columns name.

    Raises:
        FigureError: two rows for one place, beginning with `what`: the figure.

    >>> by_place(pd.DataFrame([("money", "sport", 0.5)], columns=["learnt", "asked", "value"]), "learnt", "asked", "cells")
    {('money', 'sport'): {'learnt': 'money', 'asked': 'sport', 'value': 0.5}}
    """
    cells: dict[Place, Cell] = {}
    for cell in records(frame):
        place = str(cell[row]), str(cell[column])
        if place in cells:
            raise FigureError(f"{what}: {place[0]!r} has two rows for {place[1]!r}; keep one a cell.")
        cells[place] = cell
    return cells


def records(frame: pd.DataFrame) -> list[Cell]:
    """The rows, by column."""
    return list(frame.to_dict("records"))


def matrix(
    cells: Mapping[Place, Cell],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    value: str,
    words: Callable[[Cell, bool], str],
    hover: Callable[[Place, Cell], str],
    title: str,
    axis: str,
    bar: str,
    caption: str,
    alt: str,
    full: float = 0.0,
    note: str = "",
    framed: Sequence[Place] = (),
) -> go.Figure:
    """A figure with a coloured, written cell for each row and column; blue below 0, vermillion above, white at 0.

    Args:
        cells: what is known of each place, `value` among it; a place without one stays empty.
        rows, columns: their names, from the top and from the left.
        value: the key of a cell's number, nan where it was not measured.
        words: what is written in a cell; its second argument tells whether there is room for more than the number.
        hover: what pointing at a place tells; the cell is empty where nothing is known.
        axis: what the columns are, said below them.
        bar: what colours are, said above their bar.
        title, caption, alt, note: of the figure, as `style.figure` has them.
        full: the size from which colours are full at the earliest, so that what is next to nothing looks pale.
        framed: places with a frame.
    """
    grid = [[(row, column) for column in columns] for row in rows]
    of = lambda place: cells.get(place, {})
    known = [abs(cell[value]) for cell in cells.values() if np.isfinite(cell[value])]
    limit, height, roomy = max([full, *known]) or 1.0, max(_ROW * len(rows), 120), len(columns) <= _ROOMY
    aslant = _ASLANT if roomy and _crowded(columns) else 0
    drawn = style.figure(title=title, height=height, caption=caption, alt=alt, note=note, under=_UNDER + aslant)
    drawn.add_heatmap(
        z=[[of(place).get(value, np.nan) for place in line] for line in grid],
        x=list(range(len(columns))), y=list(range(len(rows))), xgap=2, ygap=2, zmin=-limit, zmax=limit,
        colorscale=[(0, style.COOL), (0.5, "white"), (1, style.WARM)], hoverongaps=True,
        hovertemplate="%{hovertext}<extra></extra>",
        text=[[words(of(place), roomy) if place in cells else "" for place in line] for line in grid],
        hovertext=[[hover(place, of(place)) for place in line] for line in grid],
        texttemplate="%{text}", textfont={"size": 11 if roomy else 9, "color": style.INK},
        colorbar=style.colour_bar(bar, below=_BAR + aslant, height=height),
    )  # fmt: skip
    drawn.update_xaxes(tickvals=list(range(len(columns))), ticktext=_labels(columns), title_text=axis, showgrid=False)
    angle = {"autotickangles": [0, -60]} if roomy else {"tickangle": -60}  # aslant where a narrow box would make names touch
    drawn.update_xaxes(tickfont={"size": 9 if _crowded(columns) else 10}, fixedrange=True, **angle)
    drawn.update_yaxes(tickvals=list(range(len(rows))), ticktext=_labels(rows), autorange="reversed", showgrid=False)
    drawn.update_yaxes(tickfont={"size": 10}, fixedrange=True)
    drawn.update_layout(meta={**(drawn.layout.meta or {}), "least_width": _NAMES + _CELL * len(columns)})
    for row, column in framed:
        x, y = columns.index(column), rows.index(row)
        edges = {"x0": x - 0.48, "x1": x + 0.48, "y0": y - 0.48, "y1": y + 0.48}
        drawn.add_shape(type="rect", **edges, line={"color": style.BLACK, "width": 2.5})
    return drawn


def _crowded(columns: Sequence[str]) -> bool:
    """Whether the columns' names would touch on a phone."""
    longest = max((len(word) for name in columns for word in name.split()), default=0)
    return len(columns) * longest > _ACROSS


def _labels(names: Sequence[str]) -> list[str]:
    lines = [textwrap.wrap(name.replace("-", " "), _LABEL, break_long_words=False) for name in names]
    return ["<br>".join(map(style.text, own)) for own in lines]
