"""The one visual language: palette, template, titles that fit a phone, intervals as lines, and text that stays text."""

import html
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int
from numpy import ndarray

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
"""Okabe and Ito's palette, distinct under the common forms of colour blindness."""
GREY, PALE, INK = "#767676", "#E3E3E3", "#222222"
WARM, COOL = "#E28E4D", "#4D9CC9"
"""Vermillion and blue with 30 % white, for cells: ink stays readable on them."""
VEIL = "rgba(255,255,255,0.8)"
"""Behind a label that lies over marks."""

GROUND = "#1B1B1B"
DARK = {
    "white": GROUND, VEIL: "rgba(27,27,27,0.8)", INK: "#E4E4E4", BLACK: "#F2F2F2", GREY: "#A3A3A3", PALE: "#3A3A3A",
    BLUE: "#3D9BDD", PURPLE: "#A05585", WARM: "#9C4A10", COOL: "#1F6A96",
}  # fmt: skip
"""What a colour is on a dark page, where ink keeps a contrast of 4.5 and marks keep 3; others are seen on both grounds."""


class Look(NamedTuple):
    """How a role or a kind of condition is drawn; the symbol says without colour what the colour says."""

    name: str
    colour: str
    symbol: str


ROLES = {
    "harmful": Look("harmful requests", VERMILLION, "circle"),
    "near": Look("near twins", BLUE, "diamond"),
    "far": Look("far twins", GREEN, "square"),
}

KINDS = {
    "circuit": Look("circuit", VERMILLION, "circle"),
    "aimed-at-twins": Look("aimed at twins", BLUE, "diamond"),
    "aimed-at-recognition": Look("aimed at recognition", PURPLE, "hexagon"),
    "aimed-at-explanation": Look("aimed at explanation", PURPLE, "pentagon"),
    "random": Look("random", GREY, "triangle-up"),
    "matched-random": Look("matched random", GREY, "square"),
    "label-swap": Look("label swap", GREY, "cross"),
}
"""What is aimed at nothing in particular is grey."""

TITLE_WIDTH, NOTE_WIDTH, LABEL_WIDTH = 42, 52, 44  # characters that fit into 380 px in each font
_BOTH, _PLAIN, _LEAST = 50, 0.85, 16
"""Bold letters that fit beside a short plain part, the width of a plain letter among them, and how many bold ones stay."""
_LINE, _NOTE_LINE, _LEGEND_LINE = 20, 16, 29  # px
_PHONE = 340  # px of plot that a phone leaves
_RAISED = 10  # px by which plotly raises a title for each line after the first, out of the figure
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"


_BUTTONS = ("sendChartToCloud", "lasso2d", "select2d", "zoomIn2d", "zoomOut2d", "autoScale2d")
"""Buttons to leave out: plotly.js 4 offers to upload the chart, and a figure of ours sends nothing anywhere."""


class FigureError(ValueError):
    """A figure can't be drawn from what it was given, or can't be saved; the message names the cause and the cure."""


def text(value: object) -> str:
    """`value` as plotly must be given it so that it is shown as it is: plotly reads `<b>` and `&lt;` in labels.

    >>> text("a<b>")
    'a&lt;b&gt;'
    """
    return html.escape(str(value), quote=False)


def wrapped(value: str, width: int) -> list[str]:
    """`value` in lines of at most `width` characters, each made safe by `text`."""
    return [text(line) for line in textwrap.wrap(value, width)]


def number(value: float, *, digits: int = 4) -> str:
    """A signed number for hovers and notes.

    >>> number(0.01234)
    '+0.0123'
    """
    return f"{value:+.{digits}f}"


def short(value: float) -> str:
    """A signed number for cells.

    >>> short(-0.001)
    '+0.00'
    """
    return f"{round(value, 2) + 0.0:+.2f}"  # + 0.0: no minus zero


