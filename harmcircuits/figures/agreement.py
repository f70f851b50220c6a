"""Two scores of the same components against each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_COLUMNS = ["kind", "layer", "index", "first", "second"]
_LETTERS = {"heads": "H", "neurons": "N"}
_SIGNS = (
    ("same sign", {"color": style.BLACK, "symbol": "circle", "size": 6, "opacity": 0.55}),
    ("signs differ", {"color": style.ORANGE, "symbol": "x", "size": 7, "opacity": 0.9}),
)
_EQUAL = "equal scores"
_PANEL, _GAP = 340, 88  # px


def agreement_scatter(
    points: pd.DataFrame,
    *,
    names: tuple[str, str] = ("first", "second"),
    notes: Mapping[str, str] | None = None,
    top: int = 1500,
    title: str = "Do the two scores agree?",
) -> go.Figure:
    """The first score of every component against its second, one panel a kind, with the line where they are equal.

    A panel draws at most `top` components, the ones with the largest score on either side. How many are left out is said under
    the title.

    Args:
        points: columns kind ("heads" or "neurons"), layer, index, first, second: attributions A in nats per token, positive
            where the component promotes the response. Lines without both scores are left out.
        names: what the two scores are called, such as ("first order", "exact").
        notes: a few words for each kind's panel, such as its rank correlation.
        top: how many components of a kind to draw; a page with every neuron of a model is too heavy to open.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, an unknown kind, or `top` below 1.

    >>> frame = pd.DataFrame({"kind": ["heads"], "layer": [3], "index": [7], "first": [0.1], "second": [0.2]})
    >>> agreement_scatter(frame).data[0].text[0]
    'L3H7: first +0.1000, second +0.2000 nats/token'
    """
    frame = style.checked(points, _COLUMNS, numbers=_COLUMNS[1:], what="agreement_scatter")
    style.refuse_unknown(frame["kind"], _LETTERS, what="agreement_scatter: kind")
    if top < 1:
        raise style.FigureError(f"top is {top}; draw at least 1 component of a kind.")
    frame = frame.loc[np.isfinite(frame["first"]) & np.isfinite(frame["second"])]
    panels = {kind: part for kind in _LETTERS if len(part := frame[frame["kind"] == kind])} or {"heads": frame}
    shown = {kind: _thinned(part, top) for kind, part in panels.items()}
    hidden = [f"{len(panels[kind]) - len(part):,} {kind}" for kind, part in shown.items() if len(part) < len(panels[kind])]
    counted = " and ".join(f"{len(part):,} {kind}" for kind, part in panels.items())
    height = len(shown) * _PANEL + (len(shown) - 1) * _GAP
    drawn = style.figure(
        title=title,
        height=height,
        caption=(
            f"Attribution A of each component by two scores: {names[0]} upwards, {names[1]} to the right, means over examples; "
            "positive promotes the response. On the grey line both are equal. Orange crosses: the two signs differ. "
            "No interval of a single component is drawn."
        ),
        alt=f"Scatter of {counted}, {names[0]} against {names[1]}. "
        + " ".join(f"{kind}: {note}." for kind, note in (notes or {}).items()),
        note=f"not shown: {', '.join(hidden)}, of the smaller ones" if hidden else "",
        legend=[*(name for name, _ in _SIGNS), _EQUAL],
    )
    for row, (kind, part) in enumerate(shown.items()):
        _add_panel(drawn, part, kind, names, row=row)
        note = f"<b>{kind}</b> {style.text((notes or {}).get(kind, ''))}".strip()
        top_of_panel = 1 - row * (_PANEL + _GAP) / height
        drawn.update_layout({f"yaxis{_suffix(row)}": {"domain": [top_of_panel - _PANEL / height, top_of_panel]}})
        drawn.add_annotation(
            text=note,
            x=0.005,
            xref="paper",
            xanchor="left",
            y=top_of_panel,
            yref="paper",
            yanchor="top",
            showarrow=False,
            bgcolor=style.VEIL,
        )
    return drawn


def _add_panel(drawn: go.Figure, part: pd.DataFrame, kind: str, names: tuple[str, str], *, row: int) -> None:
    axes = {"xaxis": f"x{_suffix(row)}", "yaxis": f"y{_suffix(row)}"}
    same = np.sign(part["first"]) == np.sign(part["second"])
    both = style.span(part["first"], part["second"], hold=0)
    for (name, marker), chosen in zip(_SIGNS, (same, ~same), strict=True):
        some = part[chosen]
        drawn.add_scatter(
            x=some["second"], y=some["first"], mode="markers", name=name, legendgroup=name, showlegend=row == 0,
            marker=marker, text=[_hover(point, kind, names) for point in some.itertuples()],
            hovertemplate="%{text}<extra></extra>", **axes,
        )  # fmt: skip
    drawn.add_scatter(
        x=both, y=both, mode="lines", name=_EQUAL, legendgroup=_EQUAL, showlegend=row == 0, hoverinfo="skip",
        line={"color": style.GREY, "width": 1.5, "dash": "dash"}, **axes,
    )  # fmt: skip
    common = {"range": both, "zeroline": True, "nticks": 7}
    across, along = (f"{style.text(name)}: A (nats per token)" for name in names)
    drawn.update_layout(
        {
            f"xaxis{_suffix(row)}": {**common, "title_text": along, "anchor": axes["yaxis"]},
            f"yaxis{_suffix(row)}": {**common, "title_text": across, "anchor": axes["xaxis"]},
        }
    )


def _thinned(part: pd.DataFrame, top: int) -> pd.DataFrame:
    order = part[["first", "second"]].abs().max(axis=1).sort_values(ascending=False, kind="stable").index
    return part.loc[order[:top]]


def _hover(point: Any, kind: str, names: tuple[str, str]) -> str:
    pairs = zip(names, (point.first, point.second), strict=True)
    scores = [f"{style.text(name)} {style.number(value)}" for name, value in pairs]
    return f"L{int(point.layer)}{_LETTERS[kind]}{int(point.index)}: {', '.join(scores)} nats/token"


def _suffix(row: int) -> str:
    return "" if row == 0 else str(row + 1)
