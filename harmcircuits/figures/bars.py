"""Bars: components of a circuit by layer."""

import pandas as pd
import plotly.graph_objects as go

from . import style


def bars(frame: pd.DataFrame, *, title: str, caption: str, x_title: str, y_title: str) -> go.Figure:
    """Draw a bar for each `value` at a whole number `x`; series of one facet are stacked.

    Args:
        frame: columns x, series, value; optional facet (a plot for each) and hover (shown by pointing at a bar).

    Raises:
        HarmcircuitsError: a column is missing.

    >>> frame = pd.DataFrame({"x": [3], "series": ["heads"], "value": [2]})
    >>> bars(frame, title="Where?", caption="A count.", x_title="layer", y_title="heads").data[0].hovertext[0]
    'heads, layer 3: 2'
    """
    frame = style.checked(frame, ["x", "series", "value"], optional={"facet": "", "hover": None})
    default = [f"{row.series}, {x_title} {row.x}: {row.value:.4g}" for row in frame.itertuples()]
    frame["hover"] = frame["hover"].where(frame["hover"].notna(), pd.Series(default, index=frame.index))
    drawn = style.plots(
        frame, title=title, caption=caption, alt=frame["hover"], heights=(320, 180),
        legend=frame["series"].nunique() > frame["facet"].nunique(),
    )  # fmt: skip
    for row, plot in style.facets(frame):
        counts = plot["value"]
        if len(counts) and counts.max() <= 8 and (counts % 1 == 0).all():
            drawn.update_yaxes(dtick=1, row=row)
    for _, look, points, trace in style.series(frame):
        drawn.add_bar(x=points["x"], y=points["value"], marker={"color": look.colour, "line": {"width": 0}}, **trace)
    first, last = (frame["x"].min(), frame["x"].max()) if len(frame) else (0, 0)
    drawn.update_xaxes(tickformat="d", range=[first - 0.6, last + 0.6], showgrid=False, dtick=1 if last <= 8 else None)
    drawn.update_xaxes(title_text=x_title, row=len(style.facets(frame))).update_yaxes(title_text=y_title, zeroline=True)
    return drawn.update_layout(barmode="relative", bargap=0.15)
