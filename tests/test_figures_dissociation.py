"""Rises, retained and nulls: values, intervals as they are, and nothing left out silently."""

import pandas as pd
import pytest
from drawn import FULL, RISES, floats, lines, one, retained_row, rise_rows, traces
from fake_report import fake_draws, fake_report

from harmcircuits import figures
from harmcircuits.figures import FigureError, style
from harmcircuits.report import rises_frame

# Rises


def test_rises_draw_values_and_intervals_as_they_are() -> None:
    # the second interval does not hold its estimate, as a bootstrap's need not
    frame = rise_rows(
        ("heads", "circuit", "harmful", 0.5, 0.25, 0.75),
        ("heads", "circuit", "near", 0.25, 0.375, 0.5),
        ("all", "random", "harmful", -0.5, -1.0, 0.0),
    )
    figure = figures.rises(frame)
    harmful, near = one(traces(figure, "harmful requests")), one(traces(figure, "near twins"))
    assert floats(harmful.x) == [0.5, -0.5] and floats(near.x) == [0.25]
    assert [x for x, _ in lines(figure, "harmful")] == [[0.25, 0.75], [-1.0, 0.0]]
    assert [x for x, _ in lines(figure, "near")] == [[0.375, 0.5]]
    assert [y for _, y in lines(figure, "harmful")] == [[y, y] for y in floats(harmful.y)]
    assert (harmful.marker.color, near.marker.color) == (style.VERMILLION, style.BLUE)
    low, high = figure.layout.xaxis.range
    assert low < -1.0 and high > 0.75


def test_rises_keep_the_conditions_order_and_name_each_once() -> None:
    report = fake_report()
    figure = figures.rises(rises_frame(report))
    names = [condition["name"] for condition in report["conditions"]]
    labels = [label.text for label in figure.layout.annotations]
    assert len(labels) == len(names) and all(f"<b>{name}</b>" in label for name, label in zip(names, labels, strict=True))
    tops = [label.y for label in figure.layout.annotations]
    assert tops == sorted(tops) and figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # downwards


def test_a_missing_rise_is_named_with_its_reason_and_not_drawn() -> None:
    frame = rise_rows(("heads", "circuit", "harmful", 0.5, 0.25, 0.75), ("heads", "circuit", "far", None, None, None)).assign(
        reason=[None, "no far twins"]
    )
    figure = figures.rises(frame)
    assert "not shown: heads, far (no far twins)" in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert floats(one(traces(figure, "far twins")).x) == []


def test_a_value_without_an_interval_is_drawn_without_one() -> None:
    figure = figures.rises(rise_rows(("heads", "circuit", "harmful", 0.5, None, None)))
    assert floats(one(traces(figure, "harmful requests")).x) == [0.5]
    assert lines(figure, "harmful") == []
    assert "no interval" in one(traces(figure, "harmful requests")).text[0]


def test_rises_name_what_is_missing_or_unknown() -> None:
    with pytest.raises(FigureError, match=r"rises needs the columns .*; missing: \['low', 'high'\]"):
        figures.rises(pd.DataFrame(columns=RISES[:4]))
    with pytest.raises(FigureError, match=r"role \['benign'\] unknown; use one of \['harmful', 'near', 'far'\]"):
        figures.rises(rise_rows(("heads", "circuit", "benign", 0.5, 0.25, 0.75)))
    with pytest.raises(FigureError, match="column 'value' must hold numbers"):
        figures.rises(rise_rows(("heads", "circuit", "near", "much", 0.25, 0.75)))


# Retained


def test_retained_draws_both_intervals_the_hollow_twin_and_the_line_between() -> None:
    figure = figures.retained(retained_row(**FULL))
    hollow, filled = traces(figure, "1: heads")
    assert (floats(filled.x), floats(filled.y)) == ([0.5], [0.9375])
    assert (floats(hollow.x), floats(hollow.y)) == ([0.875], [0.9375])
    assert hollow.marker.symbol == "circle-open" and filled.marker.symbol == "circle"
    assert lines(figure, "1: heads") == [
        ([0.5, 0.875], [0.9375, 0.9375]),
        ([0.375, 0.625], [0.9375, 0.9375]),
        ([0.5, 0.5], [0.8125, 1.0625]),
    ]


