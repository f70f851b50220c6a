"""Where one attention head looks on one text."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from . import style
from .style import FigureError

_MOST_LABELS = 48
"""Tokens up to which each is written at the axes; beyond, their places are."""


def attention_heatmap(
    pattern: Float[ndarray, "query key"], tokens: Sequence[str], *, n_context: int, title: str = "Where does this head look?"
) -> go.Figure:
    """The attention of one head, queries downwards and keys to the right; a line shows where the response begins.

    Args:
        pattern: how much each query takes from each key, 0 to 1; rows sum to 1.
        tokens: the text of each token, as it may be shown.
        n_context: tokens before the response.
        title: the question above the figure.

    Raises:
        FigureError: `pattern` is not square, or there are not as many tokens.

    >>> attention_heatmap(np.array([[1.0, 0.0], [0.25, 0.75]]), ["a", "b"], n_context=1).data[0].hovertext[1][0]
    'query 1 \u201cb\u201d ← key 0 \u201ca\u201d: 0.250'
    """
    n = len(tokens)
    if pattern.shape != (n, n):
        raise FigureError(f"pattern has shape {pattern.shape}; give one row and one column for each of the {n} tokens.")
    words = [style.text(f"“{token}”") for token in tokens]
    hover = [[f"query {at} {words[at]} ← key {of} {words[of]}: {pattern[at, of]:.3f}" for of in range(n)] for at in range(n)]
    first = float(pattern[1:, 0].mean()) if n > 1 else 1.0
    height = min(max(14 * n, 240), 720)
    drawn = style.figure(
        title=title,
        height=height,
        caption="Attention after the softmax: how much each token (downwards) takes from each token before it (to the right). "
        "A row sums to 1; no interval, since this is one text. The line marks where the response begins.",
        alt=f"Heat map of attention, {n} by {n} tokens, the first {n_context} of them before the response; on average "
        f"{first:.2f} of the attention goes to the first token.",
        under=152,
    )
    drawn.add_heatmap(
        z=np.where(np.tri(n, dtype=bool), pattern, np.nan), zmin=0, zmax=1, hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>", colorscale=[(0, "white"), (1, style.BLUE)], hoverongaps=False,
        colorbar=style.colour_bar("attention", below=92, height=height),
    )  # fmt: skip
    if 0 < n_context < n:
        line = {"color": style.VERMILLION, "width": 1.5}
        drawn.add_hline(y=n_context - 0.5, line=line)
        drawn.add_vline(x=n_context - 0.5, line=line)
    labels = {"tickvals": list(range(n)), "ticktext": [style.text(token.strip() or "␣") for token in tokens]}
    own = {**labels, "tickfont": {"size": 9}} if n <= _MOST_LABELS else {"tickformat": "d"}
    drawn.update_xaxes(title_text="key", showgrid=False, range=[-0.5, n - 0.5], **own)
    drawn.update_yaxes(title_text="query", showgrid=False, range=[n - 0.5, -0.5], **own)
    return drawn
