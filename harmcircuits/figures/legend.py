"""Room for a legend under a plot: plotly puts its entries into lines, as many as the width takes."""

from collections.abc import Iterable

import plotly.graph_objects as go

PHONE = 340  # px of plot that a phone leaves
LEFT, RIGHT, END = 12, 16, 8
"""Margins beside a plot, and under its legend, px."""
_LINE = 29  # px


def legend_height(names: Iterable[str], width: float) -> int:
    """px of a horizontal legend under a plot of that width.

    >>> legend_height(["harmful requests", "near twins"], 340), legend_height([], 340)
    (29, 0)
    """
    lines, used = 0, float("inf")
    for name in names:
        needed = 48 + 7 * len(name)
        if used + needed > width:
            lines, used = lines + 1, 0.0
        used += needed
    return _LINE * lines


def for_width(drawn: go.Figure, width: float) -> go.Figure:
    """`drawn`, whose legend has room for a phone, without what it does not need in a box of that many px.

    In a browser `draw.js` measures the legend; here there is none to measure.
    """
    height, margin, legend = drawn.layout.height, drawn.layout.margin, drawn.layout.legend
    if legend.y is None or margin.b is None:
        return drawn
    names = [trace.name for trace in drawn.data if trace.name and trace.showlegend is not False]
    under = -legend.y * (height - margin.t - margin.b)
    bottom = min(margin.b, under + legend_height(names, width - LEFT - RIGHT) + END)
    return go.Figure(drawn).update_layout(height=height - margin.b + bottom, margin_b=bottom)