def test_retained_has_dashed_lines_at_the_intact_model_inside_its_ranges() -> None:
    figure = figures.retained(retained_row(**FULL).assign(intact=0.75))
    dashed = [(floats(line.x), floats(line.y)) for line in figure.data if line.name == "intact"]
    assert dashed[0][0] == [1, 1] and dashed[1][1] == [0.75, 0.75]
    assert [floats(line.y) for line in figure.data if line.name == "chance"] == [[0.5, 0.5]]
    for axis, values in ((figure.layout.xaxis, [0.375, 1]), (figure.layout.yaxis, [0.5, 1.0625])):
        assert axis.range[0] < min(values) and axis.range[1] > max(values)


@pytest.mark.parametrize("intact", [None, float("nan")])
def test_without_the_intact_models_auroc_there_is_no_line_for_it(intact: float | None) -> None:
    figure = figures.retained(retained_row(**FULL).assign(intact=intact))
    assert [floats(line.x) for line in figure.data if line.name == "intact"] == [[1, 1]]


def test_circuits_have_an_entry_each_and_controls_one_a_kind() -> None:
    kinds = ["circuit", "matched-random", "circuit", "matched-random", "label-swap", "aimed-at-twins"]
    frame = pd.concat([retained_row(**FULL, condition=f"c{at}", kind=kind) for at, kind in enumerate(kinds)])
    figure = figures.retained(frame)
    entries = {trace.name: trace for trace in figure.data if trace.showlegend and trace.legendgroup}
    assert set(entries) == {"1: c0", "2: c2", "3: c5 (aimed at twins)", "matched random (2)", "label swap (1)"}
    colours = {name: trace.marker.color for name, trace in entries.items()}
    assert colours["1: c0"] == colours["2: c2"] == style.VERMILLION and colours["3: c5 (aimed at twins)"] == style.BLUE
    assert colours["matched random (2)"] == colours["label swap (1)"] == style.GREY
    assert entries["matched random (2)"].marker.symbol != entries["label swap (1)"].marker.symbol


def test_a_missing_twin_leaves_the_point_and_no_line() -> None:
    figure = figures.retained(retained_row(**FULL | {"retained_twin": None}))
    assert floats(traces(figure, "1: heads")[1].x) == [0.5]
    assert [x for x, _ in lines(figure, "1: heads")] == [[0.375, 0.625], [0.5, 0.5]]


@pytest.mark.parametrize("column", ["retained_harmful", "recognition"])
def test_a_condition_that_cannot_be_placed_is_named_with_its_reason(column: str) -> None:
    figure = figures.retained(retained_row(**FULL | {column: None}, reason="intact at chance"))
    assert "not shown: heads (intact at chance)" in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert traces(figure, "1: heads") == []


def test_retained_refuses_a_kind_it_does_not_know() -> None:
    with pytest.raises(FigureError, match=r"kind \['magic'\] unknown"):
        figures.retained(retained_row(**FULL, kind="magic"))


# Nulls


def test_nulls_draw_every_draw_and_count_those_that_reach_the_observed() -> None:
    frame = pd.DataFrame({"null": ["a"] * 3 + ["b"] * 2, "value": [0.1, 0.3, 0.5, 0.2, None]})
    figure = figures.scatter_null(0.3, frame, low=0.0, high=0.4)
    assert [label.text for label in figure.layout.annotations] == ["<b>a</b> 2 of 3 ≥ observed", "<b>b</b> 0 of 1 ≥ observed"]
    assert [floats(trace.x) for trace in traces(figure, "null draws")] == [[0.1, 0.3, 0.5], [0.2]]
    assert floats(one(traces(figure, "observed", "lines")).x) == [0.3, 0.3]
    assert figure.layout.title.subtitle.text == "not shown: 1 draws without a value"
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1) == (0.0, 0.4), "an interval that begins at zero is an interval"
    assert "95 % interval 0.000 to 0.400" in one(traces(figure, "observed", "lines")).text[0]


def test_nulls_refuse_an_observed_value_that_is_none() -> None:
    with pytest.raises(FigureError, match="nan; there is nothing to compare"):
        figures.scatter_null(float("nan"), fake_draws())
