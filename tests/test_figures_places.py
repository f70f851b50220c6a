"""Tokens, matrices and circuits are drawn as given: values, places, units, and no word that was not given."""

import numpy as np
import pandas as pd
import pytest
from drawn import floats
from fake_places import fake_circuit, fake_matrices, fake_tokens

import harmcircuits as hc
from harmcircuits import figures
from harmcircuits.figures import FigureError, style

# Tokens


def test_tokens_are_numbered_bars_of_each_kind() -> None:
    drawn = figures.token_attribution(fake_tokens(), before=0.0625)
    heads, neurons = drawn.data
    assert floats(heads.x) == floats(neurons.x) == [1, 2, 3]
    assert floats(heads.y) == [0.25, -0.5, 0] and floats(neurons.y) == [0.125, 0.25, -0.125]
    assert drawn.layout.barmode == "relative", "stacked, on either side of 0"
    assert heads.hovertext == neurons.hovertext
    assert heads.hovertext[1] == "token 2: heads -0.5000, neurons +0.2500, together -0.2500 nats/token"
    assert drawn.layout.yaxis.title.text == "attribution A (nats per token)"
    assert "before the response: +0.0625 nats" in drawn.layout.title.subtitle.text
    assert "Highest at token 1 (+0.3750), lowest at token 2 (-0.2500)." in drawn.layout.meta["alt"]


def test_a_short_response_has_a_tick_a_token() -> None:
    assert figures.token_attribution(fake_tokens()).layout.xaxis.dtick == 1
    assert figures.token_attribution(pd.DataFrame({"heads": np.zeros(40)})).layout.xaxis.dtick is None


def test_words_are_written_where_they_are_given_and_stay_text() -> None:
    words = [" a</script><b>", "\n", "x" * 40]
    drawn = figures.token_attribution(fake_tokens()[["neurons"]], tokens=words)
    (bars,) = drawn.data
    assert bars.orientation == "h" and floats(bars.x) == [0.125, 0.25, -0.125] and drawn.layout.yaxis.range == (3.6, 0.4)
    assert drawn.layout.yaxis.ticktext == ("a&lt;/script&gt;&lt;b&gt;", "␣", "x" * 13 + "…")
    assert bars.hovertext[0] == "token 1 “ a&lt;/script&gt;&lt;b&gt;”: neurons +0.1250 nats/token"
    assert "do neurons promote it?" in drawn.layout.title.text.replace("<br>", " ")


def test_a_long_response_keeps_its_words_for_hovers() -> None:
    n = 201
    drawn = figures.token_attribution(pd.DataFrame({"heads": np.zeros(n)}), tokens=["word"] * n)
    assert drawn.data[0].orientation == "v" and drawn.layout.xaxis.ticktext is None and "“word”" in drawn.data[0].hovertext[0]
    assert drawn.layout.height < 600


def test_tokens_that_do_not_fit_are_refused() -> None:
    with pytest.raises(FigureError, match="2 texts for 3 tokens"):
        figures.token_attribution(fake_tokens(), tokens=["a", "b"])
    with pytest.raises(FigureError, match=r"missing: \['heads', 'neurons'\]"):
        figures.token_attribution(pd.DataFrame({"other": [1.0]}))


# Matrices


def test_a_mask_is_drawn_per_million_of_each_matrix_and_on_a_log_scale_where_shares_differ_much() -> None:
    drawn = figures.weights_by_matrix(fake_matrices())
    (heat,) = drawn.data
    np.testing.assert_allclose(heat.z, [[3, np.nan], [5, np.log10(2000)]])
    assert (heat.zmin, heat.zmax) == (2.6, 5), "the smallest is not white"
    assert heat.colorbar.tickvals == (3, 4, 5) and heat.colorbar.ticktext == ("1,000", "10,000", "100,000")
    assert heat.hovertext[0] == [
        "layer 0, attn.q: 1 of 1,000 weights (1,000 per million)",
        "layer 0, mlp.in: 0 of 4,000 weights (0 per million)",
    ]
    assert drawn.layout.xaxis.ticktext == ("q", "in") and "logarithmic" in drawn.layout.meta["caption"]
    said = "109 of 10,000 weights, in 3 of 4 matrices. Most in layer 1, attn.q: 100,000."
    assert drawn.layout.meta["alt"] == said


def test_like_shares_are_drawn_from_zero() -> None:
    frame = fake_matrices().assign(weights=[4, 0, 100, 16])  # of 4,000, 100,000 and 4,000 per million
    drawn = figures.weights_by_matrix(frame)
    (heat,) = drawn.data
    np.testing.assert_allclose(heat.z, [[4000, 0], [100_000, 4000]])
    assert (heat.zmin, heat.zmax) == (0, 100_000) and heat.colorbar.tickvals is None
    assert "logarithmic" not in drawn.layout.meta["caption"] and heat.colorscale[0][1] == "white"


def test_scores_are_drawn_as_shares_of_all() -> None:
    (heat,) = figures.weight_scores_by_matrix(fake_matrices()).data
    np.testing.assert_allclose(heat.z, [[12.5, 25], [12.5, 50]])
    assert heat.zmin == 0 and heat.zmax == 50 and heat.colorbar.title.text.endswith("(%)")
    assert heat.hovertext[1][1] == (
        "layer 1, mlp.in: 50.00 % of Σ|A|, 1.25 times as much a weight as the mean of all<br>"
        "Σ A +0.1250 nats/token; A > 0 of 75 % of its weights"
    )


@pytest.mark.parametrize("draw", [figures.weights_by_matrix, figures.weight_scores_by_matrix])
def test_a_place_with_two_matrices_is_refused_and_one_without_is_blank(draw) -> None:
    frame = fake_matrices()
    with pytest.raises(FigureError, match=r"'mlp.in' of layer 1 has two rows; keep one a matrix"):
        draw(pd.concat([frame, frame[3:]]))
    heat = draw(frame[:3]).data[0]
    assert np.isnan(heat.z[1][1]) and heat.hovertext[1][1] == "no such matrix"


# Circuits


def test_a_circuit_is_drawn_as_points_and_counts() -> None:
    drawn = figures.components_by_layer(fake_circuit())
    heads, neurons = drawn.data
    assert list(zip(heads.x, heads.y, heads.text, strict=True)) == [(0, 1, "L0H1"), (0, 3, "L0H3"), (2, 0, "L2H0")]
    assert list(zip(neurons.x, neurons.y, strict=True)) == [(2, 14), (3, 2)] and neurons.yaxis == "y2"
    assert neurons.hovertext[1] == "layer 3: 2 neurons<br>5, 17"
    assert neurons.hovertext[0].endswith("10, 11, …"), "the first twelve"
    assert drawn.layout.meta["alt"] == "3 heads and 16 neurons in 3 layers. Most neurons in layer 2: 14."
    assert {trace.marker.color for trace in drawn.data} == {style.VERMILLION}


def test_one_kind_has_the_whole_figure() -> None:
    for circuit in (hc.Circuit(heads=[(1, 2)]), hc.Circuit(neurons=[(1, 2)])):
        drawn = circuit.figure()
        assert len(drawn.data) == 1 and drawn.data[0].yaxis in (None, "y") and drawn.layout.yaxis.title.text
    with pytest.raises(FigureError, match=r"kind \['layers'\] unknown"):
        figures.components_by_layer(fake_circuit().assign(kind="layers"))
