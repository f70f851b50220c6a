"""Fronts of selection rules: what each does to near twins, against what it does to harmful writing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_NUMBERS = [
    *("factor", "heads", "neurons", "weights", "n"),
    *(f"{role}{end}" for role in ("harmful", "near", "far") for end in ("", "_low", "_high")),
]
_COLUMNS = ["rule", "default", *_NUMBERS]
_FIRST = "set_difference"
_LOOKS = [
    (style.VERMILLION, "diamond"), (style.BLUE, "square"), (style.GREEN, "triangle-up"), (style.PURPLE, "cross"),
    (style.ORANGE, "triangle-down"), (style.SKY, "x"),
]  # fmt: skip
_EQUAL, _AIM = "both hurt alike", "aim: {:.2g} of the set difference"
_HEIGHT = 380  # px
_CAPTION = (
    "Each line is one rule, from the intact model at 0 over circuits of growing size (points). To the right: mean rise of L "
    "on harmful responses; upwards: on their near twins, both of categories that the rules did not choose from. Lower is "
    "better, at the same place to the right. Black: the paper's set difference, its default size ringed; dashed: where a rule "
    "would meet the aim; dotted: both hurt alike. Lines through the points are 95 % intervals."
)


def rule_fronts(
    frame: pd.DataFrame,
    *,
    aim: float = 2 / 3,
    title: str = "At the same loss of harmful writing, which rule spares near twins?",
) -> go.Figure:
    """Mean rise on near twins (y) against mean rise on harmful responses (x), nats per token, a line a rule.

    Positive: the ablation hurts. Upright and level lines at each point are its 95 % intervals. A dotted diagonal: both hurt
    alike; a dashed line: `aim` times the set difference's front.

    Args:
        frame: columns rule, default (true for the circuit that others are compared at), factor, heads, neurons, weights, n
            (triples), and harmful, near and far, each also with _low and _high; one row a rule and size.
        aim: the share of the set difference's near rise that is aimed at.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, or one that must be numeric is not.

    >>> row = {"rule": "contrast", "default": False, **dict.fromkeys(_NUMBERS, 0.5)}
    >>> [trace.name for trace in rule_fronts(pd.DataFrame([row])).data if trace.showlegend]
    ['contrast', 'both hurt alike']
    """
    frame = style.checked(frame, _COLUMNS, numbers=_NUMBERS, what="rule_fronts")
    lines = {str(rule): own.sort_values("factor") for rule, own in frame.groupby("rule", sort=False)}
    aimed = _AIM.format(aim)
    drawn = style.figure(
        title=title,
        height=_HEIGHT,
        caption=_CAPTION,
        alt=_spoken(lines),
        legend=[*(_name(rule) for rule in lines), _EQUAL, *([aimed] if _FIRST in lines else [])],
    )
    challengers = [rule for rule in lines if rule != _FIRST]
    for at, rule in reversed([*enumerate(challengers)]):
        _add_line(drawn, lines[rule], rule, *_LOOKS[at % len(_LOOKS)], rank=at + 2)
    if _FIRST in lines:
        _add_line(drawn, lines[_FIRST], _FIRST, style.BLACK, "circle", rank=1)
        _add_guide(drawn, *_from_origin(lines[_FIRST], aim), aimed, "dash", rank=len(lines) + 3)
        _ring_default(drawn, lines[_FIRST])
    across, up = (style.span(*(frame[f"{role}{end}"] for end in ("", "_low", "_high")), hold=0) for role in ("harmful", "near"))
    ends = [max(across[0], up[0]), min(across[1], up[1])]
    _add_guide(drawn, ends, ends, _EQUAL, "dot", rank=len(lines) + 2)
    labels = ("rise of L on harmful responses (nats per token)", "rise of L on near twins<br>(nats per token)")
    drawn.update_xaxes(title_text=labels[0], range=across, zeroline=True, nticks=7)
    drawn.update_yaxes(title_text=labels[1], range=up, zeroline=True, nticks=7)
    return drawn


def _add_line(drawn: go.Figure, line: pd.DataFrame, rule: str, colour: str, symbol: str, *, rank: int) -> None:
    for vertical in (True, False):
        along, across = ("near", "harmful") if vertical else ("harmful", "near")
        ends = style.segments(line[f"{along}_low"], line[f"{along}_high"], line[across])
        bars = style.interval_lines(ends, colour=colour, group=rule, vertical=vertical, width=1.5)
        drawn.add_trace(bars.update(opacity=0.35))
    x, y = _from_origin(line, 1.0)
    drawn.add_scatter(
        x=x, y=y, mode="lines+markers", name=style.text(_name(rule)), legendgroup=rule, legendrank=rank, showlegend=True,
        line={"color": colour, "width": 3 if rule == _FIRST else 2},
        marker={"color": colour, "symbol": symbol, "size": [0] + [8] * len(line), "line": {"color": "white", "width": 1}},
        hovertext=["the intact model", *(_hover(point, rule) for point in line.to_dict("records"))],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _from_origin(line: pd.DataFrame, times: float) -> tuple[list[float], list[float]]:
    return [0.0, *line["harmful"]], [0.0, *(times * line["near"])]


def _add_guide(drawn: go.Figure, x: list[float], y: list[float], name: str, dash: str, *, rank: int) -> None:
    drawn.add_scatter(
        x=x, y=y, mode="lines", name=name, legendrank=rank, showlegend=True, hoverinfo="skip",
        line={"color": style.GREY if dash == "dot" else style.BLACK, "width": 1.5, "dash": dash},
    )  # fmt: skip


def _ring_default(drawn: go.Figure, line: pd.DataFrame) -> None:
    own = line[line["default"].astype(bool)]
    drawn.add_scatter(
        x=own["harmful"], y=own["near"], mode="markers", showlegend=False, hoverinfo="skip", legendgroup=_FIRST,
        marker={"symbol": "circle-open", "size": 16, "color": style.BLACK, "line": {"width": 2}},
    )  # fmt: skip


def _hover(point: Mapping[Any, Any], rule: str) -> str:
    sizes = ", ".join(f"{point[kind]:.0f} {kind}" for kind in ("heads", "neurons", "weights") if point[kind] > 0)
    lines = [f"{style.text(_name(rule))}: {sizes}, {point['n']:.0f} triples"]
    for role, spoken in (("harmful", "harmful responses"), ("near", "near twins"), ("far", "far twins")):
        value = f"{style.number(point[role])} nats/token" if np.isfinite(point[role]) else "not measured"
        lines.append(f"{spoken}: {value}, {style.interval(point[f'{role}_low'], point[f'{role}_high'])}")
    return "<br>".join(lines)


def _name(rule: str) -> str:
    return rule.replace("_", " ")


def _spoken(lines: Mapping[str, pd.DataFrame]) -> str:
    """Each rule at its largest size, and at the default one."""
    parts = []
    for rule, line in lines.items():
        points = ", ".join(
            f"{point['harmful']:+.3f} and {point['near']:+.3f} at {point['factor']:g} times the default size"
            for point in line.to_dict("records")
        )
        parts.append(f"{_name(rule)}: {points}")
    return f"Rises of L in nats per token on harmful responses and near twins. {'; '.join(parts) or 'Nothing was measured'}."
