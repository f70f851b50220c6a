"""Figures of readings of recognition, and of probes by layer."""

import pandas as pd
import pytest
from drawn import floats, lines, traces

from harmcircuits import figures

FOREST = ["reading", "kind", "series", "value", "low", "high"]
BY_LAYER = ["condition", "kind", "place", "layer", "value", "low", "high"]
HOSTILE = "<b>bold</b> & more"


def test_figures_draw_what_they_are_given_and_text_as_text() -> None:
    rows = [(HOSTILE, "probe", "near", 0.75, 0.5, 0.875), (HOSTILE, "probe", "far", None, None, None)]
    rows += [("other", "in place", "near", 0.625, None, None), ("other", "in place", "arbitrary words", 0.25, 0.125, 0.5)]
    forest = figures.readings_forest(pd.DataFrame(rows, columns=FOREST))
    (near,) = traces(forest, "against near twins")
    assert floats(near.x) == [0.75, 0.625] and floats(near.y) == [0, 1]
    assert lines(forest, "against near twins") == [([0.5, 0.875], [0, 0])], "no interval, no line"
    assert not traces(forest, "against far twins or other benign requests"), "what has no value has no mark"
    layers = [(HOSTILE, "retrained", HOSTILE, layer, 0.5 + layer / 8, 0.5, 1.0) for layer in (2, 0, 1)]
    by_layer = figures.auroc_by_layer(pd.DataFrame(layers, columns=BY_LAYER))
    assert floats(by_layer.data[1].x) == [0, 1, 2] and floats(by_layer.data[1].y) == [0.5, 0.625, 0.75]
    shown = [near.text[0], by_layer.data[1].text[0], by_layer.data[1].name]
    shown += [label.text for drawn in (forest, by_layer) for label in drawn.layout.annotations]
    assert not any("<b>bold" in text for text in shown) and any("&lt;b&gt;bold" in text for text in shown)


def test_figures_of_nothing_are_figures() -> None:
    for drawn in (
        figures.readings_forest(pd.DataFrame(columns=FOREST)),
        figures.auroc_by_layer(pd.DataFrame(columns=BY_LAYER)),
    ):
        assert drawn.layout.meta["alt"] and drawn.layout.xaxis.title.text and drawn.layout.title.text.endswith("?")
    with pytest.raises(figures.FigureError, match="series"):
        figures.readings_forest(pd.DataFrame([("a", "b", "c", 1, 1, 1)], columns=FOREST))
    with pytest.raises(figures.FigureError, match="kind"):
        figures.auroc_by_layer(pd.DataFrame([("a", "b", "c", 1, 1, 1, 1)], columns=BY_LAYER))
