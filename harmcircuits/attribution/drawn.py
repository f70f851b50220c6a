"""Scores as figures, with the interval of each component over examples: the same numbers as those of `Attribution.top`.

A in nats per asked token: positive promotes the response.
"""

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from .. import figures
from ..statistics import mean_estimates
from .scores import Attribution, Kind

Pairs = Iterable[tuple[int, int]]


def heads_figure(scores: Attribution, *, selected: Pairs = ()) -> go.Figure:
    """The heat map of the heads."""
    low, high = ends(scores, "heads", np.ones(tuple(scores.heads.shape), dtype=bool))
    return figures.heads_heatmap(scores.heads.numpy(), low=low, high=high, selected=selected)


def ends(
    scores: Attribution, kind: Kind, wanted: Bool[np.ndarray, "layer index"], *, draws: int = 2000, seed: int = 0
) -> tuple[Float[np.ndarray, "layer index"], Float[np.ndarray, "layer index"]]:
    """The ends of each wanted component's 95 % interval; NaN for the others, and below 3 examples.

    Args:
        scores: of every component.
        kind: "heads" or "neurons".
        wanted: those whose interval is asked for: a model has many neurons.
        draws, seed: of the bootstrap over examples.
    """
    low, high = np.full(wanted.shape, np.nan), np.full(wanted.shape, np.nan)
    each = getattr(scores, f"per_example_{kind}").numpy()[:, wanted]
    found = mean_estimates(each, draws=draws, seed=seed)
    low[wanted], high[wanted] = (np.array([getattr(one, end) for one in found], dtype=float) for end in ("low", "high"))
    return low, high
