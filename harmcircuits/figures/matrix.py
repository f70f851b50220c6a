"""Heat maps: a matrix of few cells with their numbers written in; a map of many cells, such as all heads, by colour alone."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float

from ..errors import HarmcircuitsError
from . import style

_NAMES, _CELL, _ROW = 110, 40, 66
"""Pixels of the rows' names, of the narrowest cell whose number can be read, and of a row."""
_ROOMY, _ACROSS, _LABEL = 5, 52, 13
"""On a phone: columns up to which a cell has room for its interval, letters side by side, and letters of a name's line."""
_MAP_ROW, _LEAST, _MOST = 15, 180, 720
"""Pixels of a row of a map, and of the lowest and the highest map."""
_CAPTION = "Attribution A, averaged over examples. Positive: the head promotes the response. Negative: it suppresses it."
_SURE = " Underlined: the 95 % interval over examples (each head's, not adjusted for their number) excludes 0."
_MARKERS = {
    "interval excludes 0": {"symbol": "line-ew", "size": 7, "line": {"color": style.BLACK, "width": 1.5}},
    "selected": {"symbol": "x", "size": 9, "color": style.BLACK, "line": {"color": "white", "width": 1}},
    "protected": {"symbol": "square-open", "size": 11, "color": style.GREY, "line": {"width": 2}},
}


def matrix(frame: pd.DataFrame, *, title: str, caption: str, x_title: str, bar: str) -> go.Figure:
    """Draw a coloured cell for each value with its number, blue below 0, vermillion above, white at 0.

    Args:
        frame: columns row, column, value; one line a cell, in the order of the figure. Optional: low, high (the interval, which
            is written where there is room), colour (a number; the value by default), framed (True: the cell has a frame).
        x_title: what the columns are.
        bar: what the colours are, with their unit.

    Raises:
        HarmcircuitsError: a column is missing, or a cell has two lines.

    >>> frame = pd.DataFrame({"row": ["scams", "theft"], "column": "scams", "value": [0.5, 0.25]})
    >>> matrix(frame, title="Shared?", caption="ΔL", x_title="tested on", bar="ΔL").data[0].text[1][0]
    '<b>+0.25</b>'
    """
    frame = style.checked(frame, ["row", "column", "value"], optional={"low": np.nan, "high": np.nan, "framed": False})
    if frame.duplicated(["row", "column"]).any():
        raise HarmcircuitsError("a cell of the matrix has two lines: keep one for each row and column.")
    rows, columns = ([*dict.fromkeys(frame[name])] for name in ("row", "column"))
    wide = frame.set_index(["row", "column"]).reindex(pd.MultiIndex.from_product([rows, columns]))
    grid = lambda name: wide[name].to_numpy(dtype=float).reshape(len(rows), len(columns))
    cells = np.stack([grid(name) for name in ("value", "low", "high")], -1)
    longest = max((len(word) for name in columns for word in name.split()), default=0)
    roomy, crowded = len(columns) <= _ROOMY, len(columns) * longest > _ACROSS  # crowded: names would touch on a phone
    aslant = 30 if roomy and crowded else 0
    drawn = _heat(
        grid("colour" if "colour" in frame else "value"),
        hover=[[f"{row}, {column}: {style.estimate_text(*cell)}" for column, cell in zip(columns, line, strict=True)]
               for row, line in zip(rows, cells, strict=True)],
        title=title, caption=caption, bar=bar, height=max(_ROW * len(rows), 120), under=92 + aslant,
        text=[[_written(cell, roomy=roomy) for cell in line] for line in cells], texttemplate="%{text}", xgap=2, ygap=2,
        textfont={"size": 11 if roomy else 9, "color": style.INK}, colours=(style.COOL, style.WARM), diverging=True,
    )  # fmt: skip
    angle = {"autotickangles": [0, -60]} if roomy else {"tickangle": -60}  # aslant where a narrow box would make names touch
    drawn.update_xaxes(title_text=x_title, tickfont={"size": 9 if crowded else 10}, fixedrange=True, **_named(columns), **angle)
    drawn.update_yaxes(autorange="reversed", tickfont={"size": 10}, fixedrange=True, **_named(rows))
    drawn.update_layout(meta={**drawn.layout.meta, "least_width": _NAMES + _CELL * len(columns)})
    for row, column in frame.loc[frame["framed"].astype(bool), ["row", "column"]].to_numpy():
        x, y = columns.index(column), rows.index(row)
        edges = {"x0": x - 0.48, "x1": x + 0.48, "y0": y - 0.48, "y1": y + 0.48}
        drawn.add_shape(type="rect", **edges, line={"color": style.BLACK, "width": 2.5})
    return drawn


