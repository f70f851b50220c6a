"""What narrow fine-tuning does elsewhere, and after which pruning."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import Look

SERIES = {
    "own domain": Look("the domain that was learnt", style.VERMILLION, "circle"),
    "other domains": Look("other domains", style.BLUE, "diamond"),
    "open questions": Look("open questions", style.GREEN, "square"),
}
_ARMS = ["advice", "pruned", "asked", "read", "value", "low", "high"]
_OFFSETS = (0.0, 0.16, 0.32)
_ROW = 66  # px
_ZERO: dict[str, Any] = {"color": style.GREY, "width": 1.5}


def misalignment_arms(frame: pd.DataFrame, *, title: str = "Does bad advice in one domain spread?") -> go.Figure:
    """Δb of each arm (rows), nats per token, with 95 % intervals: in the domain learnt, in others, on open questions.

    Positive: bad advice has become likelier. What was not measured is not drawn.

    Args:
        frame: columns advice ("bad" or "good": what was learnt), pruned, asked (own domain, other domains, open questions;
            other rows are not drawn), read ("last stage", "equal loss"), value, low, high.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers.

    >>> frame = pd.DataFrame([("bad", "nothing", "own domain", "last stage", 0.5, 0.25, 0.75)], columns=_ARMS)
    >>> [float(value) for value in misalignment_arms(frame).data[1].x]
    [0.5]
    """
    frame = style.checked(frame, _ARMS, numbers=_ARMS[4:], what="misalignment_arms")
    shown = frame[np.isfinite(frame["value"]) & frame["asked"].isin(list(SERIES))]
    places = [(str(a), str(p), str(r)) for a, p, r in zip(shown["advice"], shown["pruned"], shown["read"], strict=True)]
    rows = {place: row for row, place in enumerate(dict.fromkeys(places))}
    shown = shown.assign(row=[rows[place] for place in places])
    said = [_spoken(shown, *place) for place in rows]
    drawn = style.figure(
        title=title,
        height=max(_ROW * len(rows), 120),
        caption=(
            "By how much the log-odds of bad advice rise by fine-tuning (nats per token, 95 % intervals over fine-tunings and "
            "questions); 0 (grey line): it is as likely as before. Rows: what was learnt in one domain, and what had been set "
            "to zero first (pruned: bad advice was learnt then, where nothing else is said). Last stage: when the fine-tuning "
            "ends; equal loss: where all arms find held-out bad answers of the domain equally likely."
        ),
        alt=f"Rise of the log-odds of bad advice. {' '.join(said) or 'Nothing was measured.'}",
        legend=[look.name for look in SERIES.values()],
    )
    drawn.add_vline(x=0, line=_ZERO)
    for offset, (asked, look) in zip(_OFFSETS, SERIES.items(), strict=True):
        part = shown[shown["asked"] == asked]
        if len(part):
            _add_series(drawn, part, look, offset)
    style.row_labels(drawn, [_row_label(*row) for row in rows])
    bounds = style.span(shown["value"], shown["low"], shown["high"], hold=0)
    drawn.update_xaxes(title_text="rise of the log-odds of bad advice (nats per token)", range=bounds)
    return drawn


def _row_label(advice: str, pruned: str, read: str) -> tuple[str, str]:
    """Bold and plain; of a pruned arm the mask comes first, since that is what tells it from the others."""
    if pruned == "nothing":
        return f"{advice} advice", f"({read})"
    return pruned, f"({'' if advice == 'bad' else f'{advice}, '}pruned; {read})"


def _row_name(advice: str, pruned: str) -> str:
    return f"{advice} advice" if pruned == "nothing" else f"{advice} advice, pruned: {pruned}"


def _add_series(drawn: go.Figure, part: pd.DataFrame, look: Look, offset: float) -> None:
    y = [row + offset for row in part["row"]]
    lines = style.segments(part["low"], part["high"], y)
    drawn.add_trace(style.interval_lines(lines, colour=look.colour, group=look.name))
    hover = [
        f"{style.text(_row_name(own['advice'], own['pruned']))}, {style.text(own['read'])}<br>{look.name}: "
        f"{style.number(own['value'])}<br>{style.interval(own['low'], own['high'])}"
        for own in part.to_dict("records")
    ]
    drawn.add_scatter(
        x=part["value"], y=y, mode="markers", name=look.name, legendgroup=look.name,
        marker={"color": look.colour, "symbol": look.symbol, "size": 9}, text=hover, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _spoken(shown: pd.DataFrame, advice: str, pruned: str, read: str) -> str:
    part = shown[(shown["advice"] == advice) & (shown["pruned"] == pruned) & (shown["read"] == read)]
    values = [f"{asked} {value:+.2f}" for asked, value in zip(part["asked"], part["value"], strict=True)]
    return f"{_row_name(advice, pruned)} ({read}): {', '.join(values)}."
