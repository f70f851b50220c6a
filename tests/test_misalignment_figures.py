"""The figure of misalignment: what it shows is what it is given, and it fits."""

import pandas as pd
import plotly.graph_objects as go
import pytest

from harmcircuits import figures
from harmcircuits.figures import FigureError, style
from harmcircuits.figures.misalignment import SERIES

HOSTILE = "<b>bold</b>"


def arms(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["advice", "pruned", "asked", "read", "value", "low", "high"])


ARMS = arms(
    *(("bad", "nothing", asked, "last stage", 0.5, 0.25, 0.75) for asked in (*SERIES, "all but its own")),
    ("bad", "random", "own domain", "equal loss", None, None, None),
    ("good", "nothing", "open questions", "last stage", -0.25, None, None),
)
DRAWN = {
    "arms": figures.misalignment_arms(ARMS),
    "no arms": figures.misalignment_arms(arms()),
}


@pytest.mark.parametrize("drawn", DRAWN.values(), ids=DRAWN)
def test_every_figure_fits_its_box_and_says_what_it_shows(drawn: go.Figure) -> None:
    assert all(len(line) <= style.TITLE_WIDTH for line in drawn.layout.title.text.split("<br>"))
    assert drawn.layout.title.text.endswith("?") and drawn.layout.meta["caption"] and drawn.layout.meta["alt"]
    assert drawn.layout.height > drawn.layout.margin.t + drawn.layout.margin.b > 0


def test_arms_have_a_mark_for_each_value_and_no_other() -> None:
    marks = {trace.name: trace for trace in DRAWN["arms"].data if trace.mode == "markers"}
    assert {name: len(trace.x) for name, trace in marks.items()} == {
        SERIES["own domain"].name: 1,
        SERIES["other domains"].name: 1,
        SERIES["open questions"].name: 2,
    }
    assert list(marks[SERIES["open questions"].name].x) == [0.5, -0.25]
    assert "random" not in str(DRAWN["arms"].layout), "what was not measured has no row"


def test_names_stay_text() -> None:
    drawn = figures.misalignment_arms(arms((HOSTILE, HOSTILE, "own domain", HOSTILE, 0.5, 0.25, 0.75)))
    shown = drawn.to_plotly_json()
    shown["layout"].pop("meta")
    assert HOSTILE not in str(shown)


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(FigureError, match="needs the columns"):
        figures.misalignment_arms(ARMS.drop(columns="low"))
    with pytest.raises(FigureError, match="must hold numbers"):
        figures.misalignment_arms(ARMS.assign(value="much"))
