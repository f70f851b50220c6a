"""The one visual language: colours, symbols, template, text that stays text, and titles and legends that fit a phone."""

import html
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..errors import HarmcircuitsError

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
"""Okabe and Ito's palette, distinct under the common forms of colour blindness."""
GREY, PALE, INK = "#767676", "#E3E3E3", "#222222"
WARM, COOL = "#E28E4D", "#4D9CC9"
"""Vermillion and blue with 30 % white, for cells: ink stays readable on them."""
VEIL = "rgba(255,255,255,0.8)"
"""Behind a label that lies over marks."""
DARK = {
    "white": "#1B1B1B", VEIL: "rgba(27,27,27,0.8)", INK: "#E4E4E4", BLACK: "#F2F2F2", GREY: "#A3A3A3", PALE: "#3A3A3A",
    BLUE: "#3D9BDD", PURPLE: "#A05585", WARM: "#9C4A10", COOL: "#1F6A96",
}  # fmt: skip
"""What a colour is on a dark page, where ink keeps a contrast of 4.5 and marks keep 3; others are seen on both grounds."""


class Look(NamedTuple):
    """Colour and symbol of a series, each telling it apart alone, and whether its points are joined by a line."""

    colour: str
    symbol: str
    joined: bool = True


LOOKS = {
    "harmful": Look(VERMILLION, "circle"),
    "matched benign": Look(BLUE, "diamond"),
    "unrelated benign": Look(GREEN, "square"),
    "beyond benign": Look(PURPLE, "diamond"),
    "beyond random": Look(GREY, "square"),
    "circuit": Look(VERMILLION, "circle"),
    "aimed at benign": Look(BLUE, "diamond"),
    "aimed at recognition": Look(PURPLE, "hexagon"),
    "random": Look(GREY, "triangle-up", joined=False),
    "matched random": Look(GREY, "square", joined=False),
    "label swap": Look(GREY, "cross", joined=False),
    "balanced": Look(BLUE, "circle"),
    "one-sided": Look(VERMILLION, "circle-open"),
    "same sign": Look(BLACK, "circle"),
    "signs differ": Look(ORANGE, "x"),
    "heads": Look(BLACK, "circle"),
    "neurons": Look(ORANGE, "square"),
}
"""Series that mean the same in every figure; grey is aimed at nothing in particular."""
OTHERS = [Look(VERMILLION, "circle"), Look(BLUE, "diamond"), Look(GREEN, "square"), Look(PURPLE, "hexagon"), Look(ORANGE, "x")]
"""Looks of other series, in turn."""
ROLE_NAMES = {"harmful": "harmful", "near": "matched benign", "far": "unrelated benign"}
"""Series name of each role of requests."""

TITLE_WIDTH = 42  # characters that fit into 380 px
TITLE_LINE, _LEGEND_LINE, _GAP = 20, 29, 96  # px: of a title, of a legend, between facets
_PHONE = 340  # px of plot that a phone leaves
_RAISED = 10  # px by which plotly raises a title for each line after the first, out of the figure
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
_BUTTONS = ("sendChartToCloud", "lasso2d", "select2d", "zoomIn2d", "zoomOut2d", "autoScale2d")
"""Buttons to leave out: plotly.js offers to upload the chart, and a figure of ours sends nothing anywhere."""


def looks(series: Iterable[str]) -> dict[str, Look]:
    """The look of each series, known ones by name, others in turn.

    >>> looks(["harmful", "a", "b"])["b"].symbol
    'diamond'
    """
    names = list(dict.fromkeys(series))
    others = [name for name in names if name not in LOOKS]
    return {name: LOOKS.get(name) or OTHERS[others.index(name) % len(OTHERS)] for name in names}


def text(value: object) -> str:
    """`value` as plotly must be given it so that it is shown as it is: plotly reads `<b>` and `&lt;` in labels.

    >>> text("a<b>")
    'a&lt;b&gt;'
    """
    return html.escape(str(value), quote=False)


def estimate_text(value: float, low: float = np.nan, high: float = np.nan, *, digits: int = 3) -> str:
    """A value with its 95 % interval, for hovers.

    >>> estimate_text(0.5, 0.25, 0.75), estimate_text(-0.5), estimate_text(np.nan)
    ('+0.500 [+0.250, +0.750]', '-0.500', 'not measured')
    """
    if not np.isfinite(value):
        return "not measured"
    ends = f" [{low:+.{digits}f}, {high:+.{digits}f}]" if np.isfinite([low, high]).all() else ""
    return f"{value:+.{digits}f}{ends}"


def estimates(frame: pd.DataFrame, *columns: str) -> pd.Series:
    """`estimate_text` of each line; columns value, low and high by default."""
    numbers = frame[[*(columns or ("value", "low", "high"))]].to_numpy(dtype=float)
    return pd.Series([estimate_text(*row) for row in numbers], index=frame.index, dtype=object)


def listed(texts: Iterable[str], *, most: int = 30) -> str:
    """The first texts as one, for a text alternative.

    >>> listed(["a", "b", "c"], most=2)
    'a; b; and 1 more'
    """
    every = list(texts)
    return "; ".join(every[:most] + ([f"and {len(every) - most:,} more"] if len(every) > most else []))


