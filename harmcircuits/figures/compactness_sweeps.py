"""Two sweeps beside the main one: how much is protected, and choosing step by step."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .compactness_lines import axes, blank, checked, ends, hover, line_with_band, mark
from .style import FigureError

LIMIT = 0.05
_RISES = {"harmful_nll_rise": "harmful", "near_nll_rise": "near"}
_RETAINED = {"retained_harmful": "harmful", "retained_twin": "near"}
_RULES = {"one-shot": ("solid", ""), "greedy": ("dash", "-open")}
_SYMBOLS = {"heads": "circle", "neurons": "square", "weights": "diamond"}


def compactness_protection(
    curves: pd.DataFrame, *, title: str = "How much of what benign text needs has to be protected?"
) -> go.Figure:
    """At one q of single weights, the rise of L against p, the fraction of each matrix that is protected (logarithmic): on
    harmful requests and near twins (nats per token), and below on plain passages (share of the intact model's L).

    Positive: the ablation hurts. All with 95 % bands.

    Args:
        curves: rows of kind "protection", and the one-shot circuit of the same q: grain, rule, kind, fraction, share, at (place
            on the grid), q, p, components, and harmful_nll_rise, near_nll_rise and plain_share with _low and _high.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or not numeric, a kind is unknown, or no p was tried beside the grid's own.
    """
    measures = [*_RISES, "plain_share"]
    frame = checked(curves, measures, "compactness_protection")
    frame = style.checked(
        frame, ["at", "q", "p", "components"], numbers=["at", "q", "p", "components"], what="compactness_protection"
    )
    frame = frame[frame["p"] > 0]
    swept = frame[frame["kind"] == "protection"]
    if not len(swept):
        raise FigureError("there is no row of kind 'protection': only one p was tried")
    own = frame["grain"].isin(swept["grain"]) & frame["at"].isin(swept["at"]) & (frame["rule"] == "one-shot")
    line = pd.concat([frame[own], swept]).sort_values("p")
    drawn = blank(
        2,
        title=title,
        caption=(
            f"Single weights at q = {line['q'].iloc[0]:.2g} of each matrix, less the top p that benign text needs most: the "
            "more is protected, the fewer are off. Above: rises of L on harmful requests (vermillion) and near twins (blue). "
            "Below: on plain passages, where the dashed line is the largest admissible cost. Bands: 95 % intervals."
        ),
        alt=_spoken_protection(line),
        legend=[style.ROLES[role].name for role in _RISES.values()],
    )
    for measure, role in reversed(_RISES.items()):
        _protection(drawn, line, measure, style.ROLES[role].name, style.ROLES[role].colour, style.ROLES[role].symbol, row=0)
    _protection(drawn, line, "plain_share", "plain passages", style.ORANGE, "square", row=1)
    mark(drawn, LIMIT, 1)
    across, label = np.log10([line["p"].min(), line["p"].max()]).tolist(), "fraction of each matrix that is protected, p"
    up = style.span(*(line[column] for measure in _RISES for column in ends(measure)), hold=0)
    axes(drawn, 0, x=label, y="rise of L<br>(nats per token)", across=across, up=up)
    up = style.span(*(line[column] for column in ends("plain_share")), [LIMIT], hold=0)
    axes(drawn, 1, x=label, y="rise of L on plain passages<br>(share of the intact L)", across=across, up=up)
    return drawn


def compactness_greedy(
    curves: pd.DataFrame, *, title: str = "Does choosing step by step find a smaller part of the model?"
) -> go.Figure:
    """What is left of generation against the share of all eligible weights that is touched (logarithmic), circuits that are
    chosen at once (full) and step by step (dashed), of all grains on one axis; near twins below. 95 % bands.

    Args:
        curves: as of `compactness_rises`.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or not numeric, a kind or grain is unknown, or there is no greedy circuit.
    """
    frame = checked(curves, list(_RETAINED), "compactness_greedy")
    style.refuse_unknown(frame["grain"], _SYMBOLS, what="grain")
    grains = dict.fromkeys(frame["grain"][frame["rule"] == "greedy"])
    if not grains:
        raise FigureError("there is no row of the rule 'greedy': nothing was chosen step by step")
    lines = {
        f"{grain}, {rule}": frame[(frame["grain"] == grain) & (frame["rule"] == rule)].sort_values("share")
        for grain in grains
        for rule in _RULES
    }
    lines = {name: line for name, line in lines.items() if len(line)}
    drawn = blank(
        2,
        title=title,
        caption=(
            "What is left of request-dependent writing, as a share of the intact model's, against the share of all eligible "
            "weights that is touched. Full lines: chosen at once, from scores of the intact model; dashed: scored again after "
            "each step. Above: harmful requests; below: near twins. Bands: 95 % intervals; grey: the half."
        ),
        alt=_spoken_greedy(lines),
        legend=list(lines),
    )
    across = np.log10(pd.concat(lines.values())["share"])
    for row, (measure, role) in enumerate(_RETAINED.items()):
        look = style.ROLES[role]
        for rank, (name, line) in reversed([*enumerate(lines.items(), 1)]):
            _greedy(drawn, line[np.isfinite(line[measure])], measure, name, look.colour, rank=rank, row=row)
        mark(drawn, 0.5, row)
        values = [line[column] for line in lines.values() for each in _RETAINED for column in ends(each)]
        axes(
            drawn,
            row,
            x="share of all eligible weights touched",
            y=f"generation retained,<br>{look.name}",
            across=[across.min(), across.max()],
            up=style.span([1.0], *values, hold=0),
        )
    return drawn


def _protection(drawn: go.Figure, line: pd.DataFrame, measure: str, name: str, colour: str, symbol: str, *, row: int) -> None:
    own = line[np.isfinite(line[measure])]
    told = [
        f"{hover(point, name, measure, 'p')}<br>{point['components']:.0f} weights are off" for point in own.to_dict("records")
    ]
    line_with_band(
        drawn, own, "p", measure, name=name, showlegend=row == 0,
        legendrank=1 + (measure == "near_nll_rise"), row=row, line={"color": colour, "width": 2},
        marker={"color": colour, "symbol": symbol, "size": 8}, hovertext=told,
    )  # fmt: skip


def _greedy(drawn: go.Figure, line: pd.DataFrame, measure: str, name: str, colour: str, *, rank: int, row: int) -> None:
    grain, _, rule = name.partition(", ")
    dash, filled = _RULES[rule]
    line_with_band(
        drawn, line, "share", measure, row=row, name=style.text(name), showlegend=row == 0, legendrank=rank,
        line={"color": colour, "width": 2, "dash": dash},
        marker={"color": colour, "symbol": f"{_SYMBOLS[grain]}{filled}", "size": 8},
        hovertext=[hover(point, name, measure, "share") for point in line.to_dict("records")],
    )  # fmt: skip


def _spoken_protection(line: pd.DataFrame) -> str:
    parts = [
        f"p {point['p']:.1e}, {point['components']:.0f} weights: harmful {point['harmful_nll_rise']:+.3f}, near "
        f"{point['near_nll_rise']:+.3f}"
        for point in line.to_dict("records")
    ]
    return f"Rises of L in nats per token by the protected fraction p. {'; '.join(parts)}."


def _spoken_greedy(lines: Mapping[str, pd.DataFrame]) -> str:
    parts = []
    for name, line in lines.items():
        points = ", ".join(f"{point['share']:.1e}: {point['retained_harmful']:.2f}" for point in line.to_dict("records"))
        parts.append(f"{name}: {points}")
    return f"Harmful generation retained by share of weights touched. {'; '.join(parts)}."
