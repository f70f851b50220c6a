"""Bars: components of a circuit by layer, and attribution token by token."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..errors import HarmcircuitsError
from . import style

_WRITTEN, _LABEL, _ROW = 200, 14, 15
"""Tokens up to which each is written beside its bar, its characters, and its pixels."""


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


def tokens(scores: pd.DataFrame, *, words: Sequence[str] | None = None) -> go.Figure:
    """Draw A of all heads and of all neurons at each token of one response, nats per token, stacked; tokens count from 1.

        hc.figures.tokens(A.per_token(0).tail(24))  # the first example's response of 24 tokens

    What the tokens say is nowhere in the figure unless `words` are given; then they stand beside the bars, which lie one below
    the other as the text is read.

    Args:
        scores: one row a token, in order; columns heads and neurons, or one of them.
        words: the text of each token, as it may be shown.

    Raises:
        HarmcircuitsError: not one word a token.

    >>> tokens(pd.DataFrame({"heads": [0.5, -0.25]})).data[0].hovertext[1]
    'heads, response token 2: -0.25'
    """
    if words is not None and len(words) != len(scores):
        raise HarmcircuitsError(f"{len(words)} words for {len(scores)} tokens; give one a token.")
    kinds = [kind for kind in ("heads", "neurons") if kind in scores]
    frame = scores[kinds].set_axis(np.arange(1, len(scores) + 1)).rename_axis("x").reset_index().melt("x", var_name="series")
    drawn = bars(
        frame,
        title=f"At which tokens of the response do {' and '.join(kinds)} promote it?",
        caption=f"Attribution A of all {' and of all '.join(kinds)} at each token of one response; no interval, since this is "
        "one text. Positive: what they compute at that token promotes the response after it. Negative: it suppresses it.",
        x_title="response token",
        y_title="attribution A (nats per token)",
    )
    if words is None or len(words) > _WRITTEN:
        return drawn
    labels = [style.text((word.strip() or "␣")[:_LABEL]) for word in words]
    for bar in drawn.data:
        bar.update(x=bar.y, y=bar.x, orientation="h")
    drawn.layout.xaxis, drawn.layout.yaxis = {"title_text": drawn.layout.yaxis.title.text, "zeroline": True}, {
        "title_text": "response token", "tickvals": frame["x"][: len(words)], "ticktext": labels, "tickfont_size": 11,
        "range": [len(words) + 0.6, 0.4], "showgrid": False,
    }  # fmt: skip
    return drawn.update_layout(height=drawn.layout.height - 320 + max(_ROW * len(words), 180))
