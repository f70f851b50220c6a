"""Figures of the experiment: the dissociation plane, balanced against one-sided questions, effect sizes, and the size sweep."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from . import style
from .matrix import matrix

LOOKS = {
    "": style.Look("circuit", style.VERMILLION, "circle"),
    "aimed at benign": style.KINDS["aimed-at-twins"]._replace(name="aimed at benign"),
    "aimed at recognition": style.KINDS["aimed-at-recognition"],
    "random": style.KINDS["random"],
    "matched random": style.KINDS["matched-random"],
    "label swap": style.KINDS["label-swap"],
}
_PLANE = (
    "Right: the ablation hurts harmful responses more. Up: the model recognises harm better than without the ablation; 0 is "
    "the unablated model. A dissociated circuit lies to the right, at the height of 0. Bars are 95 % intervals."
)
_POLARITY = (
    "Change of AUROC, harmful against benign requests. Filled: the question and its reversed twin, averaged. Hollow: the "
    "one-sided question “is it harmful?”. A model that says “No” more often after the ablation moves the hollow mark alone."
)
_EFFECTS = (
    "ΔL: loss increase, nats per token. Turns away: refuses in spite of the prefill. AUROC: recognition, balanced. Refuses: "
    "without a prefill. Explains: how much its explanation depends on the request, nats per token. Columns for harmful, "
    "matched and unrelated benign requests. Point at a cell for its interval."
)
_SWEEP = (
    "Development responses. Right: more components are ablated. Rings mark the chosen sizes: the smallest with nearly the "
    "largest increase on harmful responses, among those whose benign cost is within the bound."
)
EFFECTS = {
    "loss_increase": "ΔL",
    "refused_change": "turns away",
    "recognition_auroc_change": "AUROC",
    "refusal_change": "refuses",
    "explanation_change": "explains",
    "fact_change": "facts",
    "passage_change": "prose ΔL",
}
"""Columns of `effect_sizes`."""
NOTHING = "No condition is shown."
ROLE_WORDS = {"harmful": "harmful", "near": "matched", "far": "unrelated", "all": ""}


def dissociation_plane(effects: pd.DataFrame, *, measure: str = "recognition") -> go.Figure:
    """Loss increase on harmful responses against the change of recognition, one point a condition.

    Args:
        effects: `Dissociation.effects`.
        measure: the reading of recognition.
    """
    role = _benign(effects)
    x = _wide(effects, "loss_increase", "harmful")
    y = _wide(effects, f"{measure}_auroc_change", role)
    points = x.join(y, lsuffix="_x", rsuffix="_y", how="inner").dropna(subset=["value_x", "value_y"])
    drawn = style.figure(
        title="Is harmful generation lost, and recognition kept?",
        height=380,
        caption=_PLANE,
        alt=" ".join(
            f"{name}: ΔL {row['value_x']:.2f}, change of AUROC {row['value_y']:+.2f}." for name, row in points.iterrows()
        )
        or NOTHING,
        legend=[look.name for look in LOOKS.values()],
        under=84,
    )
    for control, own in points.groupby("control_x", sort=False):
        look = LOOKS.get(str(control), LOOKS["random"])
        own = own.sort_values("value_x")
        _errors(drawn, own, look)
        labels = [style.text(str(name)) if not control else "" for name in own.index]
        right = own["value_x"] > points["value_x"].max() / 2  # labels stay inside, and neighbours on different sides
        sides = [f"{('bottom', 'top')[at % 2]} {'left' if far else 'right'}" for at, far in enumerate(right)]
        drawn.add_scatter(
            x=own["value_x"], y=own["value_y"], mode="markers+text", name=look.name, text=labels, textposition=sides,
            marker={"symbol": look.symbol, "size": 12 if not control else 8, "color": look.colour},
            hovertext=[style.text(str(name)) for name in own.index],
            hovertemplate="%{hovertext}<br>ΔL %{x:.3f}, AUROC %{y:+.3f}<extra></extra>",
        )  # fmt: skip
    drawn.add_hline(y=0, line={"color": style.GREY, "dash": "dash", "width": 1})
    drawn.add_vline(x=0, line={"color": style.GREY, "dash": "dash", "width": 1})
    drawn.update_xaxes(
        title_text="harmful ΔL (nats per token)",
        range=style.span(points["low_x"], points["high_x"], hold=0),
    )
    drawn.update_yaxes(
        title_text=f"change of AUROC ({ROLE_WORDS[role]} benign)",
        range=style.span(points["low_y"], points["high_y"], [-0.15, 0.15], hold=0),
    )
    return drawn


def polarity(effects: pd.DataFrame) -> go.Figure:
    """Change of AUROC by balanced and by one-sided questions, one row a circuit and contrast."""
    own = effects[effects["control"] == ""]
    rows: list[tuple[str, str]] = []
    for condition in dict.fromkeys(own["condition"]):
        rows += [
            (condition, role)
            for role in ("near", "far")
            if role in set(own[own["effect"] == "recognition_auroc_change"]["role"])
        ]
    rows = [key for key in rows if len(_at(own, *key, "recognition_auroc_change"))]
    drawn = style.figure(
        title="What would a one-sided question have said?",
        height=max(44 * len(rows), 120),
        caption=_POLARITY,
        alt=" ".join(
            f"{condition}, {ROLE_WORDS[role]} benign: balanced "
            f"{_at(own, condition, role, 'recognition_auroc_change')['value'].iloc[0]:+.2f}, one-sided "
            f"{_at(own, condition, role, 'one_sided_auroc_change')['value'].iloc[0]:+.2f}."
            for condition, role in rows
        )
        or NOTHING,
        legend=["balanced", "one-sided"],
    )
    for name, effect, colour, symbol, offset in (
        ("balanced", "recognition_auroc_change", style.BLUE, "circle", 0.0),
        ("one-sided", "one_sided_auroc_change", style.VERMILLION, "circle-open", 0.22),
    ):
        found = pd.concat([_at(own, *key, effect) for key in rows]) if rows else own[:0]
        at = [index + offset for index in range(len(found))]
        drawn.add_trace(style.interval_lines(style.segments(found["low"], found["high"], at), colour=colour, group=name))
        drawn.add_scatter(
            x=found["value"], y=at, mode="markers", name=name, marker={"symbol": symbol, "size": 11, "color": colour}
        )
    style.row_labels(drawn, [(condition, f"{ROLE_WORDS[role]} benign") for condition, role in rows])
    drawn.add_vline(x=0, line={"color": style.GREY, "dash": "dash", "width": 1})
    ends = own[own["effect"].isin(["recognition_auroc_change", "one_sided_auroc_change"])]
    drawn.update_xaxes(title_text="change of AUROC, ablated − baseline", range=style.span(ends["low"], ends["high"], hold=0))
    return drawn


def effect_sizes(effects: pd.DataFrame) -> go.Figure:
    """The paper's table: rows are what was ablated, columns what is measured; change from the baseline."""
    shown = effects[
        effects["effect"].isin(EFFECTS)
        & effects["value"].notna()
        & ~effects["control"].isin(["random", "matched random", "label swap"])
    ]
    cells: dict[tuple[str, str], Mapping[Any, Any]] = {}
    columns: list[str] = []
    for effect, words in EFFECTS.items():
        for role in ("harmful", "near", "far", "all"):
            part = shown[(shown["effect"] == effect) & (shown["role"] == role)]
            if part.empty:
                continue
            column = f"{words}{', ' if ROLE_WORDS[role] else ''}{ROLE_WORDS[role]}"
            columns.append(column)
            largest = part["value"].abs().max() or 1.0
            for row in part.to_dict("records"):
                cells[str(row["condition"]), column] = {**row, "share": row["value"] / largest}
    rows = list(dict.fromkeys(shown["condition"]))
    return matrix(
        cells,
        rows,
        columns,
        value="share",
        words=lambda cell, roomy: f"{cell['value']:+.2f}",
        hover=_hover,
        title="What does each ablation change?",
        axis="what is measured",
        bar="ablated − baseline, as a share of the column's largest effect",
        caption=_EFFECTS,
        alt=" ".join(
            f"{row}: "
            + ", ".join(f"{column} {cells[row, column]['value']:+.2f}" for column in columns if (row, column) in cells)
            + "."
            for row in rows
        )
        or NOTHING,
    )


