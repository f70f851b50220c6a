"""Agreement is drawn as given: every value in its place, what is left out is said."""

import numpy as np
import pandas as pd
import pytest
from drawn import floats, traces
from fake_report import fake_points

from harmcircuits import figures
from harmcircuits.figures import FigureError, style


def points(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["kind", "layer", "index", "first", "second"])


FEW = points(
    ("heads", 3, 7, 0.5, 0.25),
    ("heads", 0, 1, -0.125, 0.125),
    ("neurons", 2, 1400, 0.75, 1.0),
    ("neurons", 2, 3, float("nan"), 1.0),
)


def test_points_lie_at_their_scores_the_first_upwards() -> None:
    figure = figures.agreement_scatter(FEW, names=("first order", "exact"))
    same, neurons = traces(figure, "same sign")
    differ = traces(figure, "signs differ")[0]
    assert (floats(same.x), floats(same.y)) == ([0.25], [0.5]) and (floats(differ.x), floats(differ.y)) == ([0.125], [-0.125])
    assert floats(neurons.x) == [1.0] and neurons.xaxis == "x2" and neurons.yaxis == "y2", "what has no score is left out"
    assert figure.layout.xaxis.title.text == figure.layout.xaxis2.title.text == "exact: A (nats per token)"
    assert figure.layout.yaxis2.title.text == "first order: A (nats per token)"


def test_hovers_name_the_component_both_scores_and_the_unit() -> None:
    figure = figures.agreement_scatter(FEW, names=("first order", "exact"))
    same, neurons = traces(figure, "same sign")
    assert same.text[0] == "L3H7: first order +0.5000, exact +0.2500 nats/token"
    assert neurons.text[0] == "L2N1400: first order +0.7500, exact +1.0000 nats/token"


def test_the_line_of_equal_scores_crosses_each_panel() -> None:
    figure = figures.agreement_scatter(FEW)
    for line, axis in zip(traces(figure, "equal scores", "lines"), (figure.layout.xaxis, figure.layout.xaxis2), strict=True):
        assert list(line.x) == list(line.y) == list(axis.range)
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
    assert figure.layout.xaxis.range[0] < -0.125 and figure.layout.xaxis.range[1] > 0.5


def test_signs_are_told_apart_without_colour() -> None:
    figure = figures.agreement_scatter(FEW)
    assert traces(figure, "same sign")[0].marker.symbol != traces(figure, "signs differ")[0].marker.symbol
    assert [trace.name for trace in figure.data if trace.showlegend] == ["same sign", "signs differ", "equal scores"]


def test_panels_lie_apart_and_carry_their_notes() -> None:
    figure = figures.agreement_scatter(FEW, notes={"heads": "Spearman <0.5>"})
    above, below = figure.layout.yaxis.domain, figure.layout.yaxis2.domain
    assert above[1] == 1 and below[0] == pytest.approx(0) and above[0] > below[1]
    assert [label.text for label in figure.layout.annotations] == ["<b>heads</b> Spearman &lt;0.5&gt;", "<b>neurons</b>"]
    assert "heads: Spearman <0.5>." in figure.layout.meta["alt"]


def test_of_too_many_points_the_largest_and_a_spread_of_the_rest_are_drawn() -> None:
    figure = figures.agreement_scatter(fake_points(), top=100)
    drawn = [trace for trace in figure.data if trace.mode == "markers" and trace.xaxis == "x2"]
    sizes = sorted((max(abs(x), abs(y)) for trace in drawn for x, y in zip(trace.x, trace.y, strict=True)), reverse=True)
    neurons = fake_points()[fake_points()["kind"] == "neurons"]
    every = np.sort(neurons[["first", "second"]].abs().max(axis=1))[::-1]
    assert len(sizes) == 100 and sizes[:50] == pytest.approx(every[:50])
    assert sizes[-1] == pytest.approx(every[-1]) and np.median(sizes[50:]) == pytest.approx(np.median(every[50:]), rel=0.1)
    note = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert note == f"not shown: {108 - 100:,} heads, {len(neurons) - 100:,} neurons, of the smaller ones"
    assert figures.agreement_scatter(FEW).layout.title.subtitle.text is None


def test_agreement_names_what_is_missing_or_unknown() -> None:
    with pytest.raises(FigureError, match=r"agreement_scatter needs the columns .*; missing: \['second'\]"):
        figures.agreement_scatter(FEW.drop(columns="second"))
    with pytest.raises(FigureError, match=r"kind \['layers'\] unknown; use one of \['heads', 'neurons'\]"):
        figures.agreement_scatter(points(("layers", 0, 0, 0.1, 0.1)))
    with pytest.raises(FigureError, match="top is 0"):
        figures.agreement_scatter(FEW, top=0)


def test_colours_are_of_the_palette_that_survives_colour_blindness() -> None:
    colours = {trace.marker.color for trace in figures.agreement_scatter(FEW).data if trace.mode == "markers"}
    assert colours == {style.BLACK, style.ORANGE}