def heatmap(
    values: pd.DataFrame,
    *,
    title: str,
    caption: str,
    x_title: str,
    y_title: str,
    bar: str,
    boundary: int = 0,
    legend: Sequence[str] = (),
) -> go.Figure:
    """Draw a coloured cell for each value, rows downwards; from white where no value is below 0, else blue, white, vermillion.

    Args:
        values: rows and columns by number or name (which need not be unique); nan is left blank.
        x_title: what columns are.
        y_title: what rows are.
        bar: what the colours are, with their unit.
        boundary: a line before this row and this column, counted from 0; 0 draws none.
        legend: entries of marks that the caller adds, for which room is left.

    >>> drawn = heatmap(pd.DataFrame([[0.1, -0.2]]), title="Where?", caption="A", x_title="head", y_title="layer", bar="A")
    >>> drawn.data[0].hovertext[0][1], drawn.data[0].zmax
    ('layer 0, head 1: -0.2000', 0.2)
    """
    z, height = values.to_numpy(dtype=float), min(max(_MAP_ROW * len(values), _LEAST), _MOST)
    label = lambda row, column, value: f"{y_title} {row}, {x_title} {column}: {style.estimate_text(value, digits=4)}"
    hover = [[label(row, *cell) for cell in zip(values, line, strict=True)] for row, line in zip(values.index, z, strict=True)]
    numbered = pd.api.types.is_numeric_dtype(values.columns)
    under = 68 if numbered else 120  # names may lie aslant
    drawn = _heat(
        z, hover=hover, title=title, caption=caption, bar=bar, height=height, under=under, legend=legend, xgap=1, ygap=1,
        colours=(style.BLUE, style.VERMILLION), diverging=bool((z < 0).any()),
    )  # fmt: skip
    for update, axis, labels in ((drawn.update_xaxes, x_title, values.columns), (drawn.update_yaxes, y_title, values.index)):
        numbers = pd.api.types.is_numeric_dtype(labels)
        ticks = {"tickformat": "d", "dtick": 1 if len(labels) <= 8 else None} if numbers else _named([*labels])
        ticks |= {"tickfont": {"size": 9}} if len(labels) > 16 else {}
        update(title_text=axis, range=[-0.5, len(labels) - 0.5], **ticks)
    if 0 < boundary < len(values):
        line = {"color": style.BLACK, "width": 1.5}
        drawn.add_hline(y=boundary - 0.5, line=line).add_vline(x=boundary - 0.5, line=line)
    return drawn.update_yaxes(range=[len(values) - 0.5, -0.5])


def heads(
    scores: Float[np.ndarray, "layer head"],
    *,
    low: Float[np.ndarray, "layer head"] | None = None,
    high: Float[np.ndarray, "layer head"] | None = None,
    selected: Iterable[tuple[int, int]] = (),
    protected: Iterable[tuple[int, int]] = (),
    title: str = "Which attention heads write the response?",
) -> go.Figure:
    """Draw a heat map of the heads; marks show which are selected, which protected, and whose interval excludes 0.

    Args:
        scores: A of each head, nats per token; nan (not measured) is left blank.
        low: lower ends of the heads' 95 % intervals.
        high: upper ends.
        selected: (layer, head) of a circuit.
        protected: (layer, head) that benign responses need, and that selection leaves out.

    Raises:
        HarmcircuitsError: a marked head lies outside the scores.

    >>> drawn = heads(np.array([[0.1, -0.2]]), selected=[(0, 1)], protected=[(0, 0)])
    >>> [trace.name for trace in drawn.data[1:]]
    ['selected (1)', 'protected (1)']
    """
    sure = [] if low is None or high is None else list(zip(*np.nonzero((low > 0) | (high < 0)), strict=True))
    marked = [sure, sorted(selected), sorted(protected)]
    named = zip(_MARKERS, marked, strict=True)
    marks = {f"{name} ({len(pairs):,})": (pairs, _MARKERS[name]) for name, pairs in named if pairs}
    n_layers, n_heads = scores.shape
    if outside := [pair for pairs, _ in marks.values() for pair in pairs if not (pair[0] < n_layers and pair[1] < n_heads)]:
        raise HarmcircuitsError(f"head {outside[0]} lies outside the scores of shape {scores.shape}: take both from one model.")
    drawn = heatmap(
        pd.DataFrame(scores),
        title=title,
        caption=_CAPTION + (_SURE if low is not None else ""),
        x_title="head",
        y_title="layer",
        bar="attribution A (nats per token)",
        legend=list(marks),
    )
    for name, (pairs, marker) in marks.items():
        layers, indices = np.array(pairs).T
        y = layers + 0.3 if pairs is sure else layers
        drawn.add_scatter(x=indices, y=y, mode="markers", name=name, marker=marker, hoverinfo="skip", showlegend=True)
    return drawn


