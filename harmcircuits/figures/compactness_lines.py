"""What the figures of a sweep share: panels under one another, circuits coloured with bands, controls grey with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import FigureError

ONE_SHOT = "one-shot"
"""The rule of the circuits; all others are controls."""
_SYMBOLS = ("square", "triangle-up", "cross", "star", "diamond", "hexagon", "pentagon", "x", "triangle-down")
_PANEL, _GAP = 250, 76  # px


class Panel(NamedTuple):
    """One measure against the fraction: its column, its name with the unit, how circuits are coloured, and a value that is
    marked by a dashed line."""

    measure: str
    label: str
    colour: str
    mark: float | None = None


def ends(measure: str) -> list[str]:
    """The columns of a measure and its interval."""
    return [f"{measure}{end}" for end in ("", "_low", "_high")]


def checked(curves: pd.DataFrame, measures: Sequence[str], what: str) -> pd.DataFrame:
    """The rows that a logarithmic axis can show.

    Raises:
        FigureError: a column is missing or not numeric.
    """
    numbers = ["fraction", "share", *(column for measure in measures for column in ends(measure))]
    frame = style.checked(curves, ["grain", "rule", *numbers], numbers=numbers, what=what)
    return frame[(frame["fraction"] > 0) & (frame["share"] > 0)]


def by_rule(frame: pd.DataFrame, grain: str, measures: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The lines of a grain by rule, each in growing order: every rule with a measure that is not absent.

    Raises:
        FigureError: there is none.
    """
    known = frame[list(measures)].notna().any(axis=1)
    own = frame[(frame["grain"] == grain) & known]
    if not len(own):
        there = ", ".join(dict.fromkeys(frame["grain"][known])) or "none"
        raise FigureError(f"there is nothing of {grain!r} to draw: grains are {there}")
    return {rule: own[own["rule"] == rule].sort_values("fraction") for rule in dict.fromkeys(own["rule"])}


def stacked(
    lines: Mapping[str, pd.DataFrame],
    panels: Sequence[Panel],
    *,
    grain: str,
    title: str,
    caption: str,
    alt: str,
) -> go.Figure:
    """A panel a measure, all of the same scale, a line a rule, against the fraction of a grain's components that is off
    (logarithmic).

    Args:
        lines: `by_rule`.
        panels: from above.
        grain: for the axis.
        title, caption, alt: as of `style.figure`.
    """
    drawn = blank(len(panels), title=title, caption=caption, alt=alt, legend=list(lines))
    every = pd.concat(lines.values())
    across = np.log10(every["fraction"])
    hold = [0.0, *(panel.mark for panel in panels if panel.mark is not None)]
    up = style.span(*(every[column] for panel in panels for column in ends(panel.measure)), hold, hold=0)
    for row, panel in enumerate(panels):
        axes(drawn, row, x=f"fraction of all {grain} that is off", y=panel.label, across=[across.min(), across.max()], up=up)
        if panel.mark is not None:
            mark(drawn, panel.mark, row)
        own = {name: line[np.isfinite(line[panel.measure])] for name, line in lines.items()}
        for number, (name, line) in reversed([*enumerate(own.items(), 1)]):
            _rule(drawn, line, name, panel, row, number=number)
    return drawn


def blank(rows: int, **options: Any) -> go.Figure:
    """A figure with room for so many panels, one below the other."""
    height = rows * _PANEL + (rows - 1) * _GAP
    drawn = style.figure(height=height, **options)
    for row in range(rows):
        top = 1 - row * (_PANEL + _GAP) / height
        drawn.update_layout({f"yaxis{suffix(row)}": {"domain": [max(0.0, top - _PANEL / height), top]}})
    return drawn


def axes(drawn: go.Figure, row: int, *, x: str, y: str, across: Sequence[float], up: Sequence[float]) -> None:
    """`across`: from where to where, powers of 10; `up`: the whole range."""
    at, room = suffix(row), 0.06 * (across[1] - across[0]) or 0.3
    logarithmic = {"type": "log", "range": [across[0] - room, across[1] + room], "dtick": 1, "exponentformat": "power"}
    drawn.update_layout(
        {
            f"xaxis{at}": {**logarithmic, "title_text": x, "anchor": f"y{at}"},
            f"yaxis{at}": {"title_text": y, "anchor": f"x{at}", "range": list(up), "zeroline": True, "nticks": 7},
        }
    )


