"""Reading a drawn figure back."""

import numpy as np
import plotly.graph_objects as go


def traces(figure: go.Figure, name: str, mode: str = "markers") -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.name == name and mode in (trace.mode or "")]


def one(found: list[go.Scatter]) -> go.Scatter:
    assert len(found) == 1
    return found[0]


def floats(values: object) -> list[float]:
    return np.asarray(values, dtype=float).tolist()


def lines(figure: go.Figure, group: str) -> list[tuple[list[float], list[float]]]:
    """Every interval line of a legend group as ([x0, x1], [y0, y1])."""
    found = []
    for trace in figure.data:
        if isinstance(trace, go.Scatter) and trace.mode == "lines" and trace.legendgroup == group:
            x, y = floats(trace.x), floats(trace.y)
            assert all(np.isnan(x[2::3])), "a gap after each line"
            found += [(x[at : at + 2], y[at : at + 2]) for at in range(0, len(x), 3)]
    return found
