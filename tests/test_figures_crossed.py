"""The crossed figure shows every cell as it is, frames what was aimed at, and says what was not measured."""

import re
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from drawn import floats
from fake_report import NOT_READ, UNREAD, fake_report

from harmcircuits import figures
from harmcircuits.figures import FigureError, style
from harmcircuits.report import effects_frame

COLUMNS = ["condition", "aim", "task", "value", "low", "high", "drop", "p_adjusted", "n"]
FEW = pd.DataFrame(
    [
        ("heads <all>", "writing", "writing", 0.5, 0.25, 0.75, 0.125, 0.05, 24),
        ("heads <all>", "writing", "reading", -0.25, -0.5, 0.125, -0.0625, 0.5, 24),
        ("control", "", "writing", None, None, None, None, None, None),
        ("control", "", "reading", 0.125, None, None, 0.375, 0.051, 24),
    ],
    columns=COLUMNS,
).assign(unit="nats per token", reason=[None, None, "too few <triples>", None])


def rows(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def words(figure: go.Figure) -> list[list[str]]:
    return [list(trace.text) for trace in figure.data if trace.type == "scatter"]


def rectangles(figure: go.Figure, **looks: Any) -> list[tuple[float, float]]:
    """(column, row) of the rectangles that look so."""
    found = [shape for shape in figure.layout.shapes if all(shape[name] == look for name, look in looks.items())]
    return [((shape.x0 + shape.x1) / 2, round((shape.y0 + shape.y1) / 2 - 0.15)) for shape in found]


def test_every_effect_is_a_cell_in_its_row_and_column() -> None:
    first, second = rows(figures.crossed_effects(FEW))
    np.testing.assert_array_equal(first.z, [[0.5, -0.25]])
    np.testing.assert_array_equal(second.z, [[np.nan, 0.125]])
    assert floats(first.x) == [-0.5, 0.5, 1.5] and first.y[0] < 0 < first.y[1] < second.y[0] < 1 < second.y[1]


def test_a_cell_says_effect_and_interval_and_an_asterisk_at_an_adjusted_p_of_a_twentieth() -> None:
    assert words(figures.crossed_effects(FEW)) == [
        ["<b>+0.50</b> *<br>+0.25 to<br>+0.75", "<b>-0.25</b><br>-0.50 to<br>+0.12"],
        ["n/a", "<b>+0.12</b>"],
    ]


def test_a_frame_marks_the_aim_and_grey_what_is_missing() -> None:
    figure = figures.crossed_effects(FEW)
    assert rectangles(figure, line=go.layout.shape.Line(color=style.BLACK, width=2.5)) == [(0, 0)]
    assert rectangles(figure, fillcolor=style.PALE) == [(0, 1)]


def test_colours_are_white_at_zero_even_and_full_only_where_an_effect_is_large() -> None:
    small, large = (figures.crossed_effects(FEW.assign(value=FEW["value"] * by)).layout.coloraxis for by in (1, -4))
    assert (small.cmin, small.cmid, small.cmax) == (-0.8, 0, 0.8) and (large.cmin, large.cmax) == (-2, 2)
    places = dict(small.colorscale)
    assert places[0.5] == "white" and places[0] != places[1]


def test_hovers_say_everything_and_why_not() -> None:
    first, second = rows(figures.crossed_effects(FEW))
    assert first.text[0][0].split("<br>") == [
        "heads &lt;all&gt;: writing", "d +0.5000, 95 % interval 0.250 to 0.750", "drop +0.1250 nats per token",
        "adjusted p 0.050", "24 triples",
    ]  # fmt: skip
    assert second.text[0][0] == "control: writing<br>not measured: too few &lt;triples&gt;"
    assert "no interval" in second.text[0][1]
    assert figures.crossed_effects(FEW).layout.title.subtitle.text == "n/a: too few &lt;triples&gt;"


def test_a_pair_without_a_row_is_not_measured_either() -> None:
    figure = figures.crossed_effects(FEW.drop(index=1))
    assert words(figure)[0] == ["<b>+0.50</b> *<br>+0.25 to<br>+0.75", "n/a"]
    assert rows(figure)[0].text[0][1].endswith("not measured: no reason recorded")


def test_labels_name_each_condition_with_its_aim_once_and_each_task() -> None:
    figure = figures.crossed_effects(effects_frame(fake_report()))
    labels = [label.text for label in figure.layout.annotations]
    assert labels[:5] == [
        "<b>heads</b> (aimed at generation)", "<b>aimed at recognition</b>", "<b>aimed at explanation</b>",
        "<b>aimed at twins</b>", "<b>matched random</b>",
    ]  # fmt: skip
    assert labels[5:8] == ["generation", "recognition", "explanation"]
    assert labels[-1] == "writing of<br>another<br>kind", "as narrow as a column on a phone"
    low, high = figure.layout.yaxis.range
    assert low > 4.46 and all(high < label.y < low for label in figure.layout.annotations), "nothing is cut"
    assert all(label.y - 3 * 14 / 86 > high for label in figure.layout.annotations[5:]), "room for three lines above"


def test_the_fake_run_is_drawn_whole() -> None:
    frame = effects_frame(fake_report())
    figure = figures.crossed_effects(frame)
    drawn = np.concatenate([trace.z for trace in rows(figure)])
    np.testing.assert_array_equal(drawn, frame["value"].to_numpy(dtype=float).reshape(5, 5))
    assert rectangles(figure, line=go.layout.shape.Line(color=style.BLACK, width=2.5)) == [(0, 0), (1, 1), (2, 2)]
    assert NOT_READ in re.sub("<br>", " ", figure.layout.title.subtitle.text)
    alt = figure.layout.meta["alt"]
    assert "heads (aimed at generation): generation +0.99, recognition +0.01" in alt and f"{UNREAD} not measured" in alt


def test_it_fits_its_box_as_every_figure_does() -> None:
    for frame in (FEW, effects_frame(fake_report()), FEW[:0]):
        layout = figures.crossed_effects(frame).layout
        assert layout.width is None and layout.xaxis.title.text and layout.title.text.endswith("?")
        assert all(len(line) <= style.TITLE_WIDTH for line in layout.title.text.split("<br>"))
        assert layout.height > layout.margin.t + layout.margin.b > 0
        assert layout.meta["caption"] and layout.meta["alt"]
    assert figures.crossed_effects(FEW[:0]).layout.meta["alt"].endswith("nothing was measured.")


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_words_are_readable_on_every_colour() -> None:
    figure = figures.crossed_effects(FEW)
    ends = [colour for _, colour in figure.layout.coloraxis.colorscale if colour.startswith("#")]
    ink = {trace.textfont.color for trace in figure.data if trace.type == "scatter"}
    assert len(ends) == 2 and all(contrast(colour, end) >= 4.5 for colour in ink for end in (*ends, style.PALE))


def test_it_names_what_is_missing_doubled_or_no_number() -> None:
    with pytest.raises(FigureError, match=r"crossed_effects needs the columns .*; missing: \['drop'\]"):
        figures.crossed_effects(FEW.drop(columns="drop"))
    with pytest.raises(FigureError, match="'control' has two rows for 'reading'; keep one a cell"):
        figures.crossed_effects(pd.concat([FEW, FEW[3:]]))
    with pytest.raises(FigureError, match="column 'value' must hold numbers"):
        figures.crossed_effects(FEW.assign(value="much"))


def test_the_same_frame_gives_the_same_figure_and_stays_as_it_was() -> None:
    before = FEW.copy()
    assert figures.crossed_effects(FEW).to_json() == figures.crossed_effects(FEW).to_json()
    pd.testing.assert_frame_equal(FEW, before)
