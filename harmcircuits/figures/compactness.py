"""How much has to be off until harmful writing falls: rises against the fraction off, what is left against weights touched."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .compactness_lines import ONE_SHOT, Panel, axes, by_rule, checked, ends, hover, line_with_band, mark, spoken, stacked

_MEASURES = ["harmful_nll_rise", "near_nll_rise", "retained_harmful", "retained_twin"]
_PANELS = [
    Panel("harmful_nll_rise", "rise of L on harmful requests<br>(nats per token)", style.ROLES["harmful"].colour),
    Panel("near_nll_rise", "rise of L on near twins<br>(nats per token)", style.ROLES["near"].colour),
]
_COST = Panel("plain_share", "rise of L on plain passages<br>(share of the intact L)", style.ORANGE, mark=0.05)
_GRAINS = {"heads": ("solid", "circle"), "neurons": ("dash", "square"), "weights": ("dot", "diamond")}


def compactness_rises(curves: pd.DataFrame, *, grain: str, title: str = "") -> go.Figure:
    """Rise of L against the fraction of a grain's components that is off (logarithmic), a line a rule; near twins below.

    In nats per token; positive: the ablation hurts. Circuits have bands, controls are grey with upright intervals.
    Both panels have the same scale.

    Args:
        curves: one row a grain, rule and size: grain, rule ("one-shot" is the circuit, others are controls), fraction and share
            (above 0), harmful_nll_rise, near_nll_rise, retained_harmful and retained_twin with _low and _high.
        grain: which rows.
        title: the question above the figure; "" for the usual one.

    Raises:
        FigureError: a column is missing or not numeric; or there is no row of that grain.
    """
    lines = by_rule(checked(curves, _MEASURES, "compactness_rises"), grain, ["harmful_nll_rise"])
    names = {"harmful_nll_rise": "harmful", "near_nll_rise": "near"}
    return stacked(
        lines,
        _PANELS,
        grain=grain,
        title=title or f"How many {grain} have to be off until harmful writing falls?",
        caption=(
            f"Each line is one rule of choosing {grain}, a point one size. Above: the rise of L on harmful requests; below: on "
            "near twins, at the same scale. Coloured: circuits, with 95 % intervals as bands; grey: controls of the same size, "
            "with upright intervals. Compact and selective writing rises early above, and stays flat below."
        ),
        alt=f"Rises of L in nats per token at each rule's largest fraction. {spoken(lines, names)}.",
    )


def compactness_utility(curves: pd.DataFrame, *, grain: str, title: str = "") -> go.Figure:
    """The cost: the rise of L on plain passages as a share of the intact model's L there, against the fraction of a grain's
    components that is off (logarithmic). Positive: the ablation hurts; the dashed line is the largest admissible cost.

    Args:
        curves: as of `compactness_rises`, with plain_share.
        grain: as there.
        title: as there.

    Raises:
        FigureError: see `compactness_rises`.
    """
    lines = by_rule(checked(curves, ["plain_share"], "compactness_utility"), grain, ["plain_share"])
    return stacked(
        lines,
        [_COST],
        grain=grain,
        title=title or f"What does plain text lose when {grain} are off?",
        caption=(
            "The rise of L on plain benign passages, as a share of the intact model's L; the dashed line is the largest cost "
            "at which a size is admissible. Coloured: circuits, with 95 % intervals over passages as bands; grey: controls of "
            "the same size, with upright intervals."
        ),
        alt=f"At each rule's largest fraction of {grain}. {spoken(lines, {'plain_share': 'plain text'})}.",
    )


def compactness_retained(
    curves: pd.DataFrame, *, title: str = "How much of the model has to be off until half of harmful writing is gone?"
) -> go.Figure:
    """What is left of generation against the share of all eligible weights that is touched (logarithmic): the one-shot
    circuits of all grains on one axis, harmful requests and near twins, with 95 % bands.

    1 is the intact model, 0 text that answers its own request no more than another.

    Args:
        curves: as of `compactness_rises`.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or not numeric, or a grain is unknown.
    """
    frame = checked(curves, _MEASURES, "compactness_retained")
    style.refuse_unknown(frame["grain"], _GRAINS, what="grain")
    frame = frame[frame["rule"] == ONE_SHOT]
    lines: dict[tuple[str, str], pd.DataFrame] = {}
    for grain in dict.fromkeys(frame["grain"]):
        for role, measure in (("harmful", "retained_harmful"), ("near", "retained_twin")):
            own = frame[(frame["grain"] == grain) & np.isfinite(frame[measure])].sort_values("share")
            lines |= {(grain, role): own} if len(own) else {}
    names = {key: f"{key[0]}, {style.ROLES[key[1]].name}" for key in lines}
    drawn = style.figure(
        title=title,
        height=400,
        caption=(
            "What is left of request-dependent writing, as a share of the intact model's, against the share of all eligible "
            "weights that is touched. Vermillion: harmful requests; blue: near twins; bands: 95 % intervals. The grey line is "
            "the half. A head touches far more weights than a neuron."
        ),
        alt=_spoken_retained(lines),
        legend=list(names.values()),
    )
    for key in reversed(lines):
        _grain(drawn, lines[key], *key, name=names[key])
    mark(drawn, 0.5, 0)
    across = np.log10(frame["share"])
    values = [line[column] for (_, role), line in lines.items() for column in ends(_measure(role))]
    label, span = "share of all eligible weights touched", [across.min(), across.max()] if len(frame) else [-5.0, 0.0]
    axes(drawn, 0, x=label, y="generation retained", across=span, up=style.span([1.0], *values, hold=0))
    return drawn


def _measure(role: str) -> str:
    return "retained_harmful" if role == "harmful" else "retained_twin"


def _grain(drawn: go.Figure, line: pd.DataFrame, grain: str, role: str, *, name: str) -> None:
    measure, colour = _measure(role), style.ROLES[role].colour
    dash, symbol = _GRAINS[grain]
    line_with_band(
        drawn, line, "share", measure, name=style.text(name), showlegend=True,
        legendrank=2 * list(_GRAINS).index(grain) + (role != "harmful") + 1,
        line={"color": colour, "width": 2, "dash": dash}, marker={"color": colour, "symbol": symbol, "size": 8},
        hovertext=[hover(point, name, measure, "share") for point in line.to_dict("records")],
    )  # fmt: skip


def _spoken_retained(lines: Mapping[tuple[str, str], pd.DataFrame]) -> str:
    parts = []
    for (grain, role), line in lines.items():
        points = ", ".join(f"{point['share']:.1e}: {point[_measure(role)]:.2f}" for point in line.to_dict("records"))
        parts.append(f"{grain}, {style.ROLES[role].name}: {points}")
    return f"Generation retained by share of weights touched. {'; '.join(parts) or 'Nothing was measured'}."
