"""What ablations do to harm at each cost on harmless text: strength by strength, and compared at equal cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .line_ends import End, add_numbers

_NAMES = {"far": "far twins", "harmful": "harmful requests", "near": "near twins", "selectivity": "selectivity"}
_NUMBERS = ["alpha", "n", *(f"{name}{end}" for name in _NAMES for end in ("", "_low", "_high"))]
_PANELS = {
    "harmful": "rise of L on harmful requests<br>(nats per token)",
    "selectivity": "selectivity, harmful − near<br>(nats per token)",
}
_COST = "cost: rise of L on far twins (nats per token)"
_DASHES = {"circuit": "solid", "aimed-at-twins": "dash", "aimed-at-recognition": "dash"}
"""A control is dotted."""
_EQUAL = "equal damage"
_PANEL, _GAP = 280, 76  # px
_CAPTION = (
    "Each line is one ablation, from the intact model at 0 to its full strength at the number; a point is one strength. To "
    "the right: what it costs on harmless text, the mean rise of L on far twins. Upwards: what it does to harmful writing, and "
    "below, by how much more than to near twins. Compare lines at one cost, not at their ends. Upright lines at the points are "
    "95 % intervals."
)


def damage_frontier(
    frame: pd.DataFrame,
    *,
    damage: float | None = None,
    title: str = "At the same cost on harmless text, which ablation hurts harmful writing most?",
) -> go.Figure:
    """Mean rise on harmful requests, and selectivity below it, against the mean rise on far twins; a line a condition.

    All in nats per token; a positive rise: the ablation hurts. Points along a line are strengths, in the order of falling alpha
    (what is left of each activation or weight). Circuits are solid, what is aimed elsewhere is dashed, controls are grey
    and dotted; all are numbered. Strengths without a value are counted under the title.

    Args:
        frame: columns condition, kind, alpha, n (triples), and harmful, near, far and selectivity, each also with _low and
            _high, the ends of its 95 % interval; one line a condition and alpha.
        damage: the rise on far twins at which conditions are compared; drawn as an upright line.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, a kind is unknown, or a column that must be numeric is not.

    >>> row = {"condition": "heads", "kind": "circuit", **dict.fromkeys(_NUMBERS, 0.5)}
    >>> [trace.name for trace in damage_frontier(pd.DataFrame([row])).data if trace.showlegend]
    ['1: heads']
    """
    frame = style.checked(frame, ["condition", "kind", *_NUMBERS], numbers=_NUMBERS, what="damage_frontier")
    style.refuse_unknown(frame["kind"], style.KINDS, what="kind")
    measured = np.isfinite(frame["far"]) & np.isfinite(frame["harmful"]) & np.isfinite(frame["selectivity"])
    shown = frame.loc[measured].sort_values("alpha", ascending=False, kind="stable")
    order = [name for name in dict.fromkeys(frame["condition"]) if name in set(shown["condition"])]
    lines = {f"{at}: {name}": shown[shown["condition"] == name] for at, name in enumerate(order, 1)}
    lost = int((~measured).sum())
    height = 2 * _PANEL + _GAP
    drawn = style.figure(
        title=title,
        height=height,
        caption=_CAPTION,
        alt=_spoken(lines, damage),
        note=f"not shown: {lost:,} strengths without a value" if lost else "",
        legend=[*lines],
    )
    for row, (measure, label) in enumerate(_PANELS.items()):
        _set_axes(drawn, shown, measure, label, damage, row=row)
        for name, line in reversed(lines.items()):  # the first condition above the others
            _add_line(drawn, line, name, measure, row=row)
        _number(drawn, lines, measure, row=row)
        top = 1 - row * (_PANEL + _GAP) / height
        drawn.update_layout({f"yaxis{_suffix(row)}": {"domain": [top - _PANEL / height, top]}})
    return drawn


def _add_line(drawn: go.Figure, line: pd.DataFrame, name: str, measure: str, *, row: int) -> None:
    axes = {"xaxis": f"x{_suffix(row)}", "yaxis": f"y{_suffix(row)}"}
    kind = str(line["kind"].iloc[0])
    _, colour, symbol = style.KINDS[kind]
    intervals = style.segments(line[f"{measure}_low"], line[f"{measure}_high"], line["far"])
    upright = style.interval_lines(intervals, colour=colour, group=name, vertical=True, width=1.5)
    drawn.add_trace(upright.update(opacity=0.45, **axes))
    drawn.add_scatter(
        x=line["far"], y=line[measure], mode="lines+markers", name=style.text(name), legendgroup=name,
        legendrank=int(name.partition(":")[0]), showlegend=row == 0,
        line={"color": colour, "width": 2, "dash": _DASHES.get(kind, "dot")},
        marker={"color": colour, "symbol": symbol, "size": 7, "line": {"color": "white", "width": 1}},
        hovertext=[_hover(point, name) for point in line.to_dict("records")], hovertemplate="%{hovertext}<extra></extra>",
        **axes,
    )  # fmt: skip


def _number(drawn: go.Figure, lines: Mapping[str, pd.DataFrame], measure: str, *, row: int) -> None:
    """The number of each line at its full strength."""
    ends = {
        name: End(float(line["far"].iloc[-1]), float(line[measure].iloc[-1]), style.KINDS[str(line["kind"].iloc[0])].colour)
        for name, line in lines.items()
    }
    add_numbers(drawn, ends, at=_suffix(row), height=_PANEL)


def _set_axes(drawn: go.Figure, shown: pd.DataFrame, measure: str, label: str, damage: float | None, *, row: int) -> None:
    at = _suffix(row)
    across = style.span(shown["far"], [] if damage is None else [damage], hold=0)
    up = style.span(*(shown[f"{measure}{end}"] for end in ("", "_low", "_high")), hold=0)
    common = {"zeroline": True, "nticks": 7}
    drawn.update_layout(
        {
            f"xaxis{at}": {**common, "title_text": _COST, "anchor": f"y{at}", "range": across},
            f"yaxis{at}": {**common, "title_text": label, "anchor": f"x{at}", "range": up},
        }
    )
    if damage is not None:
        left = damage > sum(across) / 2  # where there is room for the label
        label = f"{_EQUAL}\u00a0" if left else f"\u00a0{_EQUAL}"
        drawn.add_scatter(
            x=[damage] * 2, y=up, mode="lines+text", name=_EQUAL, line={"color": style.INK, "width": 1, "dash": "dash"},
            hoverinfo="skip", showlegend=False, text=["", label if row == 0 else ""],
            textposition=f"bottom {'left' if left else 'right'}",
            textfont={"color": style.INK, "size": 11}, xaxis=f"x{at}", yaxis=f"y{at}",
        )  # fmt: skip


def _hover(point: Mapping[Any, Any], name: str) -> str:
    lines = [f"{style.text(name)}, alpha {point['alpha']:.3g}, {point['n']:.0f} triples"]
    for measure, spoken in _NAMES.items():
        value = f"{style.number(point[measure])} nats/token" if np.isfinite(point[measure]) else "not measured"
        lines.append(f"{spoken}: {value}, {style.interval(point[f'{measure}_low'], point[f'{measure}_high'])}")
    return "<br>".join(lines)


def _spoken(lines: Mapping[str, pd.DataFrame], damage: float | None) -> str:
    """Each condition where it is compared, or at its full strength."""
    parts = []
    for name, line in lines.items():
        near = line.iloc[-1] if damage is None else line.iloc[int((line["far"] - damage).abs().argmin())]
        rises = ", ".join(f"{role} {near[role]:+.3f}" for role in ("far", "harmful", "near"))
        parts.append(f"{name}, alpha {near['alpha']:.2f}: {rises}")
    where = "at full strength" if damage is None else f"nearest to an equal damage of {damage:.3f}"
    return f"Rises of L in nats per token {where}. {'; '.join(parts) or 'Nothing was measured'}."


def _suffix(row: int) -> str:
    return "" if row == 0 else str(row + 1)