def checked(frame: pd.DataFrame, columns: Sequence[str], *, optional: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The frame with a fresh index, optional columns filled in, numbers as floats and text as objects.

    Raises:
        HarmcircuitsError: a column is missing.
    """
    if missing := [column for column in columns if column not in frame]:
        raise HarmcircuitsError(f"the figure needs the columns {list(columns)}; missing: {missing}. Rename or add them.")
    frame = frame.reset_index(drop=True)
    frame = frame.assign(**{column: value for column, value in (optional or {}).items() if column not in frame})
    types = dict.fromkeys(frame.select_dtypes(exclude="number"), object)
    types |= {column: float for column in ("value", "low", "high", "x_low", "x_high") if column in frame}
    return frame.astype(types)


def facets(frame: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    """Return the row and the lines of each facet, of one at least."""
    names = list(dict.fromkeys(frame["facet"])) or [""]
    return [(row, frame[frame["facet"] == facet]) for row, facet in enumerate(names, start=1)]


def series(frame: pd.DataFrame) -> Iterator[tuple[str, Look, pd.DataFrame, dict[str, Any]]]:
    """Yield name, look, lines and what a trace is given, of each series in each facet."""
    for row, plot in facets(frame):
        for name, look in looks(frame["series"]).items():
            points = plot[plot["series"] == name]
            hover = {"hovertext": points["hover"].map(text), "hovertemplate": "%{hovertext}<extra></extra>"}
            yield name, look, points, {"name": text(name), "showlegend": row == 1, **hover, "row": row, "col": 1}


def plots(
    frame: pd.DataFrame, *, title: str, caption: str, alt: pd.Series, heights: tuple[float, float], legend: bool = True
) -> go.Figure:
    """An empty figure with a plot for each facet of `frame`; `heights`, px, are those of one alone and of one of several."""
    names, entries = list(dict.fromkeys(frame["facet"])) or [""], list(looks(frame["series"])) if legend else []
    height = heights[len(names) > 1]
    drawn = figure(title=title, caption=caption, alt=listed(alt), height=height, facets=names, legend=entries)
    return drawn.update_layout(showlegend=legend)


def figure(
    *,
    title: str,
    caption: str,
    alt: str,
    height: float,
    facets: Sequence[str] = ("",),
    legend: Sequence[str] = (),
    under: float = 56,
) -> go.Figure:
    """An empty figure: as wide as its box, one plot a facet below one another, the legend at the foot.

    Args:
        title: the question that the figure answers, plain text.
        caption: one or two sentences for the page around the figure.
        alt: what a reader who can't see the figure should know.
        height: of one plot, px; room for everything around it is added.
        facets: a heading for each plot.
        legend: the legend's entries, for which room is left at a phone's width.
        under: px between the lowest plot and the legend (ticks, the axis title, a colour bar).
    """
    titles = [text(line) for line in textwrap.wrap(title, TITLE_WIDTH)]
    plots = len(facets) * height + (len(facets) - 1) * _GAP
    headings = [f"<b>{text(facet)}</b>" for facet in facets] if len(facets) > 1 else None
    drawn = make_subplots(rows=len(facets), vertical_spacing=_GAP / plots, subplot_titles=headings)
    down = _RAISED * (len(titles) - 1)
    top, bottom = 28 + TITLE_LINE * (len(titles) + (len(facets) > 1)), under + _legend_height(legend) + 8
    drawn.update_layout(
        template=_template(),
        title={"text": "<br>".join(titles), "pad": {"l": 12, "t": 14 + down}},
        height=plots + top + bottom,
        margin={"t": top, "b": bottom, "l": 12, "r": 16},
        legend_y=-under / plots,
        meta={"caption": caption, "alt": alt or "Nothing to show.", "dark": DARK},
    )
    return drawn.update_annotations(font_size=13)


def _legend_height(names: Iterable[str]) -> int:
    """px of a horizontal legend under a plot on a phone: plotly puts its entries into lines, as many as the width takes.

    >>> _legend_height(["harmful", "matched benign"]), _legend_height([])
    (29, 0)
    """
    lines, used = 0, float("inf")
    for name in names:
        needed = 48 + 7 * len(name)
        if used + needed > _PHONE:
            lines, used = lines + 1, 0.0
        used += needed
    return _LEGEND_LINE * lines


def error_bars(points: pd.DataFrame, look: Look, *columns: str) -> dict[str, Any]:
    """Plotly's error bars; one length is negative where the estimate lies outside its interval. Columns as in `estimates`."""
    value, low, high = (points[column] for column in columns or ("value", "low", "high"))
    lengths = {"array": high - value, "arrayminus": value - low}
    return {"type": "data", "symmetric": False, **lengths, "color": look.colour, "thickness": 1.5, "width": 0}


def span(*values: Iterable[float], hold: float = 0.0) -> list[float]:
    """An axis range that holds every finite value and `hold`, with room at both ends so that no interval looks cut.

    >>> span([1.0, float("nan")])
    [-0.05, 1.05]
    """
    finite = [value for part in values for value in part if np.isfinite(value)] + [hold]
    room = 0.05 * (max(finite) - min(finite)) or 0.5
    return [min(finite) - room, max(finite) + room]


def _template() -> go.layout.Template:
    axis = {
        "automargin": True, "gridcolor": PALE, "linecolor": GREY, "ticks": "outside", "tickcolor": GREY,
        "tickfont": {"size": 12}, "title": {"font": {"size": 13}, "standoff": 8}, "zeroline": False, "zerolinecolor": INK,
        "zerolinewidth": 1,
    }  # fmt: skip
    title = {"x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "font": {"size": 16}}
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "top", "itemsizing": "constant", "font": {"size": 12}}
    hover = {"bgcolor": "white", "bordercolor": GREY, "align": "left", "font": {"size": 13, "color": INK}}
    return go.layout.Template(
        layout={
            "autosize": True, "font": {"family": _FONT, "size": 13, "color": INK}, "paper_bgcolor": "white",
            "plot_bgcolor": "white", "colorway": [look.colour for look in OTHERS], "title": title, "legend": legend,
            "hoverlabel": hover, "hovermode": "closest", "modebar": {"remove": list(_BUTTONS)}, "xaxis": axis, "yaxis": axis,
        }
    )  # fmt: skip
