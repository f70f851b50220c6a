"""Figures of a sweep: what is drawn where, and what cannot be drawn."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from drawn import floats, lines, one, traces

from harmcircuits.claims.compactness.drawn import drawings
from harmcircuits.figures import FigureError
from harmcircuits.figures.compactness import compactness_retained, compactness_rises
from harmcircuits.figures.compactness_beside import compactness_rates, compactness_recognition, compactness_utility
from harmcircuits.figures.compactness_sweeps import compactness_greedy, compactness_protection

MEASURES = (
    "harmful_nll_rise", "near_nll_rise", "retained_harmful", "retained_twin", "auroc", "plain_share", "facts_right",
    "harmful_rate", "on_task_rate", "degenerate_rate",
)  # fmt: skip


def frame() -> pd.DataFrame:
    rows = []
    for grain in ("heads", "neurons"):
        for rule, kind in (("one-shot", "circuit"), ("greedy", "circuit"), ("random", "control"), ("p = 1 q", "protection")):
            for at, fraction in enumerate((0.1, 0.01)):  # out of order
                row = {"grain": grain, "rule": rule, "kind": kind, "fraction": fraction, "share": fraction / 8}
                rows.append(row | measured(1.0 - at / 2))
    return pd.DataFrame(rows)


def measured(value: float) -> dict[str, float]:
    return {f"{name}{end}": value + more for name in MEASURES for end, more in (("", 0), ("_low", -0.25), ("_high", 0.25))}


INTACT = pd.DataFrame([measured(0.75)])
BESIDE = {
    compactness_recognition: ("auroc",),
    compactness_utility: ("plain_share", "facts_right"),
    compactness_rates: ("harmful_rate", "on_task_rate", "degenerate_rate"),
}


def test_rises_are_drawn_over_the_fraction_controls_grey() -> None:
    figure = compactness_rises(frame(), grain="heads")
    above, below = traces(figure, "1: one-shot", "markers")
    assert floats(above.x) == [0.01, 0.1] and floats(above.y) == [0.5, 1.0]
    assert above.line.color != below.line.color and (above.yaxis, below.yaxis) == ("y", "y2")
    assert {trace.line.color for trace in traces(figure, "3: random", "markers")} == {"#767676"}
    assert not [trace for trace in figure.data if trace.name and "p = 1" in trace.name]
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 4 and all(0.25 <= value <= 1.25 for band in bands for value in band.y)
    assert (
        figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
        and figure.layout.yaxis.range == figure.layout.yaxis2.range
    )
    assert "1: one-shot, at 1.00e-01: harmful +1.000" in figure.layout.meta["alt"] and figure.layout.meta["caption"]


def test_what_is_retained_is_drawn_over_the_weights_touched() -> None:
    figure = compactness_retained(frame())
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(names) == [
        f"{grain}, {role}" for grain in ("heads", "neurons") for role in ("harmful requests", "near twins")
    ]
    assert floats(traces(figure, "heads, near twins", "markers")[0].x) == [0.01 / 8, 0.1 / 8]
    assert "Nothing was measured" in compactness_retained(frame()[:0]).layout.meta["alt"]


@pytest.mark.parametrize("draw", list(BESIDE))
def test_what_else_changes_has_a_panel_a_measure_with_the_intact_model(draw: Callable[..., go.Figure]) -> None:
    figure, panels = draw(frame(), INTACT, grain="heads"), len(BESIDE[draw])
    circuits, controls = traces(figure, "1: one-shot", "markers"), traces(figure, "3: random", "markers")
    assert len(circuits) == len(controls) == panels and not [trace for trace in figure.data if "p = 1" in (trace.name or "")]
    assert [trace.yaxis for trace in circuits] == ["y", "y2", "y3"][:panels]
    assert all(floats(trace.y) == [0.5, 1.0] for trace in circuits) and sum(trace.showlegend for trace in circuits) == 1
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 2 * panels, "of both circuits"
    assert lines(figure, "3: random") == panels * [([0.01, 0.01], [0.25, 0.75]), ([0.1, 0.1], [0.75, 1.25])]
    levels = [(shape.type, shape.y0, shape.y1) for shape in figure.layout.shapes if shape.layer == "below"]
    assert levels == panels * [("rect", 0.5, 1.0), ("line", 0.75, 0.75)]
    assert "off?" in figure.layout.title.text.replace("<br>", " ") and "sky blue" in figure.layout.meta["caption"]
    assert "1: one-shot, at 1.00e-01: " in figure.layout.meta["alt"]
    for at in range(panels):
        assert "(" in figure.layout[f"yaxis{at + 1 if at else ''}"].title.text, "the unit"


def test_panels_do_not_overlap() -> None:
    figure = compactness_rates(frame(), INTACT, grain="heads")
    domains = sorted(figure.layout[name].domain for name in ("yaxis", "yaxis2", "yaxis3"))
    assert domains[0][0] >= 0 and domains[2][1] <= 1
    assert all(above[0] - below[1] > 0.05 for below, above in pairwise(domains))


def test_what_has_no_judge_is_named_and_not_drawn() -> None:
    unjudged = frame().assign(harmful_rate=None, harmful_rate_low=None, harmful_rate_high=None)
    figure = compactness_rates(unjudged, INTACT, grain="heads")
    assert figure.layout.title.subtitle.text == "not measured: harmful, says the judge"
    assert len(traces(figure, "1: one-shot", "markers")) == 2 and "judge +" not in figure.layout.meta["alt"]


def swept() -> pd.DataFrame:
    """Single weights at two q; at the larger, three p."""
    rows = []
    for at, (q, p, kind) in enumerate([(1e-4, 2e-3, "circuit"), (1e-3, 0.1, "protection"), (1e-3, 2e-2, "circuit"),
                                       (1e-3, 1e-3, "protection")]):  # fmt: skip
        place = {"grain": "weights", "kind": kind, "rule": "one-shot" if kind == "circuit" else f"p = {p / q:g} q"}
        rows.append(place | {"at": int(q == 1e-3), "q": q, "p": p, "components": 100 - at, "fraction": q, "share": q})
    return pd.DataFrame([row | measured(0.5) for row in rows])


def test_protection_is_swept_at_one_q() -> None:
    figure = compactness_protection(pd.concat([frame(), swept()]))
    harmful = one(traces(figure, "harmful requests", "markers"))
    assert floats(harmful.x) == [1e-3, 2e-2, 0.1] and floats(harmful.y) == [0.5] * 3
    assert "98 weights are off" in harmful.hovertext[1] and figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
    assert one(traces(figure, "plain passages", "markers")).yaxis == "y2"
    assert [trace.fill for trace in figure.data].count("toself") == 3
    assert [shape.y0 for shape in figure.layout.shapes] == [0.05] and "q = 0.001" in figure.layout.meta["caption"]


def test_greedy_circuits_stand_on_the_axis_of_weights_touched() -> None:
    figure = compactness_greedy(pd.concat([frame(), swept()]))
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(names) == [f"{grain}, {rule}" for grain in ("heads", "neurons") for rule in ("greedy", "one-shot")]
    above, below = traces(figure, "neurons, greedy", "markers")
    assert floats(above.x) == floats(below.x) == [0.01 / 8, 0.1 / 8] and (above.yaxis, below.yaxis) == ("y", "y2")
    assert {above.line.dash, *(trace.line.dash for trace in traces(figure, "heads, one-shot", "markers"))} == {"dash", "solid"}
    assert [trace.fill for trace in figure.data].count("toself") == 8


def test_a_claim_draws_what_was_measured() -> None:
    both = pd.concat([frame(), swept()])
    whole = drawings(both, INTACT)
    assert list(whole)[:3] == ["retained", "greedy", "protection"] and len(whole) == 3 + 4 * 3
    few = both[both["kind"] != "protection"].assign(auroc=np.nan)
    few = few[few["rule"] != "greedy"]
    assert list(drawings(few[few["grain"] == "heads"], INTACT)) == ["retained", "rises_heads", "utility_heads", "rates_heads"]


def test_figures_name_what_is_missing_or_unknown() -> None:
    with pytest.raises(FigureError, match=r"missing: \['share'\]"):
        compactness_retained(frame().drop(columns="share"))
    with pytest.raises(FigureError, match=r"kind \['magic'\] unknown"):
        compactness_rises(frame().assign(kind="magic"), grain="heads")
    with pytest.raises(FigureError, match="nothing of 'weights' to draw: grains are heads, neurons"):
        compactness_rises(frame(), grain="weights")
    with pytest.raises(FigureError, match="nothing of 'heads' to draw: grains are none"):
        compactness_recognition(frame().assign(auroc=np.nan), INTACT, grain="heads")
    with pytest.raises(FigureError, match="compactness_utility, intact needs"):
        compactness_utility(frame(), INTACT.drop(columns="facts_right"), grain="heads")
    with pytest.raises(FigureError, match="only one p was tried"):
        compactness_protection(swept()[lambda rows: rows["kind"] == "circuit"])
    with pytest.raises(FigureError, match="nothing was chosen step by step"):
        compactness_greedy(swept())