def interval(low: float, high: float, *, digits: int = 3) -> str:
    """A 95 % interval for hovers, or a phrase that says there is none."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "no interval"
    return f"95 % interval {low:.{digits}f} to {high:.{digits}f}"


def figure(
    *,
    title: str,
    height: float,
    caption: str,
    alt: str,
    note: str = "",
    legend: Sequence[str] = (),
    under: float = 56,
) -> go.Figure:
    """An empty figure in the house style: as wide as its box, legend below, title and note in lines that fit a phone.

    Args:
        title: the question that the figure answers, plain text.
        height: of the plotting area, px; room for everything around it is added.
        caption: one or two sentences for the page around the figure.
        alt: what a reader who can't see the figure should know.
        note: plain text in small type under the title, for what is not shown.
        legend: the legend's entries, for which room is left at a phone's width.
        under: px between the plotting area and the legend (ticks, the axis title, a colour bar).
    """
    titles, notes = wrapped(title, TITLE_WIDTH), wrapped(note, NOTE_WIDTH)
    down = _RAISED * (len(titles) - 1)
    top = 24 + _LINE * len(titles) + _NOTE_LINE * len(notes) + (6 + down if notes else 0)
    bottom = under + _legend_height(legend) + 8
    heading: dict[str, Any] = {"text": "<br>".join(titles), "pad": {"l": 12, "t": 14 + down}}
    if notes:
        heading["subtitle"] = {"text": "<br>".join(notes), "font": {"size": 12, "color": GREY}}
    drawn = go.Figure()
    drawn.update_layout(
        template=_template(),
        title=heading,
        height=height + top + bottom,
        margin={"t": top, "b": bottom, "l": 12, "r": 16},
        legend_y=-under / height,
        meta={"caption": caption, "alt": alt, "dark": DARK},
    )
    return drawn


def _legend_height(names: Iterable[str]) -> int:
    """px of a horizontal legend under a plot on a phone: plotly puts its entries into lines, as many as the width takes.

    >>> _legend_height(["harmful requests", "near twins"]), _legend_height([])
    (29, 0)
    """
    lines, used = 0, float("inf")
    for name in names:
        needed = 48 + 7 * len(name)
        if used + needed > _PHONE:
            lines, used = lines + 1, 0.0
        used += needed
    return _LEGEND_LINE * lines


def colour_bar(title: str, *, below: float, height: float) -> dict[str, Any]:
    """A colour bar that lies under a plot as wide as it, its title above.

    Args:
        title: what the colours are, with their unit.
        below: px from the plot's lower edge to its top.
        height: of the plot, px.

    >>> colour_bar("attention", below=92, height=460)["y"]
    -0.2
    """
    return {
        "orientation": "h",
        "title": {"text": title, "side": "top", "font": {"size": 13}},
        "thickness": 12,
        "len": 1,
        "x": 0.5,
        "y": -below / height,
        "yanchor": "top",
        "nticks": 5,
        "ypad": 0,
    }


def _template() -> go.layout.Template:
    axis = {
        "automargin": True,
        "gridcolor": PALE,
        "linecolor": GREY,
        "ticks": "outside",
        "tickcolor": GREY,
        "tickfont": {"size": 12},
        "title": {"font": {"size": 13}, "standoff": 8},
        "zeroline": False,
        "zerolinecolor": INK,
        "zerolinewidth": 1,
    }
    title = {"x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "font": {"size": 16}}
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "top", "itemsizing": "constant"}
    hover = {"bgcolor": "white", "bordercolor": GREY, "align": "left", "font": {"size": 13, "color": INK}}
    return go.layout.Template(
        layout={
            "autosize": True,
            "font": {"family": _FONT, "size": 13, "color": INK},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "colorway": [VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, BLACK],
            "title": title | {"pad": {"l": 12, "t": 14}},
            "legend": legend | {"font": {"size": 12}},
            "hoverlabel": hover,
            "hovermode": "closest",
            "modebar": {"remove": list(_BUTTONS)},
            "xaxis": axis,
            "yaxis": axis,
        }
    )


Line = tuple[list[float | None], list[float | None]]


def segments(low: Iterable[float], high: Iterable[float], at: Iterable[float]) -> Line:
    """Coordinates (along, across) of lines from `low` to `high`, a gap after each; what has no interval is left out.

    Lines and not plotly's error bars: those are lengths from the estimate, which a bootstrap interval need not hold.
    """
    along: list[float | None] = []
    across: list[float | None] = []
    for start, stop, where in zip(low, high, at, strict=True):
        if np.isfinite(start) and np.isfinite(stop):
            along += [start, stop, None]
            across += [where, where, None]
    return along, across


def interval_lines(line: Line, *, colour: str, group: str, vertical: bool = False, width: float = 2) -> go.Scatter:
    """The trace that draws `segments`; it appears and disappears with its `group` in the legend."""
    y, x = line if vertical else line[::-1]
    style = {"color": colour, "width": width}
    return go.Scatter(x=x, y=y, mode="lines", line=style, hoverinfo="skip", showlegend=False, legendgroup=group)


def span(*values: Iterable[float], hold: float) -> list[float]:
    """An axis range that holds every finite value and `hold`, with room at both ends so that no interval looks cut.

    >>> span([1.0, float("nan")], hold=0)
    [-0.05, 1.05]
    """
    finite = [value for part in values for value in part if np.isfinite(value)] + [hold]
    room = 0.05 * (max(finite) - min(finite)) or 0.5
    return [min(finite) - room, max(finite) + room]


def scattered(index: Int[ndarray, " point"]) -> Float[ndarray, " point"]:
    """Evenly spread places in [0, 1) that depend on `index` alone, so that the same data give the same picture."""
    return (index * 0.6180339887498949) % 1  # multiples of the golden ratio


def row_labels(drawn: go.Figure, labels: Sequence[tuple[str, str]]) -> None:
    """Rows 0, 1, … downwards, each with its label (bold, plain) above its points.

    Beside them long labels would leave a phone no room for the points. What does not fit is shortened, the bold part first.
    """
    for row, (bold, plain) in enumerate(labels):
        kept = _short(plain, LABEL_WIDTH - _LEAST)
        room = min(LABEL_WIDTH, int(_BOTH - _PLAIN * (len(kept) + 1)))
        drawn.add_annotation(
            text=f"<b>{text(_short(bold, room))}</b>{f' {text(kept)}' if kept else ''}",
            x=0, xref="x domain", xanchor="left", y=row - 0.42, yanchor="top", showarrow=False,
            bgcolor=VEIL, borderpad=0, font={"size": 12},
        )  # fmt: skip
    edges = [row - 0.45 for row in range(len(labels) + 1)]
    bounds = [max(len(labels), 1) - 0.45, -0.45]
    drawn.update_yaxes(range=bounds, tickvals=edges, showticklabels=False, ticks="", showline=False, fixedrange=True)


def _short(words: str, width: int) -> str:
    return textwrap.shorten(words, width, placeholder="…") if len(words) > width else words


def whole_ticks(numbers: float) -> dict[str, int]:
    """A tick a number on an axis of at most 8 whole numbers, between which plotly would put others."""
    return {"dtick": 1} if numbers <= 8 else {}


def checked(frame: pd.DataFrame, columns: Sequence[str], *, numbers: Sequence[str], what: str) -> pd.DataFrame:
    """`frame` with a fresh index and its `numbers` as floats (null: NaN).

    Raises:
        FigureError: a column is missing or does not hold numbers.
    """
    missing = [column for column in columns if column not in frame]
    if missing:
        raise FigureError(f"{what} needs the columns {list(columns)}; missing: {missing}. Rename or add them.")
    result = frame.reset_index(drop=True).copy()
    for column in numbers:
        try:
            result[column] = pd.to_numeric(result[column]).astype(float)
        except (TypeError, ValueError) as error:
            raise FigureError(f"{what}: column {column!r} must hold numbers (or null): {error}") from error
    return result


def refuse_unknown(values: Iterable[object], known: Iterable[str], *, what: str) -> None:
    """Raises FigureError for a value outside `known`."""
    unknown = sorted({str(value) for value in values} - set(known))
    if unknown:
        raise FigureError(f"{what} {unknown} unknown; use one of {list(known)}.")
