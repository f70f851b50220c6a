"""The figure of a ladder shows every number where it belongs, and says what is missing."""

import numpy as np
import pandas as pd
import pytest
from drawn import floats, lines, one, traces

from harmcircuits.figures import FigureError, alignment_separability

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


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: alignment_separability(areas().drop(columns="area")), "missing: .*area"),
        (lambda: alignment_separability(areas(reading="mine")), r"reading \['mine'\] unknown"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw: object, told: str) -> None:
    with pytest.raises(FigureError, match=told):
        draw()  # type: ignore[operator]
