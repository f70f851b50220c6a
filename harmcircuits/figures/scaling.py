"""How time grows with one size at a time, measured and predicted."""

import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import FigureError, Look

_COLUMNS = ["what", "value", "seconds", "predicted_seconds"]
_ENDS = ["fastest", "slowest"]
_LOOKS = (("circle", style.ORANGE), ("square", style.PURPLE), ("diamond", style.BLUE), ("triangle-up", style.GREEN))


def scaling(
    points: pd.DataFrame, *, title: str = "Does time grow faster than prompts, tokens and components?", unit: str = "s"
) -> go.Figure:
    """Seconds against a size as a multiple of its smallest value; one line a size, the others held.

    Marks and solid lines are measured, dotted lines predicted. What grows linearly lies on a straight line, whose height
    at 0 is what does not grow. Upright lines: from the fastest repeat to the slowest, where `points` tell them.

    Args:
        points: columns what (which size, at most 4 of them), value, seconds (the median of the repeats), predicted_seconds;
            optionally fastest and slowest, seconds.
        title: the question above the figure.
        unit: of the seconds, on the axis.

    Raises:
        FigureError: a column is missing or does not hold numbers, or there are more sizes than can be told apart.

    >>> frame = pd.DataFrame({"what": "prompts", "value": [4, 8], "seconds": [1.0, 2.0], "predicted_seconds": [1.0, 2.0]})
    >>> [trace.name for trace in scaling(frame).data if trace.showlegend]
    ['prompts (4 to 8)']
    """
    columns = [*_COLUMNS, *(_ENDS if set(_ENDS) <= set(points) else [])]
    frame = style.checked(points, columns, numbers=columns[1:], what="scaling")
    named = list(dict.fromkeys(frame["what"]))
    if len(named) > len(_LOOKS):
        raise FigureError(f"scaling tells {len(_LOOKS)} sizes apart, not {len(named)}: draw a part of them.")
    lines = {what: frame[frame["what"] == what].sort_values("value") for what in named}
    labels = {what: f"{what} ({own['value'].min():,.0f} to {own['value'].max():,.0f})" for what, own in lines.items()}
    drawn = style.figure(
        title=title,
        height=380,
        caption="Seconds of attribution against one size, as a multiple of its smallest value; marks: the median of the repeats"
        + (
            ", upright lines: from the fastest to the slowest"
            if len(columns) > len(_COLUMNS)
            else "; their spread was not kept"
        )
        + ". Dotted: predicted, a calculation without an interval.",
        alt=" ".join(_spoken(labels[what], own) for what, own in lines.items()) or "Nothing was measured.",
        legend=list(labels.values()),
    )
    for (what, own), (symbol, colour) in zip(lines.items(), _LOOKS, strict=False):
        _add(drawn, own, Look(labels[what], colour, symbol))
    drawn.update_xaxes(title_text="size, as a multiple of the smallest", rangemode="tozero")
    drawn.update_yaxes(title_text=f"time ({unit})", rangemode="tozero")
    return drawn


def _add(drawn: go.Figure, own: pd.DataFrame, look: Look) -> None:
    name, times = style.text(look.name), own["value"] / own["value"].min()
    if set(_ENDS) <= set(own):
        repeats = style.segments(own["fastest"], own["slowest"], times)
        drawn.add_trace(style.interval_lines(repeats, colour=look.colour, group=name, vertical=True))
    for column, dash in (("seconds", "solid"), ("predicted_seconds", "dot")):
        measured = column == "seconds"
        drawn.add_scatter(
            x=times, y=own[column], mode="lines+markers" if measured else "lines", name=name, legendgroup=name,
            showlegend=measured, line={"color": look.colour, "width": 2, "dash": dash},
            marker={"color": look.colour, "symbol": look.symbol, "size": 8},
            text=[f"{name}<br>{value:,.0f}: {time:.3f}" for value, time in zip(own["value"], own[column], strict=True)],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip


def _spoken(name: str, own: pd.DataFrame) -> str:
    grown, slower = own["value"].max() / own["value"].min(), own["seconds"].iloc[-1] / own["seconds"].iloc[0]
    return f"{name}: {grown:.0f} times the size takes {slower:.1f} times as long."
