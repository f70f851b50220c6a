"""What random circuits of growing size do, beside what the circuit itself does."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import FigureError

_COLUMNS = ["multiple", "draws", "value", "low", "high"]
_AXIS = {"rise": "rise of L on harmful responses", "selectivity": "selectivity: rise on harmful − near"}
_RANDOM, _OWN = "random circuits", "the circuit"


def random_circuits(
    frame: pd.DataFrame,
    *,
    own: float,
    low: float | None = None,
    high: float | None = None,
    measure: str = "rise",
    title: str = "How large must random circuits be to do as much?",
) -> go.Figure:
    """Random circuits against their size, in multiples of the circuit's; the circuit's own value as a line.

    Points are means over draws, vertical lines the middle 95 % of them. Nats per token; positive: L rises.

    Args:
        frame: columns multiple (1, 2, 4, …), draws, value, low, high; one row a size.
        own: what the circuit itself does.
        low: lower end of its 95 % interval; drawn as a band where both ends are given.
        high: upper end.
        measure: "rise" or "selectivity", for the axis.
        title: the question above the figure.

    Raises:
        FigureError: `own` is not finite, a column is missing or does not hold numbers, sizes below 1, an unknown measure.

    >>> frame = pd.DataFrame({"multiple": [1], "draws": [39], "value": [0.1], "low": [0.0], "high": [0.2]})
    >>> [trace.name for trace in random_circuits(frame, own=0.3).data if trace.showlegend]
    ['random circuits', 'the circuit']
    """
    style.refuse_unknown([measure], _AXIS, what="random_circuits: measure")
    if not np.isfinite(own):
        raise FigureError(f"the circuit's own value is {own}; there is nothing to compare random circuits with.")
    drawn_sizes = style.checked(frame, _COLUMNS, numbers=_COLUMNS, what="random_circuits").sort_values("multiple")
    if (drawn_sizes["multiple"] < 1).any():
        raise FigureError("random_circuits: column 'multiple' must hold numbers of at least 1.")
    ends = (np.nan if low is None else low, np.nan if high is None else high)
    drawn = style.figure(
        title=title,
        height=360,
        caption=(
            f"{_AXIS[measure].capitalize()}, nats per token, under random circuits of so many times the circuit's size. "
            "Points: mean over draws; vertical lines: the middle 95 % of them. Vermillion: the circuit itself on the same "
            "responses, with its 95 % interval where there is one."
        ),
        alt=_spoken(drawn_sizes, own),
        legend=[_RANDOM, _OWN],
    )
    if np.isfinite(ends).all():
        drawn.add_hrect(y0=ends[0], y1=ends[1], fillcolor=style.VERMILLION, opacity=0.15, line_width=0, layer="below")
    _add_random(drawn, drawn_sizes)
    _add_own(drawn, drawn_sizes["multiple"].max() if len(drawn_sizes) else 1.0, own, ends)
    sizes = drawn_sizes["multiple"].tolist()
    drawn.update_xaxes(
        title_text="size, in multiples of the circuit's", type="log",
        tickvals=sizes[:: 1 + len(sizes) // 9], ticktext=[f"{size:g}" for size in sizes[:: 1 + len(sizes) // 9]],
    )  # fmt: skip
    reach = style.span(drawn_sizes["value"], drawn_sizes["low"], drawn_sizes["high"], ends, [own], hold=0)
    drawn.update_yaxes(title_text=f"{_AXIS[measure]} (nats per token)", range=reach, zeroline=True)
    return drawn


def _add_random(drawn: go.Figure, sizes: pd.DataFrame) -> None:
    lines = style.segments(sizes["low"], sizes["high"], sizes["multiple"])
    drawn.add_trace(style.interval_lines(lines, colour=style.GREY, group=_RANDOM, vertical=True, width=3))
    rows = zip(*(sizes[column] for column in _COLUMNS), strict=True)
    hover = [
        f"{size:g} times the size, {draws:g} draws: {style.number(value)} nats/token<br>middle 95 % {low:.3f} to {high:.3f}"
        for size, draws, value, low, high in rows
    ]
    drawn.add_scatter(
        x=sizes["multiple"], y=sizes["value"], mode="markers+lines", name=_RANDOM, legendgroup=_RANDOM, showlegend=True,
        line={"color": style.GREY, "width": 2}, marker={"color": style.GREY, "symbol": "square", "size": 8},
        text=hover, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _add_own(drawn: go.Figure, last: float, own: float, ends: tuple[float, float]) -> None:
    hover = f"{_OWN}: {style.number(own)} nats/token<br>{style.interval(*ends)}"
    drawn.add_scatter(
        x=[0.9, 1.1 * last], y=[own] * 2, mode="lines", name=_OWN, showlegend=True,
        line={"color": style.VERMILLION, "width": 2.5}, text=[hover] * 2, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _spoken(sizes: pd.DataFrame, own: float) -> str:
    pairs = zip(sizes["multiple"], sizes["value"], strict=True)
    said = ", ".join(f"{size:g} times its size {style.number(value, digits=3)}" for size, value in pairs)
    return f"The circuit {style.number(own, digits=3)} nats per token; random circuits: {said or 'none were drawn'}."
