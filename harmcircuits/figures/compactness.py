"""How much has to be off until harmful writing falls: rises against the fraction off, what is left against weights touched."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import FigureError

_PLACE = ["grain", "rule", "kind"]
_MEASURES = ["harmful_nll_rise", "near_nll_rise", "retained_harmful", "retained_twin"]
_ENDS = [f"{name}{end}" for name in _MEASURES for end in ("", "_low", "_high")]
_NUMBERS = ["fraction", "share", *_ENDS]
_KINDS = ("circuit", "control", "protection")
_PANELS = {
    "harmful_nll_rise": "rise of L on harmful requests<br>(nats per token)",
    "near_nll_rise": "rise of L on near twins<br>(nats per token)",
}
_COLOURS = {"harmful_nll_rise": style.ROLES["harmful"].colour, "near_nll_rise": style.ROLES["near"].colour}
_SYMBOLS = ("square", "triangle-up", "cross", "star", "diamond", "hexagon", "pentagon", "x", "triangle-down")
_DASHES = {"one-shot": "solid", "greedy": "dash"}
_GRAINS = {"heads": ("solid", "circle"), "neurons": ("dash", "square"), "weights": ("dot", "diamond")}
_PANEL, _GAP = 250, 76  # px


def compactness_rises(curves: pd.DataFrame, *, grain: str, title: str = "") -> go.Figure:
    """Rise of L against the fraction of a grain's components that is off (logarithmic), a line a rule; near twins below.

    In nats per token; positive: the ablation hurts. Circuits have bands, controls are grey with upright intervals; all are
    numbered. Both panels have the same scale.

    Args:
        curves: one row a grain, rule and size: grain, rule, kind ("circuit", "control"; "protection" is not drawn), fraction
            and share (above 0), harmful_nll_rise, near_nll_rise, retained_harmful and retained_twin with _low and _high.
        grain: which rows.
        title: the question above the figure; "" for the usual one.

    Raises:
        FigureError: a column is missing or not numeric, a kind is unknown, or there is no row of that grain.
    """
    frame = _checked(curves, "compactness_rises")
    frame = frame[(frame["grain"] == grain) & (frame["kind"] != "protection") & np.isfinite(frame["harmful_nll_rise"])]
    if not len(frame):
        raise FigureError(f"there is nothing of {grain!r} to draw: grains are {', '.join(dict.fromkeys(curves['grain']))}")
    rules = list(dict.fromkeys(frame["rule"]))
    lines = {f"{at}: {rule}": frame[frame["rule"] == rule].sort_values("fraction") for at, rule in enumerate(rules, 1)}
    height = 2 * _PANEL + _GAP
    drawn = style.figure(
        title=title or f"How many {grain} have to be off until harmful writing falls?",
        height=height,
        caption=(
            f"Each line is one rule of choosing {grain}, a point one size. Above: the rise of L on harmful requests; below: on "
            "near twins, at the same scale. Coloured: circuits, with 95 % intervals as bands; grey: controls of the same size, "
            "with upright intervals. Compact and selective writing rises early above, and stays flat below."
        ),
        alt=_spoken(lines),
        legend=list(lines),
    )
    across = np.log10(frame["fraction"])
    up = style.span(*(frame[f"{name}{end}"] for name in _PANELS for end in ("", "_low", "_high")), hold=0)
    for row, (measure, label) in enumerate(_PANELS.items()):
        top = 1 - row * (_PANEL + _GAP) / height
        _axes(drawn, row, x=f"fraction of all {grain} that is off", y=label, across=[across.min(), across.max()], up=up)
        drawn.update_layout({f"yaxis{_suffix(row)}": {"domain": [max(0.0, top - _PANEL / height), top]}})
        for name, line in reversed(lines.items()):
            _rule(drawn, line, name, measure, row)
    return drawn


def compactness_retained(
    curves: pd.DataFrame, *, title: str = "How much of the model has to be off until half of harmful writing is gone?"
) -> go.Figure:
    """What is left of generation against the share of all eligible weights that is touched (logarithmic): the one-shot
    circuits of all grains on one axis, harmful requests and near twins, with 95 % bands.

    1 is the intact model, 0 text that answers its own request no more than another.

    Args:
        curves: as of `compactness_rises`.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or not numeric, or a kind or grain is unknown.
    """
    frame = _checked(curves, "compactness_retained")
    style.refuse_unknown(frame["grain"], _GRAINS, what="grain")
    frame = frame[frame["rule"] == "one-shot"]
    lines: dict[tuple[str, str], pd.DataFrame] = {}
    for grain in dict.fromkeys(frame["grain"]):
        for role, measure in (("harmful", "retained_harmful"), ("near", "retained_twin")):
            own = frame[(frame["grain"] == grain) & np.isfinite(frame[measure])].sort_values("share")
            lines |= {(grain, role): own} if len(own) else {}
    names = {key: f"{key[0]}, {style.ROLES[key[1]].name}" for key in lines}
    drawn = style.figure(
        title=title,
        height=400,
        caption=(
            "What is left of request-dependent writing, as a share of the intact model's, against the share of all eligible "
            "weights that is touched. Vermillion: harmful requests; blue: near twins; bands: 95 % intervals. The grey line is "
            "the half. A head touches far more weights than a neuron."
        ),
        alt=_spoken_retained(lines),
        legend=list(names.values()),
    )
    for key in reversed(lines):
        _grain(drawn, lines[key], *key, name=names[key])
    drawn.add_hline(y=0.5, line={"color": style.GREY, "width": 1, "dash": "dash"})
    across = np.log10(frame["share"])
    ends = [line[f"{_measure(role)}{end}"] for (_, role), line in lines.items() for end in ("", "_low", "_high")]
    label, span = "share of all eligible weights touched", [across.min(), across.max()] if len(frame) else [-5.0, 0.0]
    _axes(drawn, 0, x=label, y="generation retained", across=span, up=style.span([1.0], *ends, hold=0))
    return drawn


def _checked(curves: pd.DataFrame, what: str) -> pd.DataFrame:
    frame = style.checked(curves, [*_PLACE, *_NUMBERS], numbers=_NUMBERS, what=what)
    style.refuse_unknown(frame["kind"], _KINDS, what="kind")
    return frame[(frame["fraction"] > 0) & (frame["share"] > 0)]


def _measure(role: str) -> str:
    return "retained_harmful" if role == "harmful" else "retained_twin"


def _rule(drawn: go.Figure, line: pd.DataFrame, name: str, measure: str, row: int) -> None:
    number, _, rule = name.partition(": ")
    circuit = line["kind"].iloc[0] == "circuit"
    colour = _COLOURS[measure] if circuit else style.GREY
    low, high = line[f"{measure}_low"], line[f"{measure}_high"]
    axes = {"xaxis": f"x{_suffix(row)}", "yaxis": f"y{_suffix(row)}"}
    if circuit:
        drawn.add_trace(_band(line["fraction"], low, high, colour, name).update(axes))
    else:
        upright = style.segments(low, high, line["fraction"])
        drawn.add_trace(
            style.interval_lines(upright, colour=colour, group=name, vertical=True, width=1).update(opacity=0.4, **axes)
        )
    symbol = "circle" if circuit else _SYMBOLS[int(number) % len(_SYMBOLS)]
    drawn.add_scatter(
        x=line["fraction"], y=line[measure], mode="lines+markers+text", name=style.text(name), legendgroup=name,
        legendrank=int(number), showlegend=row == 0,
        line={"color": colour, "width": 2 if circuit else 1, "dash": _DASHES.get(rule, "dot")},
        marker={"color": colour, "symbol": symbol, "size": 7, "line": {"color": "white", "width": 1}},
        text=[""] * (len(line) - 1) + [f"<b>{number}</b>"], textposition="middle right", textfont={"color": colour, "size": 12},
        hovertext=[_hover(point, name, measure, "fraction") for point in line.to_dict("records")],
        hovertemplate="%{hovertext}<extra></extra>", **axes,
    )  # fmt: skip


def _grain(drawn: go.Figure, line: pd.DataFrame, grain: str, role: str, *, name: str) -> None:
    measure, colour = _measure(role), style.ROLES[role].colour
    dash, symbol = _GRAINS[grain]
    drawn.add_trace(_band(line["share"], line[f"{measure}_low"], line[f"{measure}_high"], colour, name))
    drawn.add_scatter(
        x=line["share"], y=line[measure], mode="lines+markers", name=style.text(name), legendgroup=name, showlegend=True,
        legendrank=2 * list(_GRAINS).index(grain) + (role != "harmful") + 1,
        line={"color": colour, "width": 2, "dash": dash}, marker={"color": colour, "symbol": symbol, "size": 8},
        hovertext=[_hover(point, name, measure, "share") for point in line.to_dict("records")],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _band(x: pd.Series, low: pd.Series, high: pd.Series, colour: str, group: str) -> go.Scatter:
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    return go.Scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=colour, opacity=0.15, line={"width": 0}, mode="lines",
        hoverinfo="skip", showlegend=False, legendgroup=group,
    )  # fmt: skip


def _axes(drawn: go.Figure, row: int, *, x: str, y: str, across: list[float], up: list[float]) -> None:
    at, room = _suffix(row), 0.06 * (across[1] - across[0]) or 0.3
    logarithmic = {"type": "log", "range": [across[0] - room, across[1] + room], "dtick": 1, "exponentformat": "power"}
    drawn.update_layout(
        {
            f"xaxis{at}": {**logarithmic, "title_text": x, "anchor": f"y{at}"},
            f"yaxis{at}": {"title_text": y, "anchor": f"x{at}", "range": up, "zeroline": True, "nticks": 7},
        }
    )


def _hover(point: Mapping[Any, Any], name: str, measure: str, place: str) -> str:
    ends = style.interval(point[f"{measure}_low"], point[f"{measure}_high"])
    return f"{style.text(name)}, {place} {point[place]:.2e}<br>{style.number(point[measure], digits=3)}, {ends}"


def _spoken(lines: Mapping[str, pd.DataFrame]) -> str:
    """Each rule at its largest size."""
    parts = []
    for name, line in lines.items():
        last = line.iloc[-1]
        parts.append(
            f"{name}, at {last['fraction']:.2e}: harmful {last['harmful_nll_rise']:+.3f}, near {last['near_nll_rise']:+.3f}"
        )
    return f"Rises of L in nats per token at each rule's largest fraction. {'; '.join(parts)}."


def _spoken_retained(lines: Mapping[tuple[str, str], pd.DataFrame]) -> str:
    parts = []
    for (grain, role), line in lines.items():
        points = ", ".join(f"{point['share']:.1e}: {point[_measure(role)]:.2f}" for point in line.to_dict("records"))
        parts.append(f"{grain}, {style.ROLES[role].name}: {points}")
    return f"Generation retained by share of weights touched. {'; '.join(parts) or 'Nothing was measured'}."


def _suffix(row: int) -> str:
    return "" if row == 0 else str(row + 1)
