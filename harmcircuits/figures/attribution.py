"""Where attribution lies: heads as a heat map, neurons by layer.

A_c in nats per response token: positive, component c promotes the response (L rises when c is set to zero).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from . import style
from .style import FigureError

_A = "attribution A (nats per token)"
_FEW = 8
_READ = (
    "Attribution A, averaged over examples; no interval is drawn. Positive: the component promotes the response. "
    "Negative: it suppresses it."
)


def heads_heatmap(
    heads: Float[ndarray, "layer head"],
    *,
    selected: Iterable[tuple[int, int]] = (),
    title: str = "Which attention heads write the response?",
) -> go.Figure:
    """Attribution of every head as a heat map, layers downwards; selected heads carry a ×.

    Args:
        heads: A of each head, nats per token; positive promotes the response; NaN (not measured) is left blank.
        selected: (layer, head) pairs, a circuit's heads.
        title: the question above the figure.

    Raises:
        FigureError: `heads` is not [layer, head], or a selected head lies outside it.

    >>> heads_heatmap(np.array([[0.1, -0.2]]), selected=[(0, 1)]).data[0].zmax
    0.2
    """
    scores, pairs = _matrix(heads, "heads"), _pairs(selected, np.shape(heads), "head")
    n_layers, n_heads = scores.shape
    chosen = set(pairs)
    hover = [
        [_name("H", layer, head, scores[layer, head], (layer, head) in chosen) for head in range(n_heads)]
        for layer in range(n_layers)
    ]
    height, legend = min(max(15 * n_layers, 180), 720), f"selected ({len(pairs)})"
    drawn = style.figure(
        title=title,
        height=height,
        caption=_READ + (" ×: selected." if pairs else ""),
        alt=f"Heat map, {n_layers} layers by {n_heads} heads. {_extremes(scores, 'H')} {len(pairs)} are selected.",
        legend=[legend] if pairs else [],
        under=124,
    )
    limit = _largest(scores)
    drawn.add_heatmap(
        z=scores, zmin=-limit, zmax=limit, zmid=0, xgap=1, ygap=1, text=hover, hovertemplate="%{text}<extra></extra>",
        colorscale=[(0, style.BLUE), (0.5, "white"), (1, style.VERMILLION)], hoverongaps=True,
        colorbar=style.colour_bar(_A, below=54, height=height),
    )  # fmt: skip
    if pairs:
        drawn.add_scatter(
            x=[head for _, head in pairs], y=[layer for layer, _ in pairs], mode="markers", name=legend,
            marker={"symbol": "x", "size": 9, "color": style.BLACK, "line": {"color": "white", "width": 1}},
            hoverinfo="skip", showlegend=True,
        )  # fmt: skip
    drawn.update_xaxes(title_text="head", showgrid=False, tickformat="d", range=[-0.5, n_heads - 0.5])
    drawn.update_yaxes(title_text="layer", showgrid=False, tickformat="d", range=[n_layers - 0.5, -0.5])
    return drawn


def neurons_by_layer(
    neurons: Float[ndarray, "layer d_mlp"],
    *,
    selected: Iterable[tuple[int, int]] = (),
    top: int = 1500,
    title: str = "Which neurons write the response, and in which layers?",
) -> go.Figure:
    """The `top` neurons of largest |A| as points by layer, and how many are selected in each layer as bars below.

    Points lie beside one another by a fixed rule (the neuron's index), so that the same scores give the same picture.
    Selected neurons are drawn even where they are not among the `top`.

    Args:
        neurons: A of each neuron, nats per token; positive promotes the response; NaN (not measured) is left out.
        selected: (layer, neuron) pairs, a circuit's neurons.
        top: how many neurons to draw; a page with every neuron of a model is too heavy to open.
        title: the question above the figure.

    Raises:
        FigureError: `neurons` is not [layer, d_mlp], `top` is below 1, or a selected neuron lies outside.

    >>> figure = neurons_by_layer(np.array([[0.1, -0.2, 0.0]]), selected=[(0, 0)], top=1)
    >>> [trace.y.tolist() for trace in figure.data]  # not selected, selected, counts
    [[-0.2], [0.1], [1]]
    """
    scores, pairs = _matrix(neurons, "neurons"), _pairs(selected, np.shape(neurons), "neuron")
    if top < 1:
        raise FigureError(f"top is {top}; draw at least 1 neuron.")
    n_layers, d_mlp = scores.shape
    chosen = np.zeros(scores.shape, dtype=bool)
    chosen[tuple(np.array(pairs, dtype=int).reshape(-1, 2).T)] = True
    others = _top(scores, top) & ~chosen
    shown = min(top, int(np.isfinite(scores).sum()))
    names = ("not selected", f"selected ({len(pairs):,})")
    drawn = style.figure(
        title=title,
        height=460 if pairs else 340,
        caption=f"{_READ} Points: the {shown:,} of {scores.size:,} neurons with the largest |A|"
        + (", and all selected ones; bars: selected neurons in each layer." if pairs else "."),
        alt=f"Neurons by layer, {n_layers} by {d_mlp:,}. {_extremes(scores, 'N')} {len(pairs)} are selected.",
        legend=names if pairs else [],
    )
    drawn.add_scatter(**_points(scores, others), name=names[0], marker={"color": style.GREY, "size": 4, "opacity": 0.5})
    whole = {"dtick": 1} if n_layers <= _FEW else {}  # plotly would put ticks between layers
    drawn.update_xaxes(title_text="layer", tickformat="d", range=[-0.6, n_layers - 0.4], **whole)
    drawn.update_yaxes(title_text=_A, zeroline=True)
    if pairs:
        marker = {"color": style.VERMILLION, "size": 6, "opacity": 0.8}
        drawn.add_scatter(**_points(scores, chosen, suffix=", selected"), name=names[1], marker=marker)
        _add_counts(drawn, chosen.sum(1))
    return drawn


def _add_counts(drawn: go.Figure, counts: Int[ndarray, " layer"]) -> None:
    """Selected neurons of each layer as bars under the points."""
    drawn.add_bar(
        x=np.arange(len(counts)), y=counts, marker_color=style.VERMILLION, showlegend=False, yaxis="y2",
        hovertemplate="layer %{x}: %{y} selected<extra></extra>",
    )  # fmt: skip
    below = {"title_text": "selected<br>neurons", "domain": [0, 0.26], "tickformat": "d", "rangemode": "tozero"}
    drawn.update_layout(yaxis_domain=[0.36, 1], yaxis2=below | {"nticks": 4}, xaxis_anchor="y2")


def _matrix(values: Float[ndarray, "layer c"], what: str) -> Float[ndarray, "layer c"]:
    scores: Float[ndarray, "layer c"] = np.asarray(values, dtype=float)
    if scores.ndim != 2 or not scores.size:
        raise FigureError(f"{what} has shape {scores.shape}; give one score a component, [layer, {what[:-1]}].")
    return scores


def _pairs(selected: Iterable[tuple[int, int]], shape: tuple[int, ...], kind: str) -> list[tuple[int, int]]:
    pairs = sorted({(int(layer), int(index)) for layer, index in selected})
    for layer, index in pairs:
        if not (0 <= layer < shape[0] and 0 <= index < shape[1]):
            raise FigureError(
                f"selected {kind} ({layer}, {index}) lies outside the scores' shape {tuple(shape)}; "
                "scores and circuit must come from the same model."
            )
    return pairs


def _largest(scores: Float[ndarray, "..."]) -> float:
    finite = np.abs(scores[np.isfinite(scores)])
    return float(finite.max(initial=0)) or 1.0  # all zero: any range shows them white


def _top(scores: Float[ndarray, "layer c"], count: int) -> Bool[ndarray, "layer c"]:
    """True for the `count` finite scores of largest magnitude; ties go to the lower index."""
    order: Int[ndarray, " component"] = np.argsort(-np.nan_to_num(np.abs(scores), nan=-1.0).ravel(), kind="stable")
    mask = np.zeros(scores.size, dtype=bool)
    mask[order[:count]] = True
    top: Bool[ndarray, "layer c"] = mask.reshape(scores.shape) & np.isfinite(scores)
    return top


def _points(scores: Float[ndarray, "layer d_mlp"], shown: Bool[ndarray, "layer d_mlp"], *, suffix: str = "") -> dict[str, Any]:
    shown = shown & np.isfinite(scores)
    layer, neuron = np.nonzero(shown)
    return {
        "x": layer + 0.7 * (style.scattered(neuron) - 0.5),
        "y": scores[shown],
        "customdata": np.stack([layer, neuron], 1),
        "mode": "markers",
        "hovertemplate": f"L%{{customdata[0]}}N%{{customdata[1]}}: %{{y:+.4f}} nats/token{suffix}<extra></extra>",
    }


def _name(letter: str, layer: int, index: int, score: float, selected: bool) -> str:
    measured = f"{style.number(score)} nats/token" if np.isfinite(score) else "not measured"
    return f"L{layer}{letter}{index}: {measured}" + (", selected" if selected else "")


def _extremes(scores: Float[ndarray, "layer c"], letter: str) -> str:
    if not np.isfinite(scores).any():
        return "Nothing was measured."
    high = np.unravel_index(np.nanargmax(scores), scores.shape)
    low = np.unravel_index(np.nanargmin(scores), scores.shape)
    names = [_name(letter, int(at[0]), int(at[1]), float(scores[at]), False) for at in (high, low)]
    return f"Highest {names[0]}; lowest {names[1]}."
