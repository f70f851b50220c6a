"""Figures of the main job: the dissociation plane, the paper's table of effects, polarity, and the size sweep."""

import pandas as pd
import plotly.graph_objects as go

from .. import figures
from ..figures.style import ROLE_NAMES

COLUMNS = {
    "loss_increase": "ΔL",
    "refused_change": "turns away",
    "recognition_auroc_change": "AUROC",
    "refusal_change": "refuses",
    "explanation_change": "explains",
    "fact_change": "facts",
    "passage_change": "prose ΔL",
}
"""Effects of `effect_sizes`, in order, and what its columns are called."""
WORDS = {"harmful": ", harmful", "near": ", matched", "far": ", unrelated", "all": ""}


def dissociation_plane(effects: pd.DataFrame, *, measure: str = "recognition") -> go.Figure:
    """Draw harmful loss increase to the right against the change of recognition upwards, one point a condition.

    Args:
        effects: `Dissociation.effects`.
        measure: the reading of recognition.
    """
    role = "near" if (effects["role"] == "near").any() else "far"
    ends, place = ["value", "low", "high"], ["condition", "control"]
    at = lambda effect, role: effects[(effects["effect"] == effect) & (effects["role"] == role)].set_index(place)[ends]
    increase = at("loss_increase", "harmful").set_axis(["x", "x_low", "x_high"], axis="columns")
    points = increase.join(at(f"{measure}_auroc_change", role), how="inner").dropna(subset=["x", "value"]).reset_index()
    is_circuit = points["control"] == ""
    return figures.scatter(
        points.assign(
            series=points["control"].mask(is_circuit, "circuit"),
            name=points["condition"],
            label=points["condition"].where(is_circuit, ""),
        ),
        title="Is harmful generation lost, and recognition kept?",
        caption="Right: the ablation hurts harmful responses more. Up: the model recognises harm better than the baseline "
        "does. A dissociated circuit lies to the right, at the height of 0. Bars: 95 % intervals.",
        x_title="harmful ΔL (nats per token)",
        y_title=f"change of AUROC ({ROLE_NAMES[role]})",
        least_span=0.15,
    )


def effect_sizes(effects: pd.DataFrame) -> go.Figure:
    """Draw the paper's table: rows are what was ablated, columns what is measured; change from the baseline."""
    random = effects["control"].isin(["random", "matched random", "label swap"])
    rows = effects[effects["effect"].isin(COLUMNS) & effects["role"].isin(WORDS) & effects["value"].notna() & ~random]
    names = {(effect, role): column + word for effect, column in COLUMNS.items() for role, word in WORDS.items()}
    frame = rows.assign(row=rows["condition"], column=[names[key] for key in zip(rows["effect"], rows["role"], strict=True)])
    largest = frame.groupby("column")["value"].transform(lambda values: values.abs().max() or 1.0)
    frame = frame.assign(colour=frame["value"] / largest, order=frame["column"].map([*names.values()].index))
    return figures.matrix(
        frame.sort_values("order", kind="stable").drop(columns="order"),
        title="What does each ablation change?",
        caption="Ablated − baseline. ΔL: loss increase, nats per token. Turns away: refuses in spite of the prefill. AUROC: "
        "balanced recognition. Refuses: without a prefill. Explains: how much its explanation depends on the request, nats "
        "per token. Columns for harmful, matched and unrelated benign requests. Point at a cell for its interval.",
        x_title="what is measured",
        bar="share of the column's largest effect",
    )


def polarity(effects: pd.DataFrame) -> go.Figure:
    """Draw the change of AUROC by balanced and by one-sided questions, one row a circuit and contrast."""
    series = {"recognition_auroc_change": "balanced", "one_sided_auroc_change": "one-sided"}
    rows = effects[(effects["control"] == "") & effects["effect"].isin(series)]
    return figures.forest(
        rows.assign(label=rows["condition"] + ", " + rows["role"].map(ROLE_NAMES), series=rows["effect"].map(series)),
        title="What would a one-sided question have said?",
        caption="Change of AUROC, harmful against benign requests. Filled: the question and its reversed twin, averaged. "
        "Hollow: the question “is it harmful?” alone. A model that says “No” more often after the ablation moves the hollow "
        "mark alone.",
        x_title="change of AUROC, ablated − baseline",
    )


def size_sweep(sweep: pd.DataFrame) -> go.Figure:
    """Draw the loss increase of development responses by size, harmful and benign; chosen sizes have larger marks."""
    long = sweep.melt(["component", "size", "chosen"], [role for role in ROLE_NAMES if role in sweep], "role")
    return figures.curves(
        long.assign(x=long["size"], series=long["role"].map(ROLE_NAMES), facet=long["component"]),
        title="Which size costs benign text little?",
        caption="Development responses. Larger marks: the chosen sizes, the smallest with nearly the largest increase on "
        "harmful responses, among those whose benign cost is within the bound. No interval: these choose, and are no result.",
        x_title="components ablated",
        y_title="ΔL (nats per token)",
        log_x=True,
    )
