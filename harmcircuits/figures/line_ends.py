"""Numbers at the ends of lines, moved up and down until none lies on another."""

from collections.abc import Mapping, Sequence
from math import log10
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

_GAP, _EDGE = 13.0, 8.0  # px: a line of text, and half of one
_NEAR = 0.08
"""Of an axis's width: ends that lie nearer to each other than this have labels in one column on a phone."""


class End(NamedTuple):
    """The last point of a line, and its colour."""

    x: float
    y: float
    colour: str


def add_numbers(drawn: go.Figure, ends: Mapping[str, End], *, at: str, height: float) -> None:
    """The number of each line ("2: random") at its end.

    Args:
        at: of the panel's axes: "" or "2", …; their ranges are set.
        height: of the panel, px.
    """
    across, up = drawn.layout[f"xaxis{at}"], drawn.layout[f"yaxis{at}"]
    places = [(log10(end.x) if across.type == "log" else end.x, end.y) for end in ends.values()]
    heights = label_heights(places, across=across.range, up=up.range, height=height)
    for (name, end), y in zip(ends.items(), heights, strict=True):
        drawn.add_scatter(
            x=[end.x], y=[y], mode="text", text=[f"\u00a0\u00a0<b>{name.partition(':')[0]}</b>"], textposition="middle right",
            textfont={"color": end.colour, "size": 12}, hoverinfo="skip", showlegend=False, legendgroup=name, cliponaxis=False,
            xaxis=f"x{at}", yaxis=f"y{at}",
        )  # fmt: skip


def label_heights(
    ends: Sequence[tuple[float, float]], *, across: Sequence[float], up: Sequence[float], height: float
) -> list[float]:
    """Where the label of each line's end lies, in units of the upright axis: beside its end, or as near to it as others allow.

    Args:
        ends: (x, y) of each line's last point; x as the axis counts it (the logarithm on a logarithmic one).
        across, up: the axes' ranges.
        height: of the panel, px.

    >>> label_heights([(1, 0.5), (1, 0.5)], across=[0, 1], up=[0, 1], height=130)
    [0.45, 0.55]
    >>> label_heights([(0, 0.5), (1, 0.5)], across=[0, 1], up=[0, 1], height=130)
    [0.5, 0.5]
    """
    if not ends:
        return []
    x, y = np.array(ends, dtype=float).T
    scale = height / (up[1] - up[0])
    order = np.argsort(x, kind="stable")
    columns = np.split(order, 1 + np.flatnonzero(np.diff(x[order]) > _NEAR * (across[1] - across[0])))
    found = y.copy()
    for column in columns:
        found[column] = up[0] + _apart((y[column] - up[0]) * scale, height) / scale
    return [round(float(one), 9) for one in found]


def _apart(places: Float[ndarray, " label"], height: float) -> Float[ndarray, " label"]:
    """Places at least a line of text apart, in the same order, with the least sum of squared moves."""
    order, steps = np.argsort(places, kind="stable"), _GAP * np.arange(len(places))
    blocks: list[tuple[float, int]] = []  # mean and size; pool adjacent violators
    for own in places[order] - steps:
        mean, size = float(own), 1
        while blocks and blocks[-1][0] >= mean:
            below, count = blocks.pop()
            mean, size = (mean * size + below * count) / (size + count), size + count
        blocks.append((mean, size))
    level = np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])
    if len(places) > 1:  # a label alone stays beside its end
        level = np.clip(level, _EDGE, max(_EDGE, height - _EDGE - steps[-1]))
    moved = np.empty(len(places))
    moved[order] = level + steps
    return moved
