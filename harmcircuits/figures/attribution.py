"""Where attribution lies: heads as a heat map, neurons by layer, each with its interval.

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
DRAWN = 1500
"""Neurons that are drawn unless another number is asked for; a page with every neuron of a model is too heavy to open."""
_LINES = 60
"""Neurons whose interval is drawn as a line; with more, points would be hidden."""
_READ = "Attribution A, averaged over examples. Positive: the component promotes the response. Negative: it suppresses it."
_WITHOUT = " No interval is drawn: none was given."
_OWN = " over examples (each {}'s own, not adjusted for their number)"
Ends = tuple[Float[ndarray, "layer c"], Float[ndarray, "layer c"]]


def heads_heatmap(
    heads: Float[ndarray, "layer head"],
    *,
    low: Float[ndarray, "layer head"] | None = None,
    high: Float[ndarray, "layer head"] | None = None,
    selected: Iterable[tuple[int, int]] = (),
    title: str = "Which attention heads write the response?",
) -> go.Figure:
    """Attribution of every head as a heat map, layers downwards; selected heads carry a ×, and a line lies under those whose
    interval excludes 0.

    Args:
        heads: A of each head, nats per token; positive promotes the response; NaN (not measured) is left blank.
        low: lower end of each head's 95 % interval, nats per token; NaN where there is none.
        high: upper end.
        selected: (layer, head) pairs, a circuit's heads.
        title: the question above the figure.

    Raises:
        FigureError: `heads` is not [layer, head], `low` and `high` are not both of its shape, or a selected head lies
            outside it.

    >>> heads_heatmap(np.array([[0.1, -0.2]]), selected=[(0, 1)]).data[0].zmax
    0.2
    """
    scores, pairs = _matrix(heads, "heads"), _pairs(selected, np.shape(heads), "head")
    ends = _ends(low, high, scores.shape)
    n_layers, n_heads = scores.shape
    chosen = set(pairs)
    hover = [
        [
            _name("H", layer, head, scores[layer, head], (layer, head) in chosen) + _told(ends, layer, head)
            for head in range(n_heads)
        ]
        for layer in range(n_layers)
    ]
    apart = np.argwhere(_excludes(ends)) if ends else np.empty((0, 2), dtype=int)
    height, legend, sure = min(max(15 * n_layers, 180), 720), f"selected ({len(pairs)})", f"interval excludes 0 ({len(apart)})"
    said = f" Underlined: the 95 % interval{_OWN.format('head')} excludes 0; pointing at a head tells it." if ends else _WITHOUT
    drawn = style.figure(
        title=title,
        height=height,
        caption=_READ + said + (" ×: selected." if pairs else ""),
        alt=f"Heat map, {n_layers} layers by {n_heads} heads. {_extremes(scores, 'H')} {len(pairs)} are selected."
        + (f" The interval excludes 0 for {len(apart)}." if ends else ""),
        legend=[*([sure] if ends else []), *([legend] if pairs else [])],
        under=124,
    )
    limit = _largest(scores)
    drawn.add_heatmap(
        z=scores, zmin=-limit, zmax=limit, zmid=0, xgap=1, ygap=1, text=hover, hovertemplate="%{text}<extra></extra>",
        colorscale=[(0, style.BLUE), (0.5, "white"), (1, style.VERMILLION)], hoverongaps=True,
        colorbar=style.colour_bar(_A, below=54, height=height),
    )  # fmt: skip
    if ends:
        drawn.add_scatter(
            x=apart[:, 1], y=apart[:, 0] + 0.3, mode="markers", name=sure, hoverinfo="skip", showlegend=True,
            marker={"symbol": "line-ew", "size": 7, "line": {"color": style.BLACK, "width": 1.5}},
        )  # fmt: skip
    if pairs:
        drawn.add_scatter(
            x=[head for _, head in pairs], y=[layer for layer, _ in pairs], mode="markers", name=legend,
            marker={"symbol": "x", "size": 9, "color": style.BLACK, "line": {"color": "white", "width": 1}},
            hoverinfo="skip", showlegend=True,
        )  # fmt: skip
    whole = {"showgrid": False, "tickformat": "d"}
    drawn.update_xaxes(title_text="head", range=[-0.5, n_heads - 0.5], **whole, **style.whole_ticks(n_heads))
    drawn.update_yaxes(title_text="layer", range=[n_layers - 0.5, -0.5], **whole, **style.whole_ticks(n_layers))
    return drawn


def neurons_by_layer(
    neurons: Float[ndarray, "layer d_mlp"],
    *,
    low: Float[ndarray, "layer d_mlp"] | None = None,
    high: Float[ndarray, "layer d_mlp"] | None = None,
    selected: Iterable[tuple[int, int]] = (),
    top: int = DRAWN,
    title: str = "Which neurons write the response, and in which layers?",
) -> go.Figure:
    """The `top` neurons of largest |A| as points by layer, and how many are selected in each layer as bars below.

    Points lie beside one another by a fixed rule (the neuron's index), so that the same scores give the same picture.
    Selected neurons are drawn even where they are not among the `top`. With intervals, points whose own includes 0 are hollow,
    and upright lines are those of the largest of the selected neurons (of all, where none is selected).

    Args:
        neurons: A of each neuron, nats per token; positive promotes the response; NaN (not measured) is left out.
        low: lower end of each neuron's 95 % interval, nats per token; NaN where there is none.
        high: upper end.
        selected: (layer, neuron) pairs, a circuit's neurons.
        top: how many neurons to draw.
        title: the question above the figure.

    Raises:
        FigureError: `neurons` is not [layer, d_mlp], `low` and `high` are not both of its shape, `top` is below 1, or a
            selected neuron lies outside.

    >>> figure = neurons_by_layer(np.array([[0.1, -0.2, 0.0]]), selected=[(0, 0)], top=1)
    >>> [trace.y.tolist() for trace in figure.data]  # not selected, selected, counts
    [[-0.2], [0.1], [1]]
    """
    scores, pairs = _matrix(neurons, "neurons"), _pairs(selected, np.shape(neurons), "neuron")
    ends = _ends(low, high, scores.shape)
    if top < 1:
        raise FigureError(f"top is {top}; draw at least 1 neuron.")
    n_layers, d_mlp = scores.shape
    chosen = np.zeros(scores.shape, dtype=bool)
    chosen[tuple(np.array(pairs, dtype=int).reshape(-1, 2).T)] = True
    others = largest(scores, top) & ~chosen
    shown = min(top, int(np.isfinite(scores).sum()))
    names = ("not selected", f"selected ({len(pairs):,})")
    drawn = style.figure(
        title=title,
        height=460 if pairs else 340,
        caption=f"{_READ} Points: the {shown:,} of {scores.size:,} neurons with the largest |A|"
        + (", and all selected ones; bars: selected neurons in each layer, counted." if pairs else ".")
        + (_lines_read(bool(pairs)) if ends else _WITHOUT),
        alt=f"Neurons by layer, {n_layers} by {d_mlp:,}. {_extremes(scores, 'N')} {len(pairs)} are selected.",
        legend=names if pairs else [],
    )
    if ends:
        _add_lines(drawn, scores, ends, chosen if pairs else others, colour=style.VERMILLION if pairs else style.GREY)
    grey = {"color": style.GREY, "size": 4, "opacity": 0.5}
    drawn.add_scatter(**_points(scores, others, ends, marker=grey), name=names[0])
    drawn.update_xaxes(title_text="layer", tickformat="d", range=[-0.6, n_layers - 0.4], **style.whole_ticks(n_layers))
    drawn.update_yaxes(title_text=_A, zeroline=True)
    if pairs:
        marker = {"color": style.VERMILLION, "size": 6, "opacity": 0.8}
        drawn.add_scatter(**_points(scores, chosen, ends, marker=marker, suffix=", selected"), name=names[1])
        _add_counts(drawn, chosen.sum(1))
    return drawn


def largest(scores: Float[ndarray, "layer c"], count: int) -> Bool[ndarray, "layer c"]:
    """True for the `count` finite scores of largest magnitude; ties go to the lower index.

    >>> largest(np.array([[0.1, -0.2, 0.0]]), 1).tolist()
    [[False, True, False]]
    """
    order: Int[ndarray, " component"] = np.argsort(-np.nan_to_num(np.abs(scores), nan=-1.0).ravel(), kind="stable")
    mask = np.zeros(scores.size, dtype=bool)
    mask[order[:count]] = True
    top: Bool[ndarray, "layer c"] = mask.reshape(scores.shape) & np.isfinite(scores)
    return top


def _lines_read(selected: bool) -> str:
    of = f"of the selected, the {_LINES} largest at most" if selected else f"of the {_LINES} largest"
    return (
        f" Hollow points: the 95 % interval{_OWN.format('neuron')} includes 0. Upright lines: those intervals, {of}; pointing "
        "at a point tells its own."
    )


def _add_lines(
    drawn: go.Figure, scores: Float[ndarray, "layer c"], ends: Ends, of: Bool[ndarray, "layer c"], *, colour: str
) -> None:
    """The intervals of the largest of some neurons."""
    shown = largest(np.where(of, scores, np.nan), _LINES)
    low, high = (side[shown] for side in ends)
    line = style.segments(low, high, _places(*np.nonzero(shown)))
    drawn.add_trace(style.interval_lines(line, colour=colour, group="intervals", vertical=True, width=1).update(opacity=0.5))


def _add_counts(drawn: go.Figure, counts: Int[ndarray, " layer"]) -> None:
    """Selected neurons of each layer as bars under the points."""
    drawn.add_bar(
        x=np.arange(len(counts)), y=counts, marker_color=style.VERMILLION, showlegend=False, yaxis="y2",
        hovertemplate="layer %{x}: %{y} selected<extra></extra>",
    )  # fmt: skip
    below = {"title_text": "selected<br>neurons", "domain": [0, 0.26], "tickformat": "d", "rangemode": "tozero", "nticks": 4}
    ticks = style.whole_ticks(int(counts.max()) + 1)
    drawn.update_layout(yaxis_domain=[0.36, 1], yaxis2=below | ticks, xaxis_anchor="y2")


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


def _ends(low: Any, high: Any, shape: tuple[int, ...]) -> Ends | None:
    """Both ends as arrays; None where there are none at all."""
    if low is None and high is None:
        return None
    found = tuple(np.asarray(side, dtype=float) for side in (low, high))
    if any(side.shape != shape for side in found):
        given = " and ".join(str(side.shape) for side in found)
        raise FigureError(f"low and high have the shapes {given}; give both in the scores' own, {shape}.")
    return (found[0], found[1]) if np.isfinite(found).any() else None


def _excludes(ends: Ends) -> Bool[ndarray, "layer c"]:
    """True where an interval lies above or below 0 as a whole; without one, false."""
    apart: Bool[ndarray, "layer c"] = (ends[0] > 0) | (ends[1] < 0)
    return apart


def _told(ends: Ends | None, layer: int, index: int) -> str:
    return f"<br>{style.interval(ends[0][layer, index], ends[1][layer, index], digits=4)}" if ends else ""


def _places(layer: Int[ndarray, " point"], neuron: Int[ndarray, " point"]) -> Float[ndarray, " point"]:
    return layer + 0.7 * (style.scattered(neuron) - 0.5)


def _points(
    scores: Float[ndarray, "layer d_mlp"],
    shown: Bool[ndarray, "layer d_mlp"],
    ends: Ends | None,
    *,
    marker: dict[str, Any],
    suffix: str = "",
) -> dict[str, Any]:
    layer, neuron = np.nonzero(shown & np.isfinite(scores))
    told = f"L%{{customdata[0]}}N%{{customdata[1]}}: %{{y:+.4f}} nats/token{suffix}"
    known: list[ndarray] = [layer, neuron]
    if ends:
        apart = _excludes(ends)[layer, neuron]
        order = np.argsort(~apart, kind="stable")  # a full point first: the legend has the first one's look
        layer, neuron = layer[order], neuron[order]
        marker = {**marker, "symbol": np.where(apart[order], "circle", "circle-open")}
        known = [layer, neuron, *(np.round(side[layer, neuron], 6) for side in ends)]
        told += "<br>95 % interval %{customdata[2]:.4f} to %{customdata[3]:.4f}"
    return {
        "x": _places(layer, neuron),
        "y": scores[layer, neuron],
        "customdata": np.stack(known, 1),
        "mode": "markers",
        "marker": marker,
        "hovertemplate": f"{told}<extra></extra>",
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
