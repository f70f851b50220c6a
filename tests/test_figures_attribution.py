"""Heads and neurons are drawn as given: values, places, and what is selected."""

import numpy as np
import pytest
from drawn import floats, lines, one, traces
from fake_report import fake_heads, fake_neurons
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harmcircuits import figures
from harmcircuits.figures import FigureError, style

# Heads


def test_heads_are_drawn_as_given_on_a_scale_centred_at_zero() -> None:
    scores = np.array([[0.25, -0.5, 0.0], [np.nan, 0.125, -0.0625]])
    heat = figures.heads_heatmap(scores).data[0]
    np.testing.assert_array_equal(heat.z, scores)
    assert (heat.zmin, heat.zmid, heat.zmax) == (-0.5, 0, 0.5)
    assert heat.colorscale[0][1] == style.BLUE and heat.colorscale[-1][1] == style.VERMILLION
    assert heat.colorbar.title.text == "attribution A (nats per token)"


def test_heads_hover_names_the_head_its_score_and_its_unit() -> None:
    scores = np.zeros((13, 4))
    scores[12, 3], scores[1, 0] = 0.0123, np.nan
    heat = figures.heads_heatmap(scores, selected=[(12, 3)]).data[0]
    assert heat.text[12][3] == "L12H3: +0.0123 nats/token, selected"
    assert heat.text[1][0] == "L1H0: not measured"


def test_selected_heads_are_marked_where_they_lie() -> None:
    figure = figures.heads_heatmap(fake_heads(), selected=[(3, 8), (0, 1), (3, 8)])
    marks = one(traces(figure, "selected (2)"))
    assert sorted(zip(marks.y, marks.x, strict=True)) == [(0, 1), (3, 8)]
    assert marks.marker.symbol == "x"


def test_no_marks_without_a_selection() -> None:
    assert [trace.type for trace in figures.heads_heatmap(fake_heads()).data] == ["heatmap"]


@pytest.mark.parametrize("scores", [np.zeros((2, 3)), np.full((2, 3), np.nan)])
def test_heads_without_any_contrast_still_draw(scores: np.ndarray) -> None:
    heat = figures.heads_heatmap(scores).data[0]
    assert heat.zmin < 0 < heat.zmax


@pytest.mark.parametrize("draw", [figures.heads_heatmap, figures.neurons_by_layer])
def test_a_selection_from_another_model_is_refused(draw) -> None:
    with pytest.raises(FigureError, match=r"\(2, 0\) lies outside the scores' shape \(2, 3\).*same model"):
        draw(np.zeros((2, 3)), selected=[(1, 2), (2, 0)])
    with pytest.raises(FigureError, match=r"\(0, -1\) lies outside"):
        draw(np.zeros((2, 3)), selected=[(0, -1)])


@pytest.mark.parametrize("draw", [figures.heads_heatmap, figures.neurons_by_layer])
def test_scores_of_another_shape_are_refused(draw) -> None:
    with pytest.raises(FigureError, match=r"shape \(3,\).*\[layer, "):
        draw(np.zeros(3))


def test_heads_whose_interval_excludes_0_are_underlined_and_every_hover_tells_it() -> None:
    scores = np.array([[0.5, -0.5, 0.25], [np.nan, 0.125, 0.0]])
    low = np.array([[0.25, -0.75, -0.25], [np.nan, np.nan, -0.5]])
    drawn = figures.heads_heatmap(scores, low=low, high=low + 0.5, selected=[(0, 1)])
    marks = one(traces(drawn, "interval excludes 0 (2)"))
    assert [(round(y), x) for y, x in zip(marks.y, marks.x, strict=True)] == [(0, 0), (0, 1)]
    assert drawn.data[0].text[0][2] == "L0H2: +0.2500 nats/token<br>95 % interval -0.2500 to 0.2500"
    assert drawn.data[0].text[1][1].endswith("no interval") and "Underlined" in drawn.layout.meta["caption"]


@pytest.mark.parametrize("shape", [(1, 2), (2, 4), (3, 8)])
def test_a_small_model_has_a_tick_a_layer_and_a_head(shape: tuple[int, int]) -> None:
    """plotly would put ticks between them, which the axis' format rounds to labels that are there twice."""
    layout = figures.heads_heatmap(np.zeros(shape)).layout
    assert (layout.xaxis.dtick, layout.yaxis.dtick) == (1, 1)
    large = figures.heads_heatmap(np.zeros((30, 9))).layout
    assert (large.xaxis.dtick, large.yaxis.dtick) == (None, None)


