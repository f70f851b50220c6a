"""Where the components of a circuit lie."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from . import style

_COLUMNS = ["layer", "kind", "components", "indices"]
_KINDS = ("heads", "neurons")
_NAMED = 12
"""Neurons of a layer up to which a hover names each."""


def components_by_layer(table: pd.DataFrame, *, title: str = "In which layers does the circuit lie?") -> go.Figure:
    """A circuit's heads as points by layer, and how many of its neurons each layer has as bars below.

    Args:
        table: one row a layer and kind: layer, kind ("heads" or "neurons"), components (how many), indices (which);
            `Circuit.table()`.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, or an unknown kind.

    >>> frame = pd.DataFrame({"layer": [3], "kind": ["heads"], "components": [2], "indices": [(1, 4)]})
    >>> [(trace.x, trace.y) for trace in components_by_layer(frame).data]
    [((3, 3), (1, 4))]
    """
    frame = style.checked(table, _COLUMNS, numbers=["layer", "components"], what="components_by_layer")
    style.refuse_unknown(frame["kind"], _KINDS, what="components_by_layer: kind")
    heads, neurons = (frame[frame["kind"] == kind] for kind in _KINDS)
    both = bool(len(heads) and len(neurons))
    counts = [int(part["components"].sum()) for part in (heads, neurons)]
    drawn = style.figure(
        title=title,
        height=400 if both else 260,
        caption="The components of the circuit by layer: each of its heads, and how many neurons it has in each layer. "
        "A count: no interval.",
        alt=f"{counts[0]:,} heads and {counts[1]:,} neurons in {frame['layer'].nunique()} layers. {_most(neurons)}".strip(),
    )
    if len(heads):
        _add_heads(drawn, heads)
    if len(neurons):
        _add_neurons(drawn, neurons, below="y2" if both else "y")
    if both:
        drawn.update_layout(yaxis_domain=[0.5, 1], yaxis2_domain=[0, 0.42], xaxis_anchor="y2")
    layers = [float(layer) for layer in frame["layer"]] or [0.0]
    drawn.update_xaxes(
        title_text="layer", tickformat="d", range=[-0.6, max(layers) + 0.6], **style.whole_ticks(max(layers) + 1)
    )
    return drawn


def _add_heads(drawn: go.Figure, heads: pd.DataFrame) -> None:
    pairs = [(int(row.layer), index) for row in _rows(heads) for index in row.indices]
    last = max(index for _, index in pairs)
    drawn.add_scatter(
        x=[layer for layer, _ in pairs], y=[index for _, index in pairs], mode="markers", showlegend=False, name="heads",
        marker={"color": style.VERMILLION, "symbol": "square", "size": 8},
        text=[f"L{layer}H{index}" for layer, index in pairs], hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    drawn.update_layout(
        yaxis={"title_text": "head", "tickformat": "d", "range": [-0.6, last + 0.6], **style.whole_ticks(last + 1)}
    )


def _add_neurons(drawn: go.Figure, neurons: pd.DataFrame, *, below: str) -> None:
    drawn.add_bar(
        x=[int(layer) for layer in neurons["layer"]], y=[int(count) for count in neurons["components"]], yaxis=below,
        name="neurons", marker_color=style.VERMILLION, showlegend=False, hovertext=[_hover(row) for row in _rows(neurons)],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    axis = {"title_text": "neurons", "tickformat": "d", "rangemode": "tozero", "nticks": 5}
    axis |= style.whole_ticks(neurons["components"].max() + 1)
    drawn.update_layout({"yaxis2" if below == "y2" else "yaxis": axis})


def _hover(row: Any) -> str:
    named = ", ".join(map(str, row.indices[:_NAMED])) + (", …" if len(row.indices) > _NAMED else "")
    return f"layer {row.layer:.0f}: {row.components:,.0f} neurons<br>{named}"


def _rows(frame: pd.DataFrame) -> Any:
    return frame.itertuples(index=False)


def _most(neurons: pd.DataFrame) -> str:
    if neurons.empty:
        return ""
    row = neurons.iloc[int(neurons["components"].to_numpy().argmax())]
    return f"Most neurons in layer {row['layer']:.0f}: {row['components']:,.0f}."
