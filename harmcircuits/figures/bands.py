"""The interval along a line, as a filled band of the line's colour."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

_ALONE, _AMONG_OTHERS = 0.15, 0.1


def band(x: pd.Series, low: pd.Series, high: pd.Series, colour: str, group: str, *, pale: bool = False) -> go.Scatter:
    """The interval of each point, filled; points without one are left out.

    Args:
        x, low, high: of each point, in the line's order.
        group: the line's in the legend, which hides both together.
        pale: where many bands lie on one another.
    """
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    opacity = _AMONG_OTHERS if pale else _ALONE
    return go.Scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=colour, opacity=opacity, line={"width": 0},
        mode="lines", hoverinfo="skip", showlegend=False, legendgroup=group,
    )  # fmt: skip
