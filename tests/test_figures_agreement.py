"""Agreement and reliability are drawn as given: every value in its place, what is left out is said."""

import numpy as np
import pandas as pd
import pytest
from drawn import floats, lines, traces
from fake_report import fake_curve, fake_points

from harmcircuits import figures
from harmcircuits.figures import FigureError, style

# Agreement


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


def test_intervals_are_drawn_on_the_axes_that_have_them() -> None:
    ends = pd.DataFrame({"first_low": 0.0, "first_high": 1.0, "second_low": [0.125, None, None, None], "second_high": 0.5})
    figure = figures.agreement_scatter(FEW[:2].join(ends[:2]))
    assert lines(figure, "intervals") == [([0.125, 0.5], [0.5, 0.5]), ([0.25, 0.25], [0, 1]), ([0.125, 0.125], [0, 1])]
    hover = traces(figure, "same sign")[0].text[0]
    assert hover.endswith("<br>first: 95 % interval 0.0000 to 1.0000<br>second: 95 % interval 0.1250 to 0.5000")
    assert "95 % intervals" in figure.layout.meta["caption"]
    assert "none was given" in figures.agreement_scatter(FEW).layout.meta["caption"]


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


# Reliability


def curve(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["kind", "examples", "value", "low", "high"])


CURVE = curve(("heads", 1, 0.25, 0.125, 0.5), ("heads", 4, 0.5, 0.375, 0.625), ("neurons", 4, 0.75, 0.7, 0.8))


def test_reliability_is_drawn_as_given() -> None:
    figure = figures.reliability_curve(CURVE, measure="Pearson's correlation", target=0.8)
    (heads,), (neurons,) = (traces(figure, name) for name in ("heads", "neurons"))
    assert (floats(heads.x), floats(heads.y)) == ([1, 4], [0.25, 0.5]) and floats(neurons.y) == [0.75]
    assert [y for _, y in lines(figure, "heads")] == [[0.125, 0.5], [0.375, 0.625]]
    assert heads.text[1] == "heads, 4 examples: 0.500<br>middle 95 % 0.375 to 0.625"
    assert heads.marker.symbol != neurons.marker.symbol and heads.marker.color != neurons.marker.color
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 0.8
    assert figure.layout.xaxis.type == "log" and list(figure.layout.xaxis.tickvals) == [1, 2, 4]
    assert figure.layout.yaxis.title.text == "Pearson's correlation"


def test_intervals_of_two_kinds_do_not_lie_on_each_other() -> None:
    figure = figures.reliability_curve(CURVE)
    assert floats(traces(figure, "neurons")[0].x) == [pytest.approx(4 * 1.03)]


def test_what_is_extrapolated_is_dashed_and_said() -> None:
    beyond = pd.DataFrame({"kind": ["heads"] * 2, "examples": [4, 64], "value": [0.5, 0.94]})
    figure = figures.reliability_curve(CURVE, beyond)
    (line,) = traces(figure, "extrapolated", "lines")
    assert (floats(line.x), floats(line.y), line.line.dash) == ([4, 64], [0.5, 0.94], "dash")
    assert "extrapolated" in line.text[1] and "64 examples" in line.text[1]
    assert 10 ** figure.layout.xaxis.range[1] > 64 and len(figures.reliability_curve(CURVE).data) == 4


def test_ticks_stay_few_enough_for_a_phone() -> None:
    figure = figures.reliability_curve(fake_curve())
    assert len(figure.layout.xaxis.tickvals) <= 9


def test_reliability_names_what_is_missing_or_unknown() -> None:
    with pytest.raises(FigureError, match=r"reliability_curve needs the columns .*; missing: \['low'\]"):
        figures.reliability_curve(CURVE.drop(columns="low"))
    with pytest.raises(FigureError, match=r"kind \['layers'\] unknown"):
        figures.reliability_curve(curve(("layers", 1, 0.1, 0.1, 0.1)))


def test_colours_are_of_the_palette_that_survives_colour_blindness() -> None:
    colours = {trace.marker.color for trace in figures.agreement_scatter(FEW).data if trace.mode == "markers"}
    colours |= {trace.marker.color for trace in figures.reliability_curve(CURVE).data if trace.mode == "markers+lines"}
    assert colours == {style.BLACK, style.ORANGE}
