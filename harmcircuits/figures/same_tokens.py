"""The same tokens, two readouts: what became of the recognition of responses that were written less."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_KEPT = ["grain", "kind", "upper_rise", "upper_change", "upper_change_low", "upper_change_high"]
_POINTS = ["aim", "role", "triple", "rise", "change"]
_MEANS = ["aim", "role", *(f"{name}{end}" for name in ("rise", "change") for end in ("", "_low", "_high"))]
_SHOWN = ("harmful", "near")
_OFFSET, _FIRST, _ROW = 0.15, -0.18, 112  # of a row; px
_PANEL, _GAP, _NAME = 260, 92, 20  # px
_X = "rise of L on the response (nats per token)"
_FOREST = (
    "Change of the AUROC of harmful responses against near twins', ablated minus intact, on the half of the triples whose "
    "harmful response became least likely under that ablation, with 95 % intervals. Between the dashed lines recognition "
    "counts as unchanged. The circuit (vermillion) takes writing away; the one aimed at recognition must lie far to the left, "
    "or the reading could not have shown a fall."
)
_SCATTER = (
    "Each point is one response of the test triples. To the right: how much less likely its tokens became. Upwards: how much "
    "more harmful the same tokens are read to be, downwards how much less. Large marks: means, with lines for their 95 % "
    "intervals. Were one mechanism behind writing and recognition, harmful points further to the right would lie lower. All "
    "panels have one scale."
)


def recognition_kept(
    frame: pd.DataFrame, *, margin: float, title: str = "Is the text that a circuit hurts most still recognised?"
) -> go.Figure:
    """Change of AUROC on the responses that each condition hurts most, with its interval; a row a grain, a mark a condition.

    Args:
        frame: one row a grain and condition, columns grain, kind (of `style.KINDS`), upper_rise (mean harmful rise of these
            responses, nats per token), upper_change, upper_change_low, upper_change_high (AUROC ablated − intact; negative: it
            fell). Rows without a value are counted under the title.
        margin: of equivalence, drawn as two dashed lines around 0.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, an unknown kind.

    >>> frame = pd.DataFrame([("heads", "circuit", 0.5, -0.25, -0.5, 0.0)], columns=_KEPT)
    >>> [float(value) for trace in recognition_kept(frame, margin=0.05).data if trace.name == "circuit" for value in trace.x]
    [-0.25]
    """
    frame = style.checked(frame, _KEPT, numbers=_KEPT[2:], what="recognition_kept")
    style.refuse_unknown(frame["kind"], style.KINDS, what="recognition_kept: kind")
    rows = {grain: row for row, grain in enumerate(dict.fromkeys(frame["grain"]))}
    shown = frame[np.isfinite(frame["upper_change"])]
    kinds = [kind for kind in style.KINDS if kind in set(shown["kind"])]
    lost = len(frame) - len(shown)
    drawn = style.figure(
        title=title,
        height=max(_ROW * len(rows), 130),
        caption=_FOREST,
        alt=f"Change of AUROC by grain. {' '.join(_spoken(row) for row in shown.to_dict('records'))}".strip(),
        note=f"not shown: {lost} conditions without a value" if lost else "",
        legend=[style.KINDS[kind].name for kind in kinds],
    )
    drawn.add_vline(x=0, line={"color": style.GREY, "width": 1})
    for side in (-margin, margin):
        drawn.add_vline(x=side, line={"color": style.INK, "width": 1, "dash": "dash"})
    for at, kind in enumerate(kinds):
        part = shown[shown["kind"] == kind]
        _add_kind(drawn, part, style.KINDS[kind], y=[rows[grain] + _FIRST + at * _OFFSET for grain in part["grain"]])
    style.row_labels(drawn, [(str(grain), "") for grain in rows])
    edges = [shown[f"upper_change{end}"] for end in ("", "_low", "_high")]
    drawn.update_xaxes(title_text="change of AUROC, ablated − intact", range=style.span(*edges, [margin], [-margin], hold=0))
    return drawn


def _add_kind(drawn: go.Figure, part: pd.DataFrame, look: style.Look, *, y: Sequence[float]) -> None:
    intervals = style.segments(part["upper_change_low"], part["upper_change_high"], y)
    drawn.add_trace(style.interval_lines(intervals, colour=look.colour, group=look.name))
    drawn.add_scatter(
        x=part["upper_change"], y=list(y), mode="markers", name=look.name, legendgroup=look.name,
        marker={"color": look.colour, "symbol": look.symbol, "size": 10},
        hovertext=[style.text(_spoken(row)) for row in part.to_dict("records")], hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _spoken(row: Mapping[Any, Any]) -> str:
    ends = style.interval(row["upper_change_low"], row["upper_change_high"])
    rise = f"harmful rise {style.number(row['upper_rise'], digits=3)} nats/token"
    kind = style.KINDS[row["kind"]].name
    return f"{row['grain']}, {kind}: {style.number(row['upper_change'], digits=3)} AUROC, {ends}, {rise}."


def same_tokens(
    points: pd.DataFrame,
    means: pd.DataFrame,
    *,
    unit: str = "score",
    notes: Mapping[str, str] | None = None,
    title: str = "What is written less: is it recognised less?",
) -> go.Figure:
    """Change of recognition against the rise of L of every response, harmful and near; a panel a condition, all on one scale.

    Args:
        points: columns aim (the condition), role ("harmful", "near"), triple, rise (of L, nats per token; positive: less
            likely), change (of the score of recognition, ablated − intact; negative: read as less harmful).
        means: one row an aim and role: rise and change, each also with _low and _high, the ends of its 95 % interval.
        unit: of the score.
        notes: a few words for each panel.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, an unknown role.

    >>> points = pd.DataFrame([("cut", "harmful", 0, 0.5, -0.25)], columns=_POINTS)
    >>> means = pd.DataFrame([("cut", "harmful", 0.5, 0.25, 0.75, -0.25, -0.5, 0.0)], columns=_MEANS)
    >>> same_tokens(points, means).data[0].x.tolist()
    [0.5]
    """
    points = style.checked(points, _POINTS, numbers=_POINTS[3:], what="same_tokens")
    means = style.checked(means, _MEANS, numbers=_MEANS[2:], what="same_tokens: means")
    for frame in (points, means):
        style.refuse_unknown(frame["role"], _SHOWN, what="same_tokens: role")
    aims = list(dict.fromkeys(points["aim"]))
    height = max(len(aims), 1) * _PANEL + max(len(aims) - 1, 0) * _GAP
    spoken = (_said(row) for row in means.to_dict("records"))
    drawn = style.figure(
        title=title,
        height=height,
        caption=_SCATTER,
        alt=f"Rise of L and change of recognition. {' '.join(spoken)}".strip(),
        legend=[style.ROLES[role].name for role in _SHOWN],
    )
    drawn.layout.margin.t += _NAME  # the first panel's name stands under the title
    drawn.layout.height += _NAME
    across = style.span(points["rise"], means["rise_low"], means["rise_high"], hold=0)
    up = style.span(points["change"], means["change_low"], means["change_high"], hold=0)
    for row, aim in enumerate(aims):
        at = "" if row == 0 else str(row + 1)
        axes = {"xaxis": f"x{at}", "yaxis": f"y{at}"}
        for role in _SHOWN:
            of = lambda frame: frame[(frame["aim"] == aim) & (frame["role"] == role)]  # noqa: B023 — called at once
            _add_role(drawn, of(points), of(means), style.ROLES[role], axes, legend=row == 0)
        top = 1 - row * (_PANEL + _GAP) / height
        common = {"zeroline": True, "nticks": 6}
        drawn.update_layout(
            {
                f"xaxis{at}": {**common, "title_text": _X, "anchor": f"y{at}", "range": across},
                f"yaxis{at}": {
                    **common, "title_text": f"change of recognition<br>({style.text(unit)})", "anchor": f"x{at}", "range": up,
                    "domain": [max(top - _PANEL / height, 0.0), top],
                },
            }
        )  # fmt: skip
        label = f"<b>{style.text(aim)}</b> {style.text((notes or {}).get(str(aim), ''))}"
        drawn.add_annotation(
            text=label, x=0, xref="x domain" if row == 0 else f"x{at} domain", xanchor="left", y=top, yref="paper",
            yanchor="bottom", showarrow=False, borderpad=2,
        )  # fmt: skip
    return drawn


def _add_role(
    drawn: go.Figure, points: pd.DataFrame, means: pd.DataFrame, look: style.Look, axes: Mapping[str, str], *, legend: bool
) -> None:
    hover = [
        f"{look.name}, triple {row['triple']}<br>rise {style.number(row['rise'])} nats/token"
        f"<br>change {style.number(row['change'])}"
        for row in points.to_dict("records")
    ]
    drawn.add_scatter(
        x=points["rise"].to_numpy(), y=points["change"].to_numpy(), mode="markers", name=look.name, legendgroup=look.name,
        showlegend=legend, marker={"color": look.colour, "symbol": look.symbol, "size": 6, "opacity": 0.45}, text=hover,
        hovertemplate="%{text}<extra></extra>", **axes,
    )  # fmt: skip
    for along, other, vertical in (("rise", "change", False), ("change", "rise", True)):
        ends = style.segments(means[f"{along}_low"], means[f"{along}_high"], means[other])
        lines = style.interval_lines(ends, colour=style.BLACK, group=look.name, vertical=vertical, width=2.5)
        drawn.add_trace(lines.update(**axes))
    drawn.add_scatter(
        x=means["rise"].to_numpy(), y=means["change"].to_numpy(), mode="markers", legendgroup=look.name, showlegend=False,
        marker={"color": look.colour, "symbol": look.symbol, "size": 13, "line": {"color": style.BLACK, "width": 2}},
        text=[style.text(_said(row)) for row in means.to_dict("records")], hovertemplate="%{text}<extra></extra>", **axes,
    )  # fmt: skip


def _said(row: Mapping[Any, Any]) -> str:
    rise = f"mean rise {style.number(row['rise'], digits=3)} nats/token"
    change = f"mean change {style.number(row['change'], digits=3)} ({style.interval(row['change_low'], row['change_high'])})"
    return f"{row['aim']}, {row['role']}: {rise}, {change}."
