"""The figure of probes by layer."""

import pandas as pd
import pytest
from drawn import floats

from harmcircuits import figures

BY_LAYER = ["condition", "kind", "place", "layer", "value", "low", "high"]
HOSTILE = "<b>bold</b> & more"


def test_it_draws_what_it_is_given_and_text_as_text() -> None:
    layers = [(HOSTILE, "retrained", HOSTILE, layer, 0.5 + layer / 8, 0.5, 1.0) for layer in (2, 0, 1)]
    drawn = figures.auroc_by_layer(pd.DataFrame(layers, columns=BY_LAYER))
    assert floats(drawn.data[1].x) == [0, 1, 2] and floats(drawn.data[1].y) == [0.5, 0.625, 0.75]
    shown = [drawn.data[1].text[0], drawn.data[1].name, *(label.text for label in drawn.layout.annotations)]
    assert not any("<b>bold" in text for text in shown) and any("&lt;b&gt;bold" in text for text in shown)


def test_of_nothing_it_is_a_figure() -> None:
    drawn = figures.auroc_by_layer(pd.DataFrame(columns=BY_LAYER))
    assert drawn.layout.meta["alt"] and drawn.layout.xaxis.title.text and drawn.layout.title.text.endswith("?")
    with pytest.raises(figures.FigureError, match="kind"):
        figures.auroc_by_layer(pd.DataFrame([("a", "b", "c", 1, 1, 1, 1)], columns=BY_LAYER))
