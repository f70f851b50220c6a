"""At which tokens of one response attribution lies.

A_c in nats per response token: positive, component c promotes the response (L rises when c is set to zero).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from . import style
from .style import FigureError, Look

_KINDS = {"heads": Look("heads", style.BLACK, "circle"), "neurons": Look("neurons", style.ORANGE, "square")}
_A = "attribution A (nats per token)"
_MOST_WORDS, _LABEL = 200, 14
"""Tokens up to which each is written beside its bar, and its characters."""
_ROW = 15  # px of a token with its word


def token_attribution(
    scores: pd.DataFrame, *, tokens: Sequence[str] | None = None, before: float | None = None, title: str = ""
) -> go.Figure:
    """A bar a response token: A of all heads and of all neurons there, stacked, above 0 where they promote the response.

    Tokens are numbered from 1. What they say is nowhere in the figure unless `tokens` are given; then they are written beside
    the bars, which lie one below the other as the text is read.

    Args:
        scores: one row a token of the response, in order; columns heads, neurons, or one of them: A, nats per token.
        tokens: the text of each token, as it may be shown.
        before: the sum of A at all tokens before the response, told under the title; None: not told.
        title: the question above the figure; "" names the kinds.

    Raises:
        FigureError: neither column or one without numbers, or not one text a token.

    >>> drawn = token_attribution(pd.DataFrame({"heads": [0.5, -0.25], "neurons": [0.25, 0.0]}))
    >>> drawn.data[1].x.tolist(), drawn.data[1].y.tolist(), drawn.data[0].hovertext[1]
    ([1, 2], [0.25, 0.0], 'token 2: heads -0.2500, neurons +0.0000, together -0.2500 nats/token')
    """
    kinds = [kind for kind in _KINDS if kind in scores] or list(_KINDS)
    frame = style.checked(scores, kinds, numbers=kinds, what="token_attribution")
    n = len(frame)
    if tokens is not None and len(tokens) != n:
        raise FigureError(f"token_attribution: {len(tokens)} texts for {n} tokens; give one a token.")
    values: Float[ndarray, "token kind"] = frame[kinds].to_numpy()
    written = tokens is not None and n <= _MOST_WORDS
    drawn = style.figure(
        title=title or f"At which tokens of the response do {' and '.join(kinds)} promote it?",
        height=max(_ROW * n, 180) if written else 320,
        caption=f"Attribution A of all {' and of all '.join(kinds)} at each token of one response; no interval is drawn, since "
        "this is one text. Positive: what they compute at that token promotes the response; negative: it suppresses it. At a "
        "token they act on those after it, so that the last has none to promote.",
        alt=f"Bars, one a token of a response of {n}. {_extremes(values.sum(1))}",
        note="" if before is None else f"Tokens before the response: {style.number(before)} nats per token",
        legend=kinds if len(kinds) > 1 else [],
    )
    at, hover = np.arange(1, n + 1), _hover(values, kinds, tokens)
    for kind, own in zip(kinds, values.T, strict=True):
        drawn.add_bar(
            x=own if written else at, y=at if written else own, orientation="h" if written else "v", name=kind,
            marker={"color": _KINDS[kind].colour, "line": {"width": 0}}, showlegend=len(kinds) > 1,
            hovertext=hover, hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    drawn.update_layout(barmode="relative", bargap=0.15)
    size, place = (drawn.update_xaxes, drawn.update_yaxes) if written else (drawn.update_yaxes, drawn.update_xaxes)
    size(title_text=_A, zeroline=True, nticks=6)
    place(title_text="response token", showgrid=False, tickformat="d", range=[0.4, n + 0.6], **style.whole_ticks(n))
    if written and tokens is not None:
        place(tickvals=at, ticktext=[_label(token) for token in tokens], tickfont={"size": 11}, range=[n + 0.6, 0.4])
    return drawn


def _hover(values: Float[ndarray, "token kind"], kinds: Sequence[str], tokens: Sequence[str] | None) -> list[str]:
    words = [""] * len(values) if tokens is None else [style.text(f" “{token}”") for token in tokens]
    lines = []
    for place, (own, word) in enumerate(zip(values, words, strict=True), start=1):
        parts = [f"{kind} {style.number(value)}" for kind, value in zip(kinds, own, strict=True)]
        both = [f"together {style.number(own.sum())}"] if len(kinds) > 1 else []
        lines.append(f"token {place}{word}: {', '.join(parts + both)} nats/token")
    return lines


def _label(token: str) -> str:
    line = " ".join(token.split()) or "␣"
    return style.text(line if len(line) <= _LABEL else line[: _LABEL - 1] + "…")


def _extremes(sums: Float[ndarray, " token"]) -> str:
    if not np.isfinite(sums).any():
        return "Nothing was measured."
    high, low = int(np.nanargmax(sums)), int(np.nanargmin(sums))
    return f"Highest at token {high + 1} ({style.number(sums[high])}), lowest at token {low + 1} ({style.number(sums[low])})."
