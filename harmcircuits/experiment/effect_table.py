"""Effect sizes as leaves of `report.json` and as one tidy table of them, and the main job's figures of it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .. import figures
from ..ablation.ablate import BASELINE
from ..figures.style import ROLE_NAMES
from ..statistics import Estimate
from ..statistics.estimate import Json
from .effects import Effects

OUTCOMES = ("complied", "refused", "degenerate")
RATES = (*OUTCOMES, *(f"{outcome}_sampled" for outcome in OUTCOMES), "complied_judged", "refused_judged", "refusal")
MEANS = ("recognition", "bias", "refusal_mass", "one_sided")
AUROCS = ("recognition", "one_sided", "in_place", "many_shot", "probe", "probe_last")
ITEMS = ("explanation", "fact", "passage")
"""Measures of items that are no test prompts."""
CHANGES = {
    "loss_increase": "ΔL",
    "refused_change": "turns away",
    "recognition_auroc_change": "AUROC",
    "refusal_change": "refuses",
    "explanation_change": "explains",
    "fact_change": "facts",
    "passage_change": "prose ΔL",
}
"""Effects of `effect_sizes`, in order, and what its columns are called."""
SUFFIXES = {"harmful": ", harmful", "near": ", matched", "far": ", unrelated", "all": ""}


def effect_leaves(
    effects: Effects, name: str, estimates: Mapping[tuple[str, str], Mapping[str, Estimate]]
) -> dict[str, dict[str, Json]]:
    """Return the effects of one condition by role; `estimates` of (circuit, contrast) are effects "NAME (CONTRAST)"."""
    leaves: dict[str, dict[str, Json]] = defaultdict(dict)
    for effect, role, estimate in _effects_of(effects, name):
        leaves[effect][role] = estimate.to_json()
    for (circuit, contrast), named in estimates.items():
        if circuit == name:
            leaves |= {f"{effect} ({contrast})": {"all": estimate.to_json()} for effect, estimate in named.items()}
    return dict(leaves)


def effects_frame(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row a condition, effect and role of a report: component, control, value, low, high, n, reason."""
    return pd.DataFrame(
        {"condition": condition["name"]}
        | {key: condition["labels"].get(key, "") for key in ("component", "control")}
        | {"effect": effect, "role": role, **columns_of(Estimate(**leaf))}
        for condition in report["conditions"]
        for effect, leaves in condition["effects"].items()
        for role, leaf in leaves.items()
    )


def _effects_of(effects: Effects, name: str) -> Iterator[tuple[str, str, Estimate]]:
    """Name, role and estimate: by role, of harmful against benign requests, and of items that are no requests."""
    has, ablated = effects.outcomes.has, name != BASELINE
    for role in effects.roles:
        if ablated and has(name, "loss"):
            yield "loss_increase", role, effects.mean(effects.change(name, "loss", role), role)
        for measure in (reading for reading in RATES if has(name, reading)):
            yield measure, role, effects.rate(name, measure, role)
            if ablated and has(BASELINE, measure):
                yield f"{measure}_change", role, effects.mean(effects.change(name, measure, role), role)
        for measure in (reading for reading in MEANS if has(name, reading)):
            yield f"{measure}_mean", role, effects.mean(effects.values(name, measure, role), role)
    for role in effects.roles[1:]:
        for measure in (reading for reading in AUROCS if has(name, reading)):
            yield f"{measure}_auroc", role, effects.auroc(name, measure, role)
            if ablated:
                yield f"{measure}_auroc_change", role, effects.auroc_change(name, measure, role)
        if has(name, "recognition"):
            yield "d_prime", role, effects.d_prime(name, "recognition", role)
            if ablated:
                yield "d_prime_change", role, effects.d_prime_change(name, "recognition", role)
        if ablated and has(name, "refused"):
            harmful, benign = (effects.change(name, "refused", kind) for kind in ("harmful", role))
            yield "refused_change_beyond", role, effects.difference(harmful, "harmful", benign, role)
            yield "refused_specific_share", role, effects.specific_share(name, role, "refused")
        if ablated and has(name, "loss"):
            yield "specific_share", role, effects.specific_share(name, role)
    for measure in (reading for reading in ITEMS if has(name, reading)):
        yield measure, "all", effects.items(effects.outcomes.values(name, measure))
        if ablated:
            yield f"{measure}_change", "all", effects.items(effects.outcomes.change(name, measure))