@pytest.mark.parametrize("draw", [figures.heads_heatmap, figures.neurons_by_layer])
def test_half_an_interval_is_refused_and_none_is_said(draw) -> None:
    with pytest.raises(FigureError, match=r"low and high have the shapes \(2, 3\) and \(\)"):
        draw(np.zeros((2, 3)), low=np.zeros((2, 3)))
    assert "No interval is drawn" in draw(np.zeros((2, 3))).layout.meta["caption"]


# Neurons


def test_neurons_are_hollow_where_the_interval_includes_0_and_the_selected_have_lines() -> None:
    scores, low = np.array([[0.5, 0.25], [-0.5, 0.125]]), np.array([[0.25, -0.25], [-0.75, 0.0625]])
    drawn = figures.neurons_by_layer(scores, low=low, high=low + 0.5, selected=[(0, 0), (0, 1)])
    others, chosen = (one(traces(drawn, name)) for name in ("not selected", "selected (2)"))
    look = {
        tuple(place[:2]): symbol for t in (others, chosen) for place, symbol in zip(t.customdata, t.marker.symbol, strict=True)
    }
    assert look == {(0, 0): "circle", (0, 1): "circle-open", (1, 0): "circle", (1, 1): "circle"}
    assert [y for _, y in lines(drawn, "intervals")] == [[0.25, 0.75], [-0.25, 0.25]]
    assert chosen.customdata.tolist() == [[0, 0, 0.25, 0.75], [0, 1, -0.25, 0.25]]


def test_one_selected_neuron_is_counted_in_whole_ticks() -> None:
    assert figures.neurons_by_layer(np.eye(3), selected=[(1, 1)]).layout.yaxis2.dtick == 1
    many = figures.neurons_by_layer(np.ones((1, 9)), selected=[(0, at) for at in range(9)])
    assert many.layout.yaxis2.dtick is None and many.layout.yaxis2.nticks == 4


@settings(max_examples=25, deadline=None)
@given(
    scores=arrays(float, (4, 7), elements=st.floats(-1, 1, width=16)),
    top=st.integers(1, 40),
    selected=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=5),
)
def test_neurons_drawn_are_the_largest_and_the_selected(scores: np.ndarray, top: int, selected: set) -> None:
    others, chosen, bars = figures.neurons_by_layer(scores, selected=selected, top=top).data
    places = [tuple(map(int, place)) for place in others.customdata]
    assert {tuple(map(int, place)) for place in chosen.customdata} == selected
    assert not selected & set(places)
    left_out = [abs(scores[place]) for place in np.ndindex(4, 7) if place not in selected and place not in places]
    assert max(left_out, default=0) <= min((abs(scores[place]) for place in places), default=np.inf)
    assert len(set(places) | selected) >= min(top, scores.size)
    for trace in (others, chosen):
        at = [tuple(map(int, place)) for place in trace.customdata]
        np.testing.assert_array_equal(trace.y, [scores[place] for place in at])
        assert all(abs(x - layer) < 0.5 for x, (layer, _) in zip(trace.x, at, strict=True))
    assert floats(bars.y) == [sum(place[0] == layer for place in selected) for layer in range(4)]


def test_neurons_lie_in_the_same_place_each_time() -> None:
    one_, two = (figures.neurons_by_layer(fake_neurons(), selected=[(0, 0)]) for _ in range(2))
    assert one_.to_json() == two.to_json()


def test_unmeasured_neurons_are_left_out() -> None:
    scores = np.array([[np.nan, 0.5, np.nan, -0.25]])
    assert sorted(floats(figures.neurons_by_layer(scores).data[0].y)) == [-0.25, 0.5]


def test_a_model_has_at_most_top_points_beside_the_selected() -> None:
    figure = figures.neurons_by_layer(fake_neurons(layers=30, d_mlp=1536))
    assert len(figure.data[0].y) == 1500


def test_top_must_be_positive() -> None:
    with pytest.raises(FigureError, match="top is 0"):
        figures.neurons_by_layer(np.zeros((1, 2)), top=0)
