"""Points with 95 % intervals: values against sizes or checkpoints, against other values, and estimates below one another."""

import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_ENDS = {"low": np.nan, "high": np.nan}
_ROW, _LABEL = 56, 44
"""Pixels of a row of `forest`, and the characters of a name that fit on a phone."""
_DASHED = {"color": style.GREY, "dash": "dash", "width": 1}


def curves(
    frame: pd.DataFrame,
    *,
    title: str,
    caption: str,
    x_title: str,
    y_title: str,
    log_x: bool = False,
    threshold: float | None = None,
) -> go.Figure:
    """Draw `value` against `x`, one line a series; controls are points without a line.

    Args:
        frame: columns x (numbers or names), series, value; optional low, high, facet (a plot for each), and chosen (True: a
            larger mark).
        log_x: whether x is logarithmic.
        threshold: a dashed line at this value.

    Raises:
        HarmcircuitsError: a column is missing.

    >>> frame = pd.DataFrame({"x": [1, 2], "series": "harmful", "value": [0.25, 0.5]})
    >>> curves(frame, title="How much?", caption="ΔL", x_title="size", y_title="ΔL").data[0].hovertext[1]
    'harmful, 2: +0.500'
    """
    frame = style.checked(frame, ["x", "series", "value"], optional={**_ENDS, "facet": "", "chosen": False})
    place = frame["x"].map(lambda x: x if isinstance(x, str) else f"{x:.3g}")
    frame["hover"] = frame["series"] + ", " + place + ": " + style.estimates(frame)
    alt = (frame["facet"] + " " + frame["hover"]).str.strip()
    drawn = style.plots(frame, title=title, caption=caption, alt=alt, heights=(320, 240))
    for name, look, points, trace in style.series(frame):
        drawn.add_scatter(
            x=points["x"].map(style.text) if points["x"].dtype == object else points["x"], y=points["value"],
            error_y=style.error_bars(points, look), mode="lines+markers" if look.joined else "markers",
            line={"color": look.colour}, legendgroup=name, **trace,
            marker={"symbol": look.symbol, "color": look.colour, "size": np.where(points["chosen"], 13, 7)},
        )  # fmt: skip
    if threshold is not None:
        drawn.add_hline(y=threshold, line=_DASHED)
    drawn.update_xaxes(type="log" if log_x else None, nticks=6, tickangle=0)
    drawn.update_xaxes(title_text=x_title, row=len(style.facets(frame)))
    return drawn.update_yaxes(title_text=y_title, rangemode="tozero", zeroline=True)


def scatter(
    frame: pd.DataFrame,
    *,
    title: str,
    caption: str,
    x_title: str,
    y_title: str,
    least_span: float = 0.0,
) -> go.Figure:
    """Draw `value` against `x`, one symbol a series, with lines at 0.

    Args:
        frame: columns x, value, series, name (shown by pointing at it); optional x_low, x_high, low, high, and label
            (written beside the point).
        least_span: what the upright axis shows around 0 at least.

    Raises:
        HarmcircuitsError: a column is missing.

    >>> frame = pd.DataFrame({"x": [0.5], "value": [0.25], "series": "circuit", "name": "heads"})
    >>> scatter(frame, title="Kept?", caption="ΔL", x_title="ΔL", y_title="AUROC").data[0].hovertext[0]
    'heads: +0.500, +0.250'
    """
    optional = {**_ENDS, "x_low": np.nan, "x_high": np.nan, "label": ""}
    frame = style.checked(frame, ["x", "value", "series", "name"], optional=optional).assign(facet="")
    across = style.estimates(frame, "x", "x_low", "x_high")
    frame["hover"] = frame["name"] + ": " + across + ", " + style.estimates(frame)
    drawn = style.plots(frame, title=title, caption=caption, alt=frame["hover"], heights=(380, 380))
    x_range = style.span(frame["x"], frame["x_low"], frame["x_high"])
    for name, look, points, trace in style.series(frame):
        drawn.add_scatter(
            x=points["x"], y=points["value"], mode="markers+text" if points["label"].any() else "markers",
            text=points["label"].map(style.text), textposition=_sides(points["x"], middle=sum(x_range) / 2),
            error_x=style.error_bars(points, look, "x", "x_low", "x_high"), error_y=style.error_bars(points, look),
            marker={"symbol": look.symbol, "color": look.colour, "size": np.where(points["label"], 11, 7), "opacity": 0.8},
            legendgroup=name, **trace,
        )  # fmt: skip
    y_range = style.span(frame["value"], frame["low"], frame["high"], [-least_span, least_span])
    drawn.add_hline(y=0, line=_DASHED).add_vline(x=0, line=_DASHED)
    return drawn.update_xaxes(range=x_range, title_text=x_title).update_yaxes(range=y_range, title_text=y_title)


def _sides(x: pd.Series, *, middle: float) -> list[str]:
    """Labels inside the plot, and those of neighbours on different sides."""
    rank = x.rank(method="first").fillna(0).astype(int)
    return [f"{('bottom', 'top')[at % 2]} {'left' if value > middle else 'right'}" for at, value in zip(rank, x, strict=True)]


def forest(frame: pd.DataFrame, *, title: str, caption: str, x_title: str) -> go.Figure:
    """Draw `value` with its interval to the right, rows downwards, one mark a series in each row.

    Names stand above the points: beside them they would leave a phone no room for the points.

    Args:
        frame: columns label, series, value, low, high; a value that was not measured is nan.
        x_title: what the values are, with their unit.

    Raises:
        HarmcircuitsError: a column is missing.

    >>> frame = pd.DataFrame({"label": ["heads"], "series": ["balanced"], "value": [0.5], "low": [0.25], "high": [0.75]})
    >>> forest(frame, title="Kept?", caption="AUROC", x_title="change").data[0].hovertext[0]
    'heads, balanced: +0.500 [+0.250, +0.750]'
    """
    frame = style.checked(frame, ["label", "series", "value", "low", "high"]).assign(facet="")
    frame["hover"] = frame["label"] + ", " + frame["series"] + ": " + style.estimates(frame)
    labels, every = list(dict.fromkeys(frame["label"])), list(style.series(frame))
    height = _ROW * max(len(labels), 2)
    drawn = style.plots(frame, title=title, caption=caption, alt=frame["hover"], heights=(height, height))
    for offset, (_, look, points, trace) in zip(np.linspace(0, 0.3, len(every)), every, strict=True):
        drawn.add_scatter(
            x=points["value"], y=points["label"].map(labels.index) + offset, mode="markers",
            error_x=style.error_bars(points, look), marker={"symbol": look.symbol, "color": look.colour, "size": 10}, **trace,
        )  # fmt: skip
    for row, label in enumerate(labels):
        drawn.add_annotation(
            text=f"<b>{style.text(textwrap.shorten(label, _LABEL, placeholder='…'))}</b>", x=0, xref="x domain", xanchor="left",
            y=row - 0.42, yanchor="top", showarrow=False, bgcolor=style.VEIL, borderpad=0, font={"size": 12},
        )  # fmt: skip
    drawn.add_vline(x=0, line=_DASHED)
    drawn.update_xaxes(title_text=x_title, range=style.span(frame["value"], frame["low"], frame["high"]))
    edges = [row - 0.45 for row in range(len(labels) + 1)]
    bounds = [max(len(labels), 1) - 0.45, -0.45]
    return drawn.update_yaxes(range=bounds, tickvals=edges, showticklabels=False, ticks="", showline=False, fixedrange=True)
