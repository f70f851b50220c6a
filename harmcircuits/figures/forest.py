"""Estimates with their 95 % intervals, one row a label, the rows' names above their points."""

import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_ROW, _LABEL = 56, 44
"""Pixels of a row, and the characters of a name that fit on a phone."""


def forest(frame: pd.DataFrame, *, title: str, caption: str, x_title: str) -> go.Figure:
    """Draw `value` with its interval to the right, rows downwards, one mark a series in each row.

    Names stand above the points: beside them they would leave a phone no room for the points.

    Args:
        frame: columns label, series, value, low, high; a value that was not measured is nan.
        title: the question that the figure answers.
        caption: what is drawn, its unit and sign.
        x_title: what the values are, with their unit.

    Raises:
        HarmcircuitsError: a column is missing.

    >>> frame = pd.DataFrame({"label": ["heads"], "series": ["balanced"], "value": [0.5], "low": [0.25], "high": [0.75]})
    >>> forest(frame, title="Kept?", caption="AUROC", x_title="change").data[0].hovertext[0]
    'heads, balanced: +0.500 [+0.250, +0.750]'
    """
    frame = style.checked(frame, ["label", "series", "value", "low", "high"])
    frame["hover"] = frame["label"] + ", " + frame["series"] + ": " + style.estimates(frame)
    looks, labels = style.looks(frame["series"]), list(dict.fromkeys(frame["label"]))
    height = _ROW * max(len(labels), 2)
    drawn = style.figure(title=title, caption=caption, alt=style.listed(frame["hover"]), height=height, legend=list(looks))
    for offset, (name, look) in zip(np.linspace(0, 0.3, len(looks)), looks.items(), strict=True):
        points = frame[frame["series"] == name]
        drawn.add_scatter(
            x=points["value"], y=points["label"].map(labels.index) + offset, mode="markers", name=style.text(name),
            error_x=style.error_bars(points["value"], points["low"], points["high"], colour=look.colour),
            marker={"symbol": look.symbol, "color": look.colour, "size": 10}, showlegend=True,
            hovertext=points["hover"].map(style.text), hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    for row, label in enumerate(labels):
        drawn.add_annotation(
            text=f"<b>{style.text(textwrap.shorten(label, _LABEL, placeholder='…'))}</b>", x=0, xref="x domain", xanchor="left",
            y=row - 0.42, yanchor="top", showarrow=False, bgcolor=style.VEIL, borderpad=0, font={"size": 12},
        )  # fmt: skip
    drawn.add_vline(x=0, line={"color": style.GREY, "dash": "dash", "width": 1})
    drawn.update_xaxes(title_text=x_title, range=style.span(frame["value"], frame["low"], frame["high"]))
    edges = [row - 0.45 for row in range(len(labels) + 1)]
    bounds = [max(len(labels), 1) - 0.45, -0.45]
    return drawn.update_yaxes(range=bounds, tickvals=edges, showticklabels=False, ticks="", showline=False, fixedrange=True)
