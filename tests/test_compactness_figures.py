"""Figures of a sweep: what is drawn where, and what cannot be drawn."""

import pandas as pd
import pytest
from drawn import floats, lines, one, traces

from harmcircuits.figures import FigureError
from harmcircuits.figures.compactness import compactness_retained, compactness_rises, compactness_utility

MEASURES = ("harmful_nll_rise", "near_nll_rise", "retained_harmful", "retained_twin", "plain_share")


def frame() -> pd.DataFrame:
    rows = []
    for grain in ("heads", "neurons"):
        for rule in ("one-shot", "random"):
            for at, fraction in enumerate((0.1, 0.01)):  # out of order
                row = {"grain": grain, "rule": rule, "fraction": fraction, "share": fraction / 8}
                rows.append(row | measured(1.0 - at / 2))
    return pd.DataFrame(rows)


def measured(value: float) -> dict[str, float]:
    return {f"{name}{end}": value + more for name in MEASURES for end, more in (("", 0), ("_low", -0.25), ("_high", 0.25))}


def test_rises_are_drawn_over_the_fraction_controls_grey() -> None:
    figure = compactness_rises(frame(), grain="heads")
    above, below = traces(figure, "one-shot", "markers")
    assert floats(above.x) == [0.01, 0.1] and floats(above.y) == [0.5, 1.0]
    assert above.line.color != below.line.color and (above.yaxis, below.yaxis) == ("y", "y2")
    assert {trace.line.color for trace in traces(figure, "random", "markers")} == {"#767676"}
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 2 and all(0.25 <= value <= 1.25 for band in bands for value in band.y)
    assert (
        figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
        and figure.layout.yaxis.range == figure.layout.yaxis2.range
    )
    assert "one-shot, at 1.00e-01: harmful +1.000" in figure.layout.meta["alt"] and figure.layout.meta["caption"]


def test_what_is_retained_is_drawn_over_the_weights_touched() -> None:
    figure = compactness_retained(frame())
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(names) == [
        f"{grain}, {role}" for grain in ("heads", "neurons") for role in ("harmful requests", "near twins")
    ]
    assert floats(traces(figure, "heads, near twins", "markers")[0].x) == [0.01 / 8, 0.1 / 8]
    assert "Nothing was measured" in compactness_retained(frame()[:0]).layout.meta["alt"]


def test_the_cost_is_drawn_with_its_limit() -> None:
    figure = compactness_utility(frame(), grain="heads")
    circuit, control = one(traces(figure, "one-shot", "markers")), one(traces(figure, "random", "markers"))
    assert floats(circuit.y) == [0.5, 1.0] and control.line.color == "#767676"
    assert lines(figure, "random") == [([0.01, 0.01], [0.25, 0.75]), ([0.1, 0.1], [0.75, 1.25])]
    assert [shape.y0 for shape in figure.layout.shapes if shape.line.dash == "dash"] == [0.05]


def test_figures_name_what_is_missing_or_unknown() -> None:
    with pytest.raises(FigureError, match=r"missing: \['share'\]"):
        compactness_retained(frame().drop(columns="share"))
    with pytest.raises(FigureError, match="nothing of 'weights' to draw: grains are heads, neurons"):
        compactness_rises(frame(), grain="weights")
    with pytest.raises(FigureError, match="nothing of 'heads' to draw: grains are none"):
        compactness_utility(frame().assign(plain_share=float("nan")), grain="heads")
