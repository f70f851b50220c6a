"""The figures of a ladder show every number where it belongs, and say what is missing."""

import numpy as np
import pandas as pd
import pytest
from drawn import floats, lines, one, traces

from harmcircuits.figures import FigureError, alignment_curves, alignment_overlaps, alignment_separability

STAGES = ("base <b>", "SFT", "DPO")


def areas(*, ladder: str = "ladder", reading: str = "own", step: float = 0.25, grain: str = "heads") -> pd.DataFrame:
    rows = [
        {"ladder": ladder, "stage": name, "at": at, "reading": reading, "grain": grain, "area": step * at}
        | {"area_low": step * at - 0.125, "area_high": step * at + 0.125}
        for at, name in enumerate(STAGES)
    ]
    return pd.DataFrame(rows)


def test_each_ladder_has_its_line_with_an_interval_at_every_stage() -> None:
    frame = pd.concat([areas(), areas(reading="fixed", step=0.5), areas(ladder="style only", step=0.0)])
    drawn = alignment_separability(frame)
    names = [trace.name for trace in drawn.data if trace.name]
    assert names == ["own responses", "the same responses for all", "style only, own responses"]
    own = one(traces(drawn, "own responses"))
    assert floats(own.y) == [0.0, 0.25, 0.5] and np.diff(floats(own.x)) == pytest.approx([1, 1])
    upright = lines(drawn, "own responses")
    assert [ends for _, ends in upright] == [[-0.125, 0.125], [0.125, 0.375], [0.375, 0.625]]
    assert [x for x, _ in upright] == [[at, at] for at in floats(own.x)]
    assert drawn.layout.xaxis.ticktext == ("base &lt;b&gt;", "SFT", "DPO")
    assert "SFT +0.250, DPO +0.500" in drawn.layout.meta["alt"] and "&lt;b&gt;" in own.hovertext[0]


def test_a_panel_a_grain_and_no_point_where_nothing_was_measured() -> None:
    lost = areas(grain="weights", reading="fixed").assign(area=None, area_low=None, area_high=None)
    drawn = alignment_separability(pd.concat([areas(), areas(grain="weights"), lost]))
    own = traces(drawn, "own responses")
    assert [trace.yaxis for trace in own] == ["y", "y2"] and [trace.showlegend for trace in own] == [True, False]
    assert not traces(drawn, "the same responses for all")
    assert "weights" in drawn.layout.yaxis2.title.text


def curves() -> pd.DataFrame:
    rows = []
    for at, name in enumerate(STAGES):
        for fraction in (0.001, 0.01):
            kept = {"retained_harmful": 1 - 0.25 * at, "retained_twin": 1.0}
            ends = {
                f"{measure}{end}": value + off
                for measure, value in kept.items()
                for end, off in (("_low", -0.125), ("_high", 0.125))
            }
            rows.append({"stage": name, "grain": "heads", "fraction": fraction, **kept, **ends})
    return pd.DataFrame(rows)


def test_each_stage_has_a_line_in_both_panels_from_faint_to_strong() -> None:
    drawn = alignment_curves(curves(), grain="heads")
    found = [trace for trace in drawn.data if trace.name == "DPO"]
    assert [floats(trace.y) for trace in found] == [[0.5, 0.5], [1.0, 1.0]] and floats(found[0].x) == [0.001, 0.01]
    colours = [trace.line.color for trace in drawn.data if trace.name and trace.yaxis == "y"]
    brightness = [sum(map(float, colour.strip("rgb()").split(","))) for colour in colours]
    assert len(colours) == 3 and brightness == sorted(brightness, reverse=True)
    assert "DPO, at 1.00e-02: harmful 0.50, near twins 1.00" in drawn.layout.meta["alt"]
    with pytest.raises(FigureError, match="nothing of 'neurons' to draw: grains are heads"):
        alignment_curves(curves(), grain="neurons")


def test_each_stage_has_a_colour_of_its_own_on_a_dark_page_too() -> None:
    drawn = alignment_curves(curves(), grain="heads")
    stages = {trace.line.color for trace in drawn.data if trace.name}
    assert len(stages) == curves()["stage"].nunique() == len({drawn.layout.meta["dark"][colour] for colour in stages})


def test_overlaps_fill_both_halves_and_mark_what_is_more_than_chance() -> None:
    numbers = ["jaccard", "chance", "twins", "excess", "p_adjusted"]
    pairs = [("a", "b", 0.5, 0.125, 0.25, 0.25, 0.05), ("a", "c", 0.25, 0.125, 0.5, -0.25, 0.06), ("b", "c", *[None] * 5)]
    heat = alignment_overlaps(pd.DataFrame(pairs, columns=["one", "other", *numbers])).data[0]
    filled = np.array(heat.z, dtype=float)
    np.testing.assert_array_equal(filled, filled.T)
    assert filled[0, 1] == 0.25 and filled[0, 2] == -0.25 and np.isnan(filled[1, 2]) and heat.zmax == -heat.zmin == 0.25
    assert tuple(heat.text[0]) == (
        "",
        "<b>0.50</b> *<br>twins 0.25<br>chance 0.125",
        "<b>0.25</b><br>twins 0.50<br>chance 0.125",
    )
    assert heat.text[1][2] == "n/a"


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: alignment_separability(areas().drop(columns="area")), "missing: .*area"),
        (lambda: alignment_separability(areas(reading="mine")), r"reading \['mine'\] unknown"),
        (lambda: alignment_curves(curves().assign(fraction="x"), grain="heads"), "'fraction' must hold numbers"),
        (lambda: alignment_overlaps(areas()), "alignment_overlaps needs the columns"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw: object, told: str) -> None:
    with pytest.raises(FigureError, match=told):
        draw()  # type: ignore[operator]
