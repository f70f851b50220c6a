"""What an ablation does to writing and to recognising: rises of L, and what is retained of each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_RISES = (
    "Rise of the loss L on held-out responses, ablated minus intact, with 95 % intervals: the further right, the more "
    "the ablation hurts. A circuit for harm moves harmful requests further than their near twins."
)
_RETAINED = (
    "Left: writes less of what was asked. Up: recognises harm better. Filled: harmful requests; hollow, joined by a "
    "dotted line: their near twins. Dashed lines: the intact model; dotted line: chance; bars are 95 % intervals. A "
    "dissociated circuit lies far to the left of the intact model and at its height, its hollow mark well to the right of "
    "the filled one. Where the intact line lies at chance there is no recognition to be kept or lost."
)
_TWINS = "hollow: near twins"
MOST_NAMED = 3
"""What is not shown for one reason is named up to so many, and counted beyond."""


def rises(
    frame: pd.DataFrame, *, title: str = "Does ablation hurt writing harm more than writing its harmless twins?"
) -> go.Figure:
    """Rise of L (ablated − intact, nats per token) on harmful requests, near and far twins; one row a condition.

    Positive: the ablated model finds the responses less likely. Lines are 95 % intervals. A missing value is named
    under the title.

    Args:
        frame: columns condition, kind, role ("harmful", "near", "far"), value, low, high, one line a condition and
            role; optionally reason, why a value is missing.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, a role is unknown, or a column that must be numeric is not.

    >>> frame = pd.DataFrame([("heads", "circuit", "harmful", 0.2, 0.1, 0.3)],
    ...                      columns=["condition", "kind", "role", "value", "low", "high"])
    >>> [float(value) for value in rises(frame).data[1].x]
    [0.2]
    """
    columns = ["condition", "kind", "role", "value", "low", "high"]
    frame = style.checked(frame, columns, numbers=columns[3:], what="rises")
    style.refuse_unknown(frame["role"], style.ROLES, what="role")
    rows = {condition: row for row, condition in enumerate(dict.fromkeys(frame["condition"]))}
    shown = frame[np.isfinite(frame["value"])]
    drawn = style.figure(
        title=title,
        height=max(58 * len(rows), 120),
        caption=_RISES,
        alt=f"Rise of L in nats per token. {_sentence(_rises_spoken(shown, condition) for condition in rows)}",
        note=_left_out(frame[~np.isfinite(frame["value"])], ["condition", "role"]),
        legend=[look.name for look in style.ROLES.values()],
    )
    for offset, role in zip((0.0, 0.19, 0.38), style.ROLES, strict=True):
        part = shown[shown["role"] == role]
        _add_role(drawn, part, role=role, y=[rows[condition] + offset for condition in part["condition"]])
    kinds = dict(zip(frame["condition"], frame["kind"], strict=True))
    style.row_labels(drawn, [(str(condition), _kind_note(str(condition), kinds[condition])) for condition in rows])
    drawn.update_xaxes(
        title_text="rise of L, ablated − intact (nats per token)",
        range=style.span(shown["value"], shown["low"], shown["high"], hold=0),
        zeroline=True,
    )
    return drawn


def retained(frame: pd.DataFrame, *, title: str = "Can the model still recognise harm that it no longer writes?") -> go.Figure:
    """Recognition against retained generation; a circuit that only writes harm lies left of the intact model, at its height.

    x: retained generation, I_ablated / I_intact, the request information of harmful responses (filled) and of near
    twins (hollow, joined by a dotted line); 1 is the intact model. y: AUROC of the primary reading of recognition, harmful
    requests against near twins: at the intact model's line all recognition is retained, at ½ none, and it is drawn also
    where the intact model is at chance and that ratio has no value. Both with 95 % intervals. Circuits are numbered, and
    coloured by what they aim at; controls are grey, told apart by shape.

    Args:
        frame: columns condition, kind, and retained_harmful, retained_twin, recognition, each also with _low and _high;
            optionally intact, the intact model's AUROC in every row, and reason. A row without retained_harmful
            or recognition is named under the title, with its reason.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, a kind is unknown, or a column that must be numeric is not.
    """
    measures = ("retained_harmful", "retained_twin", "recognition")
    numbers = [measure + end for measure in measures for end in ("", "_low", "_high")]
    frame = style.checked(frame, ["condition", "kind", *numbers], numbers=numbers, what="retained")
    style.refuse_unknown(frame["kind"], style.KINDS, what="kind")
    complete = np.isfinite(frame["retained_harmful"]) & np.isfinite(frame["recognition"])
    shown = frame[complete]
    groups = _groups(shown)
    drawn = style.figure(
        title=title,
        height=380,
        caption=_RETAINED,
        alt=f"Retained writing and recognition. {_sentence(map(_retained_spoken, shown.to_dict('records')))}",
        note=_left_out(frame[~complete], ["condition"]),
        legend=[*(group.name for group in groups), _TWINS],
        under=84,
    )
    _add_intact(drawn, shown)
    for draw in (_add_lines, _add_points):  # every line under every point
        for group in reversed(groups):  # controls under circuits
            draw(drawn, group)
    drawn.add_scatter(
        x=[None], y=[None], mode="markers", name=_TWINS, hoverinfo="skip", legendrank=2000,
        marker={"symbol": "circle-open", "size": 10, "color": style.INK},
    )  # fmt: skip
    return drawn


def _add_role(drawn: go.Figure, part: pd.DataFrame, *, role: str, y: list[float]) -> None:
    name, colour, symbol = style.ROLES[role]
    hover = [
        f"{style.text(row['condition'])}, {name}<br>{style.number(row['value'])} nats/token<br>"
        f"{style.interval(row['low'], row['high'])}"
        for row in part.to_dict("records")
    ]
    drawn.add_trace(style.interval_lines(style.segments(part["low"], part["high"], y), colour=colour, group=role))
    drawn.add_scatter(
        x=part["value"], y=y, mode="markers", name=name, legendgroup=role, showlegend=True,
        marker={"color": colour, "symbol": symbol, "size": 9, "line": {"color": "white", "width": 1}},
        text=hover, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Group:
    """What shares one entry of the legend: a numbered condition, or all controls of a kind (no number)."""

    name: str
    number: str
    colour: str
    symbol: str
    rows: pd.DataFrame


def _groups(shown: pd.DataFrame) -> list[_Group]:
    """Circuits one by one in the order of `style.KINDS`, then controls by kind."""
    groups: list[_Group] = []
    for kind, (kind_name, colour, symbol) in style.KINDS.items():
        rows = shown[shown["kind"] == kind]
        if colour == style.GREY and len(rows):
            groups.append(_Group(f"{kind_name} ({len(rows)})", "", colour, symbol, rows))
        elif colour != style.GREY:
            for row in range(len(rows)):
                number, condition = str(len(groups) + 1), str(rows["condition"].iloc[row])
                name = f"{number}: {condition} {_kind_note(condition, kind)}".rstrip()
                groups.append(_Group(style.text(name), number, colour, symbol, rows.iloc[row : row + 1]))
    return groups


def _add_lines(drawn: go.Figure, group: _Group) -> None:
    rows = group.rows
    x, y = rows["retained_harmful"], rows["recognition"]
    lines = partial(style.interval_lines, colour=group.colour, group=group.name)
    joined = style.segments(x, rows["retained_twin"], y)  # without a twin there is no line
    across = style.segments(rows["retained_harmful_low"], rows["retained_harmful_high"], y)
    upright = style.segments(rows["recognition_low"], rows["recognition_high"], x)
    drawn.add_traces(
        [
            lines(joined, width=1).update(line_dash="dot"),
            lines(across).update(opacity=0.6),
            lines(upright, vertical=True).update(opacity=0.6),
        ]
    )


def _add_points(drawn: go.Figure, group: _Group) -> None:
    rows = group.rows
    common = {
        "y": rows["recognition"],
        "name": group.name,
        "legendgroup": group.name,
        "legendrank": int(group.number or 1000),
        "hovertext": [_retained_hover(row) for row in rows.to_dict("records")],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    size = 19 if group.number else 12
    hollow = {"symbol": f"{group.symbol}-open", "color": group.colour, "size": 10, "line": {"width": 2}}
    filled = {"symbol": group.symbol, "color": group.colour, "size": size, "line": {"color": "white", "width": 1}}
    number_colour = style.BLACK if group.colour == style.PURPLE else "white"  # by contrast
    drawn.add_scatter(**common, x=rows["retained_twin"], mode="markers", showlegend=False, marker=hollow)
    drawn.add_scatter(
        **common, x=rows["retained_harmful"], mode="markers+text", showlegend=True, marker=filled,
        text=[f"<b>{group.number}</b>" if group.number else ""] * len(rows), textposition="middle center",
        textfont={"color": number_colour, "size": 12},
    )  # fmt: skip


def _add_intact(drawn: go.Figure, shown: pd.DataFrame) -> None:
    """Axes that hold every point and interval, dashed lines where the intact model is, a dotted one at chance."""
    horizontal = ["retained_harmful", "retained_harmful_low", "retained_harmful_high", "retained_twin"]
    x = style.span(*(shown[column] for column in horizontal), hold=1)
    known = [float(value) for value in shown.get("intact", []) if pd.notna(value)]
    intact = known[0] if known else None
    read = [shown[f"recognition{end}"] for end in ("", "_low", "_high")]
    y = style.span(*read, pd.Series([intact], dtype=float), hold=0.5)
    drawn.update_xaxes(title_text="retained generation<br>(fraction of intact request information)", range=x)
    drawn.update_yaxes(title_text="recognition after the response<br>(AUROC, harmful against near twins)", range=y)
    lines = [("intact", "dash", [1, 1], y), ("chance", "dot", x, [0.5, 0.5])]
    if intact is not None:
        lines.append(("intact", "dash", x, [intact, intact]))
    for name, dash, across, up in lines:
        drawn.add_scatter(
            x=across, y=up, mode="lines+text", line={"color": style.INK, "width": 1, "dash": dash}, hoverinfo="skip",
            showlegend=False, name=name, text=[name if across == x else "", ""], textposition="top right",
            textfont={"color": style.INK, "size": 11},
        )  # fmt: skip


def _kind_note(condition: str, kind: str) -> str:
    """The kind in brackets, unless the condition's name already says it."""
    kind_name = style.KINDS[kind].name if kind in style.KINDS else str(kind)
    plain = condition.replace("-", " ")
    return "" if kind == "circuit" or kind_name.replace("-", " ") in plain else f"({kind_name})"


