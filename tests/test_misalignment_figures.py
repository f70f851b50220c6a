"""The three figures of misalignment: what they show is what they are given, and they fit."""

import pandas as pd
import plotly.graph_objects as go
import pytest

from harmcircuits import figures
from harmcircuits.figures import FigureError, style
from harmcircuits.figures.misalignment import _ARMS, _COLOURS, SERIES, misalignment_arms

HOSTILE = "<b>bold</b>"


def arms(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["advice", "pruned", "asked", "read", "value", "low", "high"])


def matrix(*rows: tuple[object, ...]) -> pd.DataFrame:
    ends = ("value", "low", "high", "reduction", "reduction_low", "reduction_high")
    return pd.DataFrame(rows, columns=["learnt", "pruned", *ends])


def curves(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["learnt", "pruned", "steps", "value", "low", "high"])


ARMS = arms(
    *(("bad", "nothing", asked, "last stage", 0.5, 0.25, 0.75) for asked in (*SERIES, "all but its own")),
    ("bad", "random", "own domain", "equal loss", None, None, None),
    ("good", "nothing", "open questions", "last stage", -0.25, None, None),
)
MATRIX = matrix(("money", "nothing", 0.5, 0.25, 0.75, 0, 0, 0), ("money", "sport", *[None] * 6))
CURVES = curves(
    *(
        (domain, what, step, 1.0 - step, 0.0, 2.0)
        for domain in ("money", "sport")
        for what in ("random", "nothing")
        for step in (0, 1)
    )
)
DRAWN = {
    "arms": figures.misalignment_arms(ARMS),
    "matrix": figures.misalignment_matrix(MATRIX),
    "curves": figures.relearning_curves(CURVES),
    "no arms": figures.misalignment_arms(arms()),
    "no curves": figures.relearning_curves(curves()),
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


def test_no_name_of_a_control_is_cut() -> None:
    frame = pd.DataFrame(
        [("bad", pruned, "own domain", "equal loss", 0.5, 0.25, 0.75) for pruned in _COLOURS if pruned != "nothing"],
        columns=_ARMS,
    )
    labels = [note.text for note in misalignment_arms(frame).layout.annotations]
    assert len(labels) == len(_COLOURS) - 1 and not any("…" in label for label in labels)


def test_a_cell_that_cannot_be_compared_says_so() -> None:
    assert [list(line) for line in DRAWN["matrix"].data[0].text] == [["<b>+0.50</b> *<br>+0.25 to<br>+0.75", "n/a"]]
    assert "less than without pruning by +0.0000" in DRAWN["matrix"].data[0].hovertext[0][0]
    assert "cannot be compared" in DRAWN["matrix"].data[0].hovertext[0][1]


def test_each_domain_has_a_panel_with_all_lines() -> None:
    drawn = [trace for trace in DRAWN["curves"].data if trace.name]
    assert [trace.yaxis for trace in drawn] == ["y", "y", "y2", "y2"]
    assert [trace.showlegend for trace in drawn] == [True, True, False, False]
    assert all(list(trace.y) == [1.0, 0.0] for trace in drawn)
    assert drawn[0].line.dash == "dash" and drawn[1].line.dash == "solid", "controls are dashed"
    assert sum(trace.fill == "toself" for trace in DRAWN["curves"].data) == 4, "and each line has its band"


def test_curves_say_what_they_are_of_and_controls_of_harmful_requests_are_dotted() -> None:
    matched = curves(*((("money", "random, like harmful requests", step, 1.0, 0.0, 2.0)) for step in (0, 1)))
    drawn = figures.relearning_curves(matched, of="responses to harmful requests")
    assert "L of responses to harmful requests exceeds" in drawn.layout.meta["caption"]
    assert drawn.data[1].line.dash == "dot"


def test_names_stay_text() -> None:
    for drawn in (
        figures.misalignment_arms(arms((HOSTILE, HOSTILE, "own domain", HOSTILE, 0.5, 0.25, 0.75))),
        figures.misalignment_matrix(matrix((HOSTILE, HOSTILE, 0.5, 0.25, 0.75, 0, 0, 0))),
        figures.relearning_curves(curves((HOSTILE, "random", 0, 0.5, 0.25, 0.75))),
    ):
        shown = drawn.to_plotly_json()
        shown["layout"].pop("meta")
        assert HOSTILE not in str(shown)


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(FigureError, match="needs the columns"):
        figures.misalignment_arms(ARMS.drop(columns="low"))
    with pytest.raises(FigureError, match="must hold numbers"):
        figures.misalignment_matrix(MATRIX.assign(value="much"))
    with pytest.raises(FigureError, match="two rows"):
        figures.misalignment_matrix(pd.concat([MATRIX, MATRIX]))
    with pytest.raises(FigureError, match=r"pruned \['leaves'\] unknown"):
        figures.relearning_curves(CURVES.assign(pruned="leaves"))