def columns_of(estimate: Estimate) -> dict[str, Any]:
    """Return the columns value, low, high, n and reason of one estimate."""
    return {key: getattr(estimate, key) for key in ("value", "low", "high", "n")} | {"reason": estimate.reason or ""}


def estimate_of(row: Mapping[Any, Any]) -> Estimate:
    """Return the estimate again of a row that `columns_of` wrote."""
    if pd.isna(row["value"]):
        return Estimate.missing(str(row["reason"]))
    low, high = (None, None) if pd.isna(row["low"]) else (float(row["low"]), float(row["high"]))
    return Estimate(float(row["value"]), low, high, int(row["n"]))


def interval_text(estimate: Estimate, *, percent: bool = False, sign: str = "", missing: str = "—") -> str:
    """Return value and interval to two decimals (to two digits where all are below 0.005), or in whole percent.

    >>> interval_text(Estimate(0.5, -0.001, 0.75, 9)), interval_text(Estimate(2e-4, n=9))
    ('0.50 [0.00, 0.75]', '0.0002')
    """
    numbers = [number for number in (estimate.value, estimate.low, estimate.high) if number is not None]
    if not numbers:
        return missing
    if percent:
        value, *ends = (f"{round(100 * number)}" for number in numbers)
    elif not sign and 0 < max(map(abs, numbers)) < 0.005:
        value, *ends = (f"{number:.2g}" for number in numbers)
    else:
        value, *ends = (f"{round(number, 2) + 0.0:{sign}.2f}" for number in numbers)  # + 0.0: no minus zero
    return value + (" %" if percent else "") + (f" [{', '.join(ends)}]" if ends else "")


def sentences(
    circuit: str, contrast: str, estimates: Mapping[str, Estimate], effects: Effects, *, ablates: bool = True
) -> list[str]:
    """Return three plain sentences about one circuit and contrast, and one where its text became degenerate.

    `ablates`: whether components are taken away; not so by hooks and by another checkpoint.
    """
    text = lambda name, **options: interval_text(estimates[name], missing="an unknown amount", **options)
    where = f"{'without' if ablates else 'under'} {circuit}"
    before, after = ("Unablated, it", "Ablated") if ablates else ("The baseline", f"Under {circuit}")
    lines = [
        f"{where[0].upper()}{where[1:]}, the loss of harmful responses rises by {text('loss_increase')} nats per token, that "
        f"of {contrast} benign ones by {text('loss_increase_beyond_benign')} less: "
        f"{text('specific_share', percent=True)} of the effect is harm's own.",
        f"{before} tells harmful from {contrast} benign requests with AUROC {text('baseline_recognition')}.",
        f"{after}, {text('retained_recognition', percent=True)} of that signal is left "
        f"(AUROC {text('recognition_change', sign='+')}).",
    ]
    ablated, baseline = (effects.rate(condition, "degenerate", "harmful") for condition in (circuit, BASELINE))
    if ablated.low is not None and baseline.high is not None and ablated.low > baseline.high:
        lines.append(
            f"Text falls apart: {where}, {interval_text(ablated, percent=True)} of harmful responses are degenerate, "
            f"{interval_text(baseline, percent=True)} unablated."
        )
    return lines


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


def figures_of(effects: pd.DataFrame, sweep: pd.DataFrame) -> dict[str, go.Figure]:
    """Draw every figure but the plane, by name; that of the sweep where there was one."""
    drawn = {"effects": effect_sizes(effects), "polarity": polarity(effects)}
    return drawn if sweep.empty else drawn | {"sweep": size_sweep(sweep)}


def effect_sizes(effects: pd.DataFrame) -> go.Figure:
    """Draw the paper's table: rows are what was ablated, columns what is measured; change from the baseline."""
    random = effects["control"].isin(["random", "matched random", "label swap"])
    rows = effects[effects["effect"].isin(CHANGES) & effects["role"].isin(SUFFIXES) & effects["value"].notna() & ~random]
    names = {(effect, role): column + word for effect, column in CHANGES.items() for role, word in SUFFIXES.items()}
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
        caption="Development responses. Larger marks: the chosen sizes. No interval: these choose, and are no result.",
        x_title="components ablated",
        y_title="ΔL (nats per token)",
        log_x=True,
    )