def _left_out(missing: pd.DataFrame, names: list[str]) -> str:
    """ "not shown: …(reason)" for the rows of `missing`, a reason told once; or an empty string."""
    if missing.empty:
        return ""
    given = missing["reason"].tolist() if "reason" in missing else [""] * len(missing)
    reasons = pd.Series([reason if isinstance(reason, str) and reason else "no value" for reason in given], index=missing.index)
    parts = []
    for reason, rows in missing.groupby(reasons, sort=False):
        said = [", ".join(map(str, row)) for row in rows[names].itertuples(index=False)]
        parts.append(f"{'; '.join(said) if len(said) <= MOST_NAMED else f'{len(said)} others'} ({reason})")
    return f"not shown: {'; '.join(parts)}"


def _rises_spoken(shown: pd.DataFrame, condition: object) -> str:
    rows = shown[shown["condition"] == condition]
    values = [f"{role} {style.number(value, digits=3)}" for role, value in zip(rows["role"], rows["value"], strict=True)]
    return f"{condition}: {', '.join(values) or 'not measured'}"


def _retained_spoken(row: Mapping[Any, Any]) -> str:
    return f"{row['condition']}: writes {row['retained_harmful']:.2f}, AUROC {row['recognition']:.2f}"


def _retained_hover(row: Mapping[Any, Any]) -> str:
    lines = [style.text(row["condition"])]
    names = {"retained_harmful": "harmful", "retained_twin": "near twins", "recognition": "recognition, AUROC"}
    for measure, name in names.items():
        value = f"{row[measure]:.3f}" if np.isfinite(row[measure]) else "not measured"
        lines.append(f"{name}: {value}, {style.interval(row[f'{measure}_low'], row[f'{measure}_high'])}")
    return "<br>".join(lines)


def _sentence(parts: Iterable[str]) -> str:
    return f"{'; '.join(parts) or 'nothing was measured'}."
