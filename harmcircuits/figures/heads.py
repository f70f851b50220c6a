"""Attribution of every attention head, layers downwards: A in nats per token, positive where the head promotes the response."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float

from ..errors import HarmcircuitsError
from . import style
from .matrix import heatmap

_CAPTION = "Attribution A, averaged over examples. Positive: the head promotes the response. Negative: it suppresses it."
_SURE = " Underlined: the 95 % interval over examples (each head's, not adjusted for their number) excludes 0."
_MARKERS = {
    "interval excludes 0": {"symbol": "line-ew", "size": 7, "line": {"color": style.BLACK, "width": 1.5}},
    "selected": {"symbol": "x", "size": 9, "color": style.BLACK, "line": {"color": "white", "width": 1}},
    "protected": {"symbol": "square-open", "size": 11, "color": style.GREY, "line": {"width": 2}},
}


def heads(
    scores: Float[np.ndarray, "layer head"],
    *,
    low: Float[np.ndarray, "layer head"] | None = None,
    high: Float[np.ndarray, "layer head"] | None = None,
    selected: Iterable[tuple[int, int]] = (),
    protected: Iterable[tuple[int, int]] = (),
    title: str = "Which attention heads write the response?",
) -> go.Figure:
    """Draw a heat map of the heads; marks show which are selected, which protected, and whose interval excludes 0.

    Args:
        scores: A of each head, nats per token; nan (not measured) is left blank.
        low: lower ends of the heads' 95 % intervals.
        high: upper ends.
        selected: (layer, head) of a circuit.
        protected: (layer, head) that benign responses need, and that selection leaves out.
        title: the question that the figure answers.

    Raises:
        HarmcircuitsError: a marked head lies outside the scores.

    >>> drawn = heads(np.array([[0.1, -0.2]]), selected=[(0, 1)], protected=[(0, 0)])
    >>> [trace.name for trace in drawn.data[1:]]
    ['selected (1)', 'protected (1)']
    """
    sure = [] if low is None or high is None else list(zip(*np.nonzero((low > 0) | (high < 0)), strict=True))
    marked = [sure, sorted(selected), sorted(protected)]
    named = zip(_MARKERS, marked, strict=True)
    marks = {f"{name} ({len(pairs):,})": (pairs, _MARKERS[name]) for name, pairs in named if pairs}
    n_layers, n_heads = scores.shape
    if outside := [pair for pairs, _ in marks.values() for pair in pairs if not (pair[0] < n_layers and pair[1] < n_heads)]:
        raise HarmcircuitsError(f"head {outside[0]} lies outside the scores of shape {scores.shape}: take both from one model.")
    drawn = heatmap(
        pd.DataFrame(scores),
        title=title,
        caption=_CAPTION + (_SURE if low is not None else ""),
        x_title="head",
        y_title="layer",
        bar="attribution A (nats per token)",
        legend=list(marks),
    )
    for name, (pairs, marker) in marks.items():
        layers, indices = np.array(pairs).T
        y = layers + 0.3 if pairs is sure else layers
        drawn.add_scatter(x=indices, y=y, mode="markers", name=name, marker=marker, hoverinfo="skip", showlegend=True)
    return drawn
