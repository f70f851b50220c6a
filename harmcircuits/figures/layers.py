"""After which layer a probe finds harm."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .bands import band

_COLUMNS = ["condition", "kind", "place", "layer", "value", "low", "high"]
_INTACT, _RETRAINED = "trained intact", "retrained"
_DASHES = {_INTACT: "solid", _RETRAINED: "dash"}
_COLOURS = (style.VERMILLION, style.ORANGE, style.SKY, style.GREEN)
"""Of circuits whose names do not say what they are aimed at."""
_PANEL, _GAP = 260, 76  # px
_CHANCE: dict[str, Any] = {"color": style.GREY, "width": 1.5}


def auroc_by_layer(frame: pd.DataFrame, *, title: str = "After which layer does a probe find harm?") -> go.Figure:
    """AUROC of a probe by the layer after which it reads, one panel a place, one line a condition and kind, with 95 % bands.

    Solid: trained on the intact model; dashed: trained anew under the condition. The intact model is black; controls and other
    aims have the colours that they have everywhere (`style.KINDS`), by their names.

    Args:
        frame: columns condition, kind ("trained intact", "retrained"), place, layer, value, low, high (0 to 1).
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, an unknown kind.

    >>> frame = pd.DataFrame([("intact", "retrained", "at the end", 3, 0.75, 0.5, 0.875)],
    ...                      columns=["condition", "kind", "place", "layer", "value", "low", "high"])
    >>> auroc_by_layer(frame).data[1].name
    'intact, retrained'
    """
    frame = style.checked(frame, _COLUMNS, numbers=_COLUMNS[3:], what="auroc_by_layer")
    style.refuse_unknown(frame["kind"], _DASHES, what="auroc_by_layer: kind")
    frame = frame[np.isfinite(frame["value"])]
    places, conditions = (list(dict.fromkeys(frame[column])) for column in ("place", "condition"))
    names = [f"{condition}, {kind}" for condition in conditions for kind in _DASHES]
    height = max(len(places), 1) * _PANEL + max(len(places) - 1, 0) * _GAP
    drawn = style.figure(
        title=title,
        height=height,
        caption=(
            "AUROC of harmful requests by a linear probe on the residual stream after each layer. Solid: its direction comes "
            "from the intact model; dashed: from training prompts under the same condition. Bands: 95 % intervals, each "
            "layer's own. Grey line: chance."
        ),
        alt=" ".join(_best(frame, str(place), str(condition)) for place in places for condition in conditions)
        or "Nothing was measured.",
        legend=names,
    )
    colours = _colours(conditions)
    for row, place in enumerate(places):
        top = 1 - row * (_PANEL + _GAP) / height
        _add_place(drawn, frame[frame["place"] == place], colours, row=row, domain=[max(top - _PANEL / height, 0.0), top])
    layers = frame["layer"]
    drawn.update_xaxes(title_text="after layer", dtick=1 + int(layers.max() - layers.min()) // 10 if len(frame) else 1)
    drawn.update_yaxes(title_text="AUROC", range=style.span(frame["value"], frame["low"], frame["high"], hold=0.5))
    return drawn


def _colours(conditions: Sequence[Any]) -> dict[Any, str]:
    """By condition. What is neither intact nor of a kind that its name says is a circuit."""
    named = {look.name: look.colour for kind, look in style.KINDS.items() if kind != "circuit"}
    found = {one: next((colour for name, colour in named.items() if name in str(one)), "") for one in conditions}
    found |= {"intact": style.BLACK}
    circuits = [one for one in conditions if not found[one]]
    return found | {one: _COLOURS[at % len(_COLOURS)] for at, one in enumerate(circuits)}


def _add_place(drawn: go.Figure, part: pd.DataFrame, colours: Mapping[Any, str], *, row: int, domain: list[float]) -> None:
    suffix = "" if row == 0 else str(row + 1)
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    lines = [(key, line.sort_values("layer")) for key, line in part.groupby(["condition", "kind"], sort=False)]
    for (condition, kind), own in lines:  # below all lines
        known = band(own["layer"], own["low"], own["high"], colours[condition], f"{condition}, {kind}", pale=True)
        drawn.add_trace(known.update(**axes))
    for (condition, kind), own in lines:
        name = f"{condition}, {kind}"
        hover = [
            f"{style.text(name)}, after layer {layer:.0f}: {value:.3f}<br>{style.interval(low, high)}"
            for layer, value, low, high in _values(own, ["layer", "value", "low", "high"])
        ]
        drawn.add_scatter(
            x=own["layer"], y=own["value"], mode="lines", name=style.text(name), legendgroup=name, showlegend=row == 0,
            line={"color": colours[condition], "width": 2, "dash": _DASHES[str(kind)]},
            text=hover, hovertemplate="%{text}<extra></extra>", **axes,
        )  # fmt: skip
    drawn.add_shape(
        type="line", x0=0, x1=1, xref=f"{axes['xaxis']} domain", y0=0.5, y1=0.5, yref=axes["yaxis"], line=_CHANCE, layer="below"
    )
    drawn.add_annotation(
        text=f"<b>{style.text(part['place'].iloc[0])}</b>", x=0.005, xref="paper", xanchor="left", y=domain[1], yref="paper",
        yanchor="top", showarrow=False, bgcolor=style.VEIL,
    )  # fmt: skip
    drawn.update_layout(
        {f"xaxis{suffix}": {"anchor": axes["yaxis"]}, f"yaxis{suffix}": {"anchor": axes["xaxis"], "domain": domain}}
    )


def _values(part: pd.DataFrame, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(part[column] for column in columns), strict=True)


def _best(frame: pd.DataFrame, place: str, condition: str) -> str:
    part = frame[(frame["place"] == place) & (frame["condition"] == condition)]
    if not len(part):
        return ""
    best = part.iloc[int(part["value"].argmax())]
    return f"{place}, {condition}: at best {best['value']:.2f}, after layer {int(best['layer'])} ({best['kind']})."
