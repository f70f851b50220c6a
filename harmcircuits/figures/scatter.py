"""Two values of the same things against each other, as points with their 95 % intervals."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_ENDS = {"x_low": np.nan, "x_high": np.nan, "low": np.nan, "high": np.nan}


def scatter(
    frame: pd.DataFrame,
    *,
    title: str,
    caption: str,
    x_title: str,
    y_title: str,
    diagonal: bool = False,
    least_span: float = 0.0,
) -> go.Figure:
    """Draw `value` against `x`, one symbol a series, with lines at 0 or along the diagonal.

    Args:
        frame: columns x, value, series, name (shown by pointing at it); optional x_low, x_high, low, high, facet (a plot for
            each), and label (written beside the point).
        title: the question that the figure answers.
        caption: what is drawn, its unit and sign.
        diagonal: draw the line on which both are equal, in place of those at 0.
        least_span: what the upright axis shows around 0 at least.

    Raises:
        HarmcircuitsError: a column is missing.

    >>> frame = pd.DataFrame({"x": [0.5], "value": [0.25], "series": "circuit", "name": "heads"})
    >>> scatter(frame, title="Kept?", caption="ΔL", x_title="ΔL", y_title="AUROC").data[0].hovertext[0]
    'heads: +0.500, +0.250'
    """
    frame = style.checked(frame, ["x", "value", "series", "name"], optional={**_ENDS, "facet": "", "label": ""})
    across = style.estimates(frame, "x", "x_low", "x_high")
    frame["hover"] = frame["name"] + ": " + across + ", " + style.estimates(frame)
    looks, facets = style.looks(frame["series"]), list(dict.fromkeys(frame["facet"])) or [""]
    alt = style.listed(frame["hover"])
    drawn = style.figure(title=title, caption=caption, alt=alt, height=380, facets=facets, legend=list(looks))
    for row, facet in enumerate(facets, start=1):
        plot = frame[frame["facet"] == facet]
        x_range = style.span(plot["x"], plot["x_low"], plot["x_high"])
        y_range = style.span(plot["value"], plot["low"], plot["high"], [-least_span, least_span])
        for name, look in looks.items():
            points = plot[plot["series"] == name]
            drawn.add_scatter(
                x=points["x"], y=points["value"], name=style.text(name), legendgroup=name, showlegend=row == 1,
                mode="markers+text" if points["label"].any() else "markers", text=points["label"].map(style.text),
                textposition=_sides(points["x"], middle=sum(x_range) / 2),
                error_x=style.error_bars(points["x"], points["x_low"], points["x_high"], colour=look.colour),
                error_y=style.error_bars(points["value"], points["low"], points["high"], colour=look.colour),
                marker={"symbol": look.symbol, "color": look.colour, "size": np.where(points["label"], 11, 7), "opacity": 0.8},
                hovertext=points["hover"].map(style.text), hovertemplate="%{hovertext}<extra></extra>", row=row, col=1,
            )  # fmt: skip
        line = {"color": style.GREY, "dash": "dash", "width": 1}
        if diagonal:
            x_range = y_range = style.span(plot["x"], plot["value"])
            ends = {"x0": x_range[0], "y0": x_range[0], "x1": x_range[1], "y1": x_range[1]}
            drawn.add_shape(type="line", **ends, line=line, row=row, col=1)
        else:
            drawn.add_hline(y=0, line=line, row=row, col=1).add_vline(x=0, line=line, row=row, col=1)
        drawn.update_xaxes(range=x_range, title_text=x_title, row=row).update_yaxes(range=y_range, title_text=y_title, row=row)
    return drawn


def _sides(x: pd.Series, *, middle: float) -> list[str]:
    """Labels inside the plot, and those of neighbours on different sides."""
    rank = x.rank(method="first").fillna(0).astype(int)
    return [f"{('bottom', 'top')[at % 2]} {'left' if value > middle else 'right'}" for at, value in zip(rank, x, strict=True)]