def _hover(place: tuple[str, str], cell: Mapping[Any, Any]) -> str:
    if not cell:
        return ""
    return f"{style.text(place[0])}: {style.text(place[1])}<br>{cell['value']:+.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


def size_sweep(sweep: pd.DataFrame) -> go.Figure:
    """Loss increase on development responses by size, harmful and benign; the chosen sizes are ringed."""
    roles = [role for role in style.ROLES if role in sweep]
    components = list(dict.fromkeys(sweep["component"]))
    drawn = style.figure(
        title="Which size costs benign text little?",
        height=320,
        caption=_SWEEP,
        alt=" ".join(
            f"{row['label']}: "
            + ", ".join(f"{ROLE_WORDS[role]} {row[role]:+.2f}" for role in roles)
            + (" (chosen)." if row["chosen"] else ".")
            for row in sweep.to_dict("records")
        )
        or NOTHING,
        legend=[f"{component}, {ROLE_WORDS[role]}" for component in components for role in roles],
    )
    dashes = dict(zip(components, ("solid", "dash", "dot"), strict=False))
    for component in components:
        own = sweep[sweep["component"] == component]
        for role in roles:
            look = style.ROLES[role]
            ring = [13 if chosen else 7 for chosen in own["chosen"]]
            drawn.add_scatter(
                x=own["size"], y=own[role], mode="lines+markers", name=f"{component}, {ROLE_WORDS[role]}",
                line={"color": look.colour, "dash": dashes.get(component, "solid")},
                marker={"symbol": look.symbol, "size": ring, "color": look.colour},
            )  # fmt: skip
    drawn.update_xaxes(type="log", title_text="components ablated")
    drawn.update_yaxes(title_text="loss increase (nats per token)")
    return drawn


def _benign(effects: pd.DataFrame) -> str:
    return "near" if (effects["role"] == "near").any() else "far"


def _wide(effects: pd.DataFrame, effect: str, role: str) -> pd.DataFrame:
    part = effects[(effects["effect"] == effect) & (effects["role"] == role)]
    return part.set_index("condition")[["control", "value", "low", "high"]]


def _at(effects: pd.DataFrame, condition: str, role: str, effect: str) -> pd.DataFrame:
    return effects[(effects["condition"] == condition) & (effects["role"] == role) & (effects["effect"] == effect)]


def _errors(drawn: go.Figure, points: pd.DataFrame, look: style.Look) -> None:
    for along in ("x", "y"):
        across = "y" if along == "x" else "x"
        line = style.segments(points[f"low_{along}"], points[f"high_{along}"], points[f"value_{across}"])
        drawn.add_trace(style.interval_lines(line, colour=look.colour, group=look.name, vertical=along == "y", width=1))