def layer_by_kind(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column of a table with one row a weight matrix, for `heatmap`: layers downwards, kinds to the right, in order.

    >>> table = pd.DataFrame({"layer": [0, 0], "kind": ["attn.q", "attn.o"], "share": [0.75, 0.25]})
    >>> layer_by_kind(table, "share").to_dict("list")
    {'attn.q': [0.75], 'attn.o': [0.25]}
    """
    return table.pivot(index="layer", columns="kind", values=column)[[*dict.fromkeys(table["kind"])]]


def _heat(
    z: np.ndarray, *, hover: list[list[str]], title: str, caption: str, bar: str, height: float, under: float,
    colours: tuple[str, str], diverging: bool, legend: Sequence[str] = (), **cells: Any,
) -> go.Figure:  # fmt: skip
    """A figure with one heat map, its colour bar `under` px below; the alternative text names the extremes."""
    flat, largest = [text for line in hover for text in line], float(np.nanmax(np.abs(z), initial=0)) or 1.0
    order = [int(at) for at in np.argsort(-z, axis=None) if np.isfinite(z.flat[at])]
    extremes = f"highest {flat[order[0]]}; lowest {flat[order[-1]]}" if order else "nothing was measured"
    alt = "; ".join(flat) if len(flat) <= 30 else f"{z.shape[0]} by {z.shape[1]} cells; {extremes}"
    drawn = style.figure(title=title, caption=caption, alt=alt, height=height, under=under + 60, legend=legend)
    colour_bar = {
        "orientation": "h", "title": {"text": bar, "side": "top", "font": {"size": 13}}, "thickness": 12, "nticks": 5,
        "len": 1, "x": 0.5, "y": -under / height, "yanchor": "top", "ypad": 0,
    }  # fmt: skip
    scale = [(0, colours[0]), (0.5, "white"), (1, colours[1])] if diverging else [(0, "white"), (1, colours[1])]
    drawn.add_heatmap(
        z=z, zmin=-largest if diverging else 0, zmax=largest, colorscale=scale, hoverongaps=False,
        hovertext=[[style.text(text) for text in line] for line in hover], hovertemplate="%{hovertext}<extra></extra>",
        colorbar=colour_bar, **cells,
    )  # fmt: skip
    return drawn.update_xaxes(showgrid=False).update_yaxes(showgrid=False)


def _written(cell: np.ndarray, *, roomy: bool) -> str:
    value, *ends = (f"{round(number, 2) + 0.0:+.2f}" for number in cell)  # + 0.0: no minus zero
    if not np.isfinite(cell[0]):
        return ""
    return f"<b>{value}</b>" + (f"<br>{ends[0]} to<br>{ends[1]}" if roomy and np.isfinite(cell).all() else "")


def _named(names: Sequence[str]) -> dict[str, Any]:
    lines = [textwrap.wrap(str(name).replace("-", " "), _LABEL, break_long_words=False) or ["␣"] for name in names]
    return {"tickvals": list(range(len(names))), "ticktext": ["<br>".join(map(style.text, parts)) for parts in lines]}
