"""The frontier is drawn as given: every strength at its cost, kinds told apart without colour, the equal damage upright."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import floats, lines, traces

from harmcircuits import figures
from harmcircuits.figures import FigureError, style

MEASURED = ("harmful", "near", "far", "selectivity")


def strengths(condition: str, kind: str, *rows: tuple[float | None, ...]) -> pd.DataFrame:
    """Rows of alpha, harmful, near, far, in any order; intervals 0.125 to both sides."""
    frame = pd.DataFrame(rows, columns=["alpha", "harmful", "near", "far"]).astype(float)
    frame["selectivity"] = frame["harmful"] - frame["near"]
    for measure in MEASURED:
        frame[f"{measure}_low"], frame[f"{measure}_high"] = frame[measure] - 0.125, frame[measure] + 0.125
    return frame.assign(condition=condition, kind=kind, n=24)


@cache
def few() -> pd.DataFrame:
    return pd.concat(
        [
            strengths("heads <all>", "circuit", (0.0, 1.0, 0.5, 0.25), (1.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.125, 0.0625)),
            strengths("aimed", "aimed-at-twins", (1.0, 0.0, 0.0, 0.0), (0.0, 0.25, 0.75, 0.5)),
            strengths("other", "matched-random", (1.0, 0.0, 0.0, 0.0), (0.0, 0.125, 0.125, 0.125)),
        ]
    )


def by_panel(figure: Any, name: str) -> list[Any]:
    found = traces(figure, name)
    assert [trace.yaxis for trace in found] == ["y", "y2"]
    return found


def test_strengths_lie_at_their_cost_in_the_order_of_falling_alpha() -> None:
    above, below = by_panel(figures.damage_frontier(few()), "1: heads &lt;all&gt;")
    assert floats(above.x) == floats(below.x) == [0.0, 0.0625, 0.25]
    assert floats(above.y) == [0.0, 0.5, 1.0] and floats(below.y) == [0.0, 0.375, 0.5]
    numbers = [trace for trace in figures.damage_frontier(few()).data if trace.mode == "text" and trace.yaxis == "y"]
    assert {trace.text[0]: (trace.x[0], trace.y[0]) for trace in numbers}["\u00a0\u00a0<b>1</b>"] == (0.25, 1.0), (
        "at the full strength"
    )


def test_hovers_say_strength_rises_intervals_and_n() -> None:
    above, _ = by_panel(figures.damage_frontier(few()), "1: heads &lt;all&gt;")
    assert above.hovertext[1].split("<br>") == [
        "1: heads &lt;all&gt;, alpha 0.5, 24 triples",
        "far twins: +0.0625 nats/token, 95 % interval -0.062 to 0.188",
        "harmful requests: +0.5000 nats/token, 95 % interval 0.375 to 0.625",
        "near twins: +0.1250 nats/token, 95 % interval 0.000 to 0.250",
        "selectivity: +0.3750 nats/token, 95 % interval 0.250 to 0.500",
    ]


def test_intervals_are_drawn_as_they_are_in_each_panel() -> None:
    figure = figures.damage_frontier(few())
    first, second = (traces(figure, None, "lines")[at] for at in (2, 5))  # the first condition is drawn last
    assert [first.yaxis, second.yaxis] == ["y", "y2"]
    drawn = [pair for pair in lines(figure, "3: other") if pair[0][0] == 0.125]
    assert [y for _, y in drawn] == [[0.0, 0.25], [-0.125, 0.125]]


def test_kinds_are_told_apart_with_and_without_colour() -> None:
    figure = figures.damage_frontier(few())
    looks = [by_panel(figure, name)[0] for name in ("1: heads &lt;all&gt;", "2: aimed", "3: other")]
    assert [look.line.dash for look in looks] == ["solid", "dash", "dot"]
    assert [look.line.color for look in looks] == [style.VERMILLION, style.BLUE, style.GREY]
    assert len({look.marker.symbol for look in looks}) == 3
    entries = sorted((trace for trace in figure.data if trace.showlegend), key=lambda trace: trace.legendrank)
    assert [trace.name for trace in entries] == ["1: heads &lt;all&gt;", "2: aimed", "3: other"]


def test_the_equal_damage_is_upright_in_both_panels_and_inside_them() -> None:
    figure = figures.damage_frontier(few(), damage=0.75)
    upright = traces(figure, "equal damage", "lines")
    assert [floats(line.x) for line in upright] == [[0.75, 0.75]] * 2
    for line, x, y in zip(upright, ("xaxis", "xaxis2"), ("yaxis", "yaxis2"), strict=True):
        assert list(line.y) == list(figure.layout[y].range) and figure.layout[x].range[1] > 0.75
    assert "nearest to an equal damage of 0.750. 1: heads <all>, alpha 0.00: far +0.250" in figure.layout.meta["alt"]
    assert traces(figures.damage_frontier(few()), "equal damage", "lines") == []


def test_both_panels_share_the_cost_and_lie_apart() -> None:
    layout = figures.damage_frontier(few()).layout
    assert layout.xaxis.range == layout.xaxis2.range and layout.xaxis.title.text == layout.xaxis2.title.text
    assert layout.yaxis.domain[0] > layout.yaxis2.domain[1] and layout.yaxis2.domain[0] == pytest.approx(0)
    assert layout.yaxis.range[0] < 0 and layout.yaxis.range[1] > 1.125, "every interval is inside"
    assert layout.title.text.endswith("?") and layout.meta["caption"] and layout.width is None
    assert all(len(line) <= style.TITLE_WIDTH for line in layout.title.text.split("<br>"))


def test_what_has_no_value_is_counted_and_not_drawn() -> None:
    frame = pd.concat([few(), strengths("none", "random", (0.0, None, None, None))])
    figure = figures.damage_frontier(frame)
    assert figure.layout.title.subtitle.text == "not shown: 1 strengths without a value"
    assert not [trace for trace in figure.data if trace.name and "none" in trace.name]
    empty = figures.damage_frontier(few()[:0])
    assert empty.layout.meta["alt"].endswith("Nothing was measured.") and not len(empty.data)


def test_it_names_what_is_missing_or_unknown() -> None:
    with pytest.raises(FigureError, match=r"damage_frontier needs the columns .*; missing: \['far_low'\]"):
        figures.damage_frontier(few().drop(columns="far_low"))
    with pytest.raises(FigureError, match=r"kind \['magic'\] unknown"):
        figures.damage_frontier(few().assign(kind="magic"))
    with pytest.raises(FigureError, match="column 'near' must hold numbers"):
        figures.damage_frontier(few().assign(near="much"))


def test_the_same_frame_gives_the_same_figure_and_stays_as_it_was() -> None:
    before = few().copy()
    one, other = figures.damage_frontier(few(), damage=0.1), figures.damage_frontier(few(), damage=0.1)
    assert one.to_json() == other.to_json() and few().equals(before)
    assert not np.isnan(one.layout.height)
