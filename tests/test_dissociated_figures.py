"""What became of the same tokens is drawn as given, with its intervals, the margin, and one scale for both circuits."""

import numpy as np
import pandas as pd
import pytest
from drawn import floats, lines, one, traces

from harmcircuits.figures import FigureError
from harmcircuits.figures.same_tokens import recognition_kept, same_tokens

KEPT = ["grain", "kind", "upper_rise", "upper_change", "upper_change_low", "upper_change_high"]
FOREST = pd.DataFrame(
    [
        ("heads <all>", "circuit", 0.5, -0.0625, -0.125, 0.0),
        ("heads <all>", "aimed-at-recognition", 0.125, -0.25, -0.375, -0.125),
        ("neurons", "circuit", 0.25, 0.125, 0.0, 0.25),
        ("neurons", "aimed-at-recognition", None, None, None, None),
    ],
    columns=KEPT,
)
POINTS = pd.DataFrame(
    [
        ("cut", "harmful", 0, 0.5, -0.25),
        ("cut", "near", 0, 0.0, 0.125),
        ("cut", "harmful", 1, 1.0, 0.0),
        ("blind", "harmful", 0, 0.0, -2.0),
    ],
    columns=["aim", "role", "triple", "rise", "change"],
)
MEANS = pd.DataFrame(
    [
        ("cut", "harmful", 0.75, 0.5, 1.0, -0.125, -0.25, 0.0),
        ("cut", "near", 0.0, -0.5, 0.5, 0.125, 0.0, 0.25),
        ("blind", "harmful", 0.0, None, None, -2.0, None, None),
    ],
    columns=["aim", "role", *(f"{name}{end}" for name in ("rise", "change") for end in ("", "_low", "_high"))],
)


class TestForest:
    def test_every_change_stands_in_its_row_with_its_interval(self) -> None:
        drawn = recognition_kept(FOREST, margin=0.05)
        circuit, aimed = one(traces(drawn, "circuit")), one(traces(drawn, "aimed at recognition"))
        assert floats(circuit.x) == [-0.0625, 0.125] and floats(aimed.x) == [-0.25]
        assert floats(np.round(circuit.y)) == [0, 1] and circuit.y[0] < aimed.y[0]
        assert [x for x, _ in lines(drawn, "circuit")] == [[-0.125, 0.0], [0.0, 0.25]]

    def test_the_margin_and_no_change_are_lines(self) -> None:
        drawn = recognition_kept(FOREST, margin=0.05)
        assert sorted(shape.x0 for shape in drawn.layout.shapes) == [-0.05, 0, 0.05]
        low, high = drawn.layout.xaxis.range
        assert low < -0.375 and high > 0.25

    def test_what_is_missing_is_counted_and_words_are_safe(self) -> None:
        drawn = recognition_kept(FOREST, margin=0.05)
        assert "not shown: 1 conditions" in drawn.layout.title.subtitle.text
        assert any("heads &lt;all&gt;" in str(note.text) for note in drawn.layout.annotations)
        assert "-0.062 AUROC" in drawn.layout.meta["alt"] and "harmful rise +0.500" in drawn.layout.meta["alt"]

    def test_nothing_measured_is_still_a_figure(self) -> None:
        assert "0 conditions" not in str(recognition_kept(FOREST.iloc[:0], margin=0.05).layout.title.subtitle.text)

    def test_errors(self) -> None:
        with pytest.raises(FigureError, match="upper_rise"):
            recognition_kept(FOREST.drop(columns="upper_rise"), margin=0.05)
        with pytest.raises(FigureError, match="unheard"):
            recognition_kept(FOREST.assign(kind="unheard"), margin=0.05)


class TestScatter:
    def test_every_response_is_a_point_in_the_panel_of_its_circuit(self) -> None:
        above, below = [trace for trace in same_tokens(POINTS, MEANS).data if trace.name == "harmful requests"]
        assert (floats(above.x), floats(above.y), above.yaxis) == ([0.5, 1.0], [-0.25, 0.0], "y")
        assert (floats(below.x), floats(below.y), below.yaxis) == ([0.0], [-2.0], "y2")

    def test_means_have_both_intervals(self) -> None:
        found = lines(same_tokens(POINTS, MEANS), "harmful requests")
        assert ([0.5, 1.0], [-0.125, -0.125]) in found and ([0.75, 0.75], [-0.25, 0.0]) in found
        assert len(found) == 2, "no interval is invented for the other panel"

    def test_both_panels_have_one_scale_that_holds_everything(self) -> None:
        layout = same_tokens(POINTS, MEANS).layout
        assert layout.xaxis.range == layout.xaxis2.range and layout.yaxis.range == layout.yaxis2.range
        assert layout.xaxis.range[0] < -0.5 and layout.xaxis.range[1] > 1.0 and layout.yaxis.range[0] < -2.0

    def test_units_notes_and_words_for_those_who_cannot_see_it(self) -> None:
        drawn = same_tokens(POINTS, MEANS, unit="probe score", notes={"cut": "Spearman <0>"})
        assert "probe score" in drawn.layout.yaxis.title.text and "nats per token" in drawn.layout.xaxis.title.text
        assert drawn.layout.annotations[0].text == "<b>cut</b> Spearman &lt;0&gt;"
        assert "cut, harmful: mean rise +0.750 nats/token, mean change -0.125" in drawn.layout.meta["alt"]

    def test_errors(self) -> None:
        with pytest.raises(FigureError, match="rise"):
            same_tokens(POINTS.drop(columns="rise"), MEANS)
        with pytest.raises(FigureError, match="far"):
            same_tokens(POINTS.assign(role="far"), MEANS)
