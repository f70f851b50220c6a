"""Values against sizes or checkpoints: a line a series, 95 % intervals as bars, one plot a facet."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style


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
        title: the question that the figure answers.
        caption: what is drawn, its unit and sign.
        log_x: whether x is logarithmic.
        threshold: a dashed line at this value.

    Raises:
        HarmcircuitsError: a column is missing.

    >>> frame = pd.DataFrame({"x": [1, 2], "series": "harmful", "value": [0.25, 0.5]})
    >>> curves(frame, title="How much?", caption="ΔL", x_title="size", y_title="ΔL").data[0].hovertext[1]
    'harmful, 2: +0.500'
    """
    optional = {"low": np.nan, "high": np.nan, "facet": "", "chosen": False}
    frame = style.checked(frame, ["x", "series", "value"], optional=optional)
    place = frame["x"].map(lambda x: x if isinstance(x, str) else f"{x:.3g}")
    frame["hover"] = frame["series"] + ", " + place + ": " + style.estimates(frame)
    looks = style.looks(frame["series"])
    facets = list(dict.fromkeys(frame["facet"])) or [""]
    height, alt = 320 if len(facets) == 1 else 240, style.listed((frame["facet"] + " " + frame["hover"]).str.strip())
    drawn = style.figure(title=title, caption=caption, alt=alt, height=height, facets=facets, legend=list(looks))
    for row, facet in enumerate(facets, start=1):
        for name, look in looks.items():
            points = frame[(frame["series"] == name) & (frame["facet"] == facet)]
            drawn.add_scatter(
                x=points["x"].map(style.text) if points["x"].dtype == object else points["x"], y=points["value"],
                error_y=style.error_bars(points["value"], points["low"], points["high"], colour=look.colour),
                mode="lines+markers" if look.joined else "markers", line={"color": look.colour}, name=style.text(name),
                legendgroup=name, showlegend=row == 1,
                marker={"symbol": look.symbol, "color": look.colour, "size": np.where(points["chosen"], 13, 7)},
                hovertext=points["hover"].map(style.text), hovertemplate="%{hovertext}<extra></extra>", row=row, col=1,
            )  # fmt: skip
    if threshold is not None:
        drawn.add_hline(y=threshold, line={"color": style.GREY, "dash": "dash", "width": 1})
    drawn.update_xaxes(type="log" if log_x else None, nticks=6, tickangle=0).update_xaxes(title_text=x_title, row=len(facets))
    return drawn.update_yaxes(title_text=y_title, rangemode="tozero", zeroline=True)
