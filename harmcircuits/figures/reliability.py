"""How far scores agree between disjoint subsets of examples, against the subsets' size."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import Look

_COLUMNS = ["kind", "examples", "value", "low", "high"]
_KINDS = {"heads": Look("heads", style.BLACK, "circle"), "neurons": Look("neurons", style.ORANGE, "square")}
_EXTRAPOLATED = "extrapolated"


def reliability_curve(
    curve: pd.DataFrame,
    predicted: pd.DataFrame | None = None,
    *,
    target: float = 0.9,
    measure: str = "correlation",
    title: str = "How many examples do the scores need?",
) -> go.Figure:
    """Agreement between the mean scores of two disjoint subsets, by the number of examples in each.

    Points are means over random subsets, vertical lines the middle 95 % of them. A dashed line goes on from the largest subsets
    by Spearman and Brown's formula; a grey one lies at `target`.

    Args:
        curve: columns kind ("heads" or "neurons"), examples, value, low, high.
        predicted: columns kind, examples, value: the line beyond what was measured.
        target: the reliability that is aimed at.
        measure: what is on the axis.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, an unknown kind.

    >>> frame = pd.DataFrame({"kind": ["heads"], "examples": [8], "value": [0.5], "low": [0.4], "high": [0.6]})
    >>> [trace.name for trace in reliability_curve(frame).data if trace.showlegend]
    ['heads']
    """
    frame = style.checked(curve, _COLUMNS, numbers=_COLUMNS[1:], what="reliability_curve")
    beyond = pd.DataFrame(columns=["kind", "examples", "value"]) if predicted is None else predicted
    beyond = style.checked(beyond, ["kind", "examples", "value"], numbers=["examples", "value"], what="reliability_curve")
    style.refuse_unknown([*frame["kind"], *beyond["kind"]], _KINDS, what="reliability_curve: kind")
    present = {kind: part.sort_values("examples") for kind in _KINDS if len(part := frame[frame["kind"] == kind])}
    drawn = style.figure(
        title=title,
        height=360,
        caption=(
            f"{measure} of the mean scores of two disjoint random subsets, over components. Points: mean over subsets; "
            "vertical lines: the middle 95 % of them. Dashed: extrapolated from the largest subsets by Spearman and Brown's "
            f"formula. Grey: {target:g}."
        ),
        alt=" ".join(_spoken(kind, part) for kind, part in present.items()) or "Nothing was measured.",
        legend=[*present, *([_EXTRAPOLATED] if len(beyond) else [])],
    )
    drawn.add_hline(y=target, line={"color": style.GREY, "width": 1.5})
    for at, (kind, part) in enumerate(present.items()):
        _add_kind(drawn, part, _KINDS[kind], shift=1 + 0.03 * at)
    for at, (name, part) in enumerate(beyond.groupby("kind", sort=False)):
        _add_extrapolated(drawn, part, _KINDS[str(name)], first=at == 0)
    sizes = [*frame["examples"], *beyond["examples"]]
    drawn.update_xaxes(title_text="examples in each subset", type="log", dtick=np.log10(2), tickformat="~s")
    if sizes:
        drawn.update_xaxes(range=[np.log10(min(sizes)) - 0.08, np.log10(max(sizes)) + 0.08], **_ticks(min(sizes), max(sizes)))
    drawn.update_yaxes(title_text=measure, range=_range(frame, beyond, target), zeroline=True)
    return drawn


def _add_kind(drawn: go.Figure, part: pd.DataFrame, look: Look, *, shift: float) -> None:
    at = part["examples"] * shift  # so that the intervals of two kinds do not lie on each other
    lines = style.segments(part["low"], part["high"], at)
    drawn.add_trace(style.interval_lines(lines, colour=look.colour, group=look.name, vertical=True))
    rows = zip(*(part[column] for column in _COLUMNS[1:]), strict=True)
    hover = [
        f"{look.name}, {size:,.0f} examples: {value:.3f}<br>middle 95 % {low:.3f} to {high:.3f}"
        for size, value, low, high in rows
    ]
    drawn.add_scatter(
        x=at, y=part["value"], mode="markers+lines", name=look.name, legendgroup=look.name, showlegend=True,
        line={"color": look.colour, "width": 2}, marker={"color": look.colour, "symbol": look.symbol, "size": 8},
        text=hover, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _add_extrapolated(drawn: go.Figure, part: pd.DataFrame, look: Look, *, first: bool) -> None:
    points = zip(part["examples"], part["value"], strict=True)
    drawn.add_scatter(
        x=part["examples"], y=part["value"], mode="lines", name=_EXTRAPOLATED, legendgroup=_EXTRAPOLATED, showlegend=first,
        line={"color": look.colour, "width": 1.5, "dash": "dash"},
        text=[f"{look.name}, {size:,.0f} examples: {value:.3f}, extrapolated" for size, value in points],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _ticks(smallest: float, largest: float) -> dict[str, list[float]]:
    """Powers of two, every second or third of them where a phone would not hold all."""
    powers = range(int(np.floor(np.log2(smallest))), int(np.floor(np.log2(largest))) + 1)
    return {"tickvals": [2.0**power for power in powers][:: 1 + len(powers) // 9]}


def _range(frame: pd.DataFrame, beyond: pd.DataFrame, target: float) -> list[float]:
    low, high = style.span(frame["value"], frame["low"], frame["high"], beyond["value"], [target], hold=0)
    return [low, max(high, 1.02)]


def _spoken(kind: str, part: pd.DataFrame) -> str:
    first, last = part.iloc[0], part.iloc[-1]
    return (
        f"{kind.title()}: {first['value']:.2f} between subsets of {int(first['examples'])}, "
        f"{last['value']:.2f} between subsets of {int(last['examples'])}."
    )
