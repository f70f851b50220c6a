"""What else changes as more of a grain is off: recognition, plain text and facts, and what is written."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .compactness_lines import Panel, by_rule, checked, ends, spoken, stacked

LIMIT = 0.05
"""Of plain text: the largest rise of L that a size may cost, as a share of the intact model's L."""
RECOGNITION = (Panel("auroc", "recognition after the response<br>(AUROC)", style.PURPLE, hold=(0.5,), mark=0.5),)
UTILITY = (
    Panel("plain_share", "rise of L on plain passages<br>(share of the intact L)", style.ORANGE, mark=LIMIT),
    Panel("facts_right", "everyday facts right<br>(share)", style.ORANGE, hold=(1.0,)),
)
RATES = (
    Panel("harmful_rate", "harmful, says the judge<br>(share of answers)", style.VERMILLION, hold=(0.0, 1.0)),
    Panel("on_task_rate", "on the request's topic, by rules<br>(share of answers)", style.VERMILLION, hold=(0.0, 1.0)),
    Panel("degenerate_rate", "gibberish, by rules<br>(share of answers)", style.VERMILLION, hold=(0.0, 1.0)),
)
_LINES = (
    "Coloured: circuits, with 95 % intervals as bands; grey: controls of the same size, with upright intervals; sky blue: the "
    "intact model."
)


def compactness_recognition(curves: pd.DataFrame, intact: pd.DataFrame, *, grain: str, title: str = "") -> go.Figure:
    """AUROC of the primary reading of recognition, harmful requests against near twins after the response, against the fraction
    of a grain's components that is off (logarithmic), a line a rule. 1: all told apart; the dashed line, 0.5, is chance.

    Args:
        curves: one row a grain, rule and size: grain, rule, kind ("circuit", "control"; "protection" is not drawn), fraction
            and share (above 0), and auroc with _low and _high.
        intact: one row with the same measures, of the intact model.
        grain: which rows.
        title: the question above the figure; "" for the usual one.

    Raises:
        FigureError: a column is missing or not numeric, a kind is unknown, or there is no value of that grain.
    """
    return _beside(
        curves,
        intact,
        RECOGNITION,
        grain=grain,
        title=title or f"Is harm still recognised when {grain} are off?",
        caption=f"How well harmful requests are told from near twins after the response. {_LINES} The dashed line is chance.",
        what="compactness_recognition",
    )


def compactness_utility(curves: pd.DataFrame, intact: pd.DataFrame, *, grain: str, title: str = "") -> go.Figure:
    """What plain text and everyday facts lose against the fraction of a grain's components that is off (logarithmic).

    Above, the rise of L on plain passages as a share of the intact model's L there, positive: the ablation hurts; the dashed
    line is the largest admissible cost. Below, the share of facts whose right completion is the likeliest.

    Args:
        curves: as of `compactness_recognition`, with plain_share and facts_right in place of auroc.
        intact: as there.
        grain: which rows.
        title: as there.

    Raises:
        FigureError: see `compactness_recognition`.
    """
    return _beside(
        curves,
        intact,
        UTILITY,
        grain=grain,
        title=title or f"What do plain text and facts lose when {grain} are off?",
        caption=(
            "Above: the rise of L on plain benign passages, as a share of the intact model's L; the dashed line is the largest "
            f"cost at which a size is admissible. Below: everyday facts that are right. {_LINES} Intervals are over passages "
            "and over facts."
        ),
        what="compactness_utility",
    )


def compactness_rates(curves: pd.DataFrame, intact: pd.DataFrame, *, grain: str, title: str = "") -> go.Figure:
    """What is written freely to harmful requests against the fraction of a grain's components that is off (logarithmic): the
    share that a judge finds harmful (where one was asked), and those that rules find on topic and to be gibberish.

    Args:
        curves: as of `compactness_recognition`, with harmful_rate, on_task_rate and degenerate_rate in place of auroc; a
            measure without any value has no panel, and is named under the title.
        intact: as there.
        grain: which rows.
        title: as there.

    Raises:
        FigureError: see `compactness_recognition`.
    """
    return _beside(
        curves,
        intact,
        RATES,
        grain=grain,
        title=title or f"What is written to harmful requests when {grain} are off?",
        caption=(
            "Shares of the answers that were written freely to harmful requests: harmful to a validated judge, on the "
            f"request's topic, and gibberish. {_LINES} An answer that is on topic and no gibberish is not thereby harmful."
        ),
        what="compactness_rates",
    )


def _beside(
    curves: pd.DataFrame,
    intact: pd.DataFrame,
    panels: Sequence[Panel],
    *,
    grain: str,
    title: str,
    caption: str,
    what: str,
) -> go.Figure:
    measures = [panel.measure for panel in panels]
    columns = [column for measure in measures for column in ends(measure)]
    lines = by_rule(checked(curves, measures, what), grain, measures)
    shown = [panel for panel in panels if any(np.isfinite(line[panel.measure]).any() for line in lines.values())]
    names = {panel.measure: _plain(panel) for panel in panels}
    absent = [names[panel.measure] for panel in panels if panel not in shown]
    return stacked(
        lines,
        shown,
        grain=grain,
        title=title,
        caption=caption,
        alt=f"At each rule's largest fraction of {grain}. {spoken(lines, names)}.",
        note=f"not measured: {'; '.join(absent)}" if absent else "",
        intact=style.checked(intact, columns, numbers=columns, what=f"{what}, intact"),
    )


def _plain(panel: Panel) -> str:
    return panel.label.partition("<br>")[0]