def line_with_band(drawn: go.Figure, points: pd.DataFrame, place: str, measure: str, *, row: int = 0, **look: Any) -> None:
    """A measure against `place` as a line, its interval as a band of the same colour; `look`: of the line, with a name."""
    look |= {"xaxis": f"x{suffix(row)}", "yaxis": f"y{suffix(row)}", "legendgroup": look["name"], "mode": "lines+markers"}
    known = _band(points[place], points[f"{measure}_low"], points[f"{measure}_high"], look["line"]["color"], look["name"])
    drawn.add_trace(known.update(xaxis=look["xaxis"], yaxis=look["yaxis"]))
    drawn.add_scatter(x=points[place], y=points[measure], hovertemplate="%{hovertext}<extra></extra>", **look)


def _band(x: pd.Series, low: pd.Series, high: pd.Series, colour: str, group: str) -> go.Scatter:
    """The interval of each point, filled; points without one are left out."""
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    return go.Scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=colour, opacity=0.15, line={"width": 0},
        mode="lines", hoverinfo="skip", showlegend=False, legendgroup=group,
    )  # fmt: skip


def mark(drawn: go.Figure, value: float, row: int) -> None:
    """A dashed line over the whole width: chance, a limit, the half."""
    drawn.add_shape(
        type="line", y0=value, y1=value, x0=0, x1=1, xref=f"x{suffix(row)} domain", yref=f"y{suffix(row)}",
        line={"color": style.GREY, "width": 1, "dash": "dash"},
    )  # fmt: skip


def hover(point: Mapping[Any, Any], name: str, measure: str, place: str) -> str:
    """What pointing at a point tells."""
    interval = style.interval(point[f"{measure}_low"], point[f"{measure}_high"])
    return f"{style.text(name)}, {place} {point[place]:.2e}<br>{style.number(point[measure], digits=3)}, {interval}"


def spoken(lines: Mapping[str, pd.DataFrame], names: Mapping[str, str]) -> str:
    """Each rule at its largest size, measures by `names`."""
    parts = []
    for name, line in lines.items():
        last = line.iloc[-1]
        told = ", ".join(f"{short} {last[measure]:+.3f}" for measure, short in names.items() if np.isfinite(last[measure]))
        parts.append(f"{name}, at {last['fraction']:.2e}: {told or 'not measured'}")
    return "; ".join(parts)


def suffix(row: int) -> str:
    """Of the axes of a panel."""
    return "" if row == 0 else str(row + 1)


def _rule(drawn: go.Figure, line: pd.DataFrame, name: str, panel: Panel, row: int, *, number: int) -> None:
    circuit = name == ONE_SHOT
    colour = panel.colour if circuit else style.GREY
    low, high = line[f"{panel.measure}_low"], line[f"{panel.measure}_high"]
    where = {"xaxis": f"x{suffix(row)}", "yaxis": f"y{suffix(row)}"}
    if circuit:
        drawn.add_trace(_band(line["fraction"], low, high, colour, name).update(where))
    else:
        upright = style.segments(low, high, line["fraction"])
        bars = style.interval_lines(upright, colour=colour, group=name, vertical=True, width=1)
        drawn.add_trace(bars.update(opacity=0.4, **where))
    symbol = "circle" if circuit else _SYMBOLS[number % len(_SYMBOLS)]
    drawn.add_scatter(
        x=line["fraction"], y=line[panel.measure], mode="lines+markers", name=style.text(name), legendgroup=name,
        legendrank=number, showlegend=row == 0,
        line={"color": colour, "width": 2 if circuit else 1, "dash": "solid" if circuit else "dot"},
        marker={"color": colour, "symbol": symbol, "size": 7, "line": {"color": "white", "width": 1}},
        hovertext=[hover(point, name, panel.measure, "fraction") for point in line.to_dict("records")],
        hovertemplate="%{hovertext}<extra></extra>", **where,
    )  # fmt: skip
