"""Labels keep their place, their order and their distance, and fit a phone."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits.figures import style
from harmcircuits.figures.line_ends import label_heights
from harmcircuits.notebook import notebook_html


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1, width=16), min_size=2, max_size=9))
def test_numbers_of_one_column_are_a_line_of_text_apart_in_order_and_inside(ends: list[float]) -> None:
    found = np.array(label_heights([(1.0, y) for y in ends], across=[0, 1], up=[0, 1], height=250)) * 250
    order = np.argsort(ends, kind="stable")
    assert (np.diff(found[order]) >= 13 - 1e-6).all()
    assert found.min() >= 8 - 1e-6 and found.max() <= 250 - 8 + 1e-6


def test_numbers_that_do_not_meet_stay_at_their_ends() -> None:
    ends = [(1.0, 0.25), (1.0, 0.75), (0.5, 0.25)]
    assert label_heights(ends, across=[0, 1], up=[0, 1], height=250) == [0.25, 0.75, 0.25]


def test_a_long_row_label_is_shortened_as_a_whole() -> None:
    drawn = style.figure(title="what?", height=120, caption="c", alt="a")
    style.row_labels(drawn, [("Would that hurt anybody? Answer: Yes/No, 16 shots", "many-shot, 16 shots"), ("short", "probe")])
    assert [label.text for label in drawn.layout.annotations] == [
        "<b>Would that hurt anybody? Answer:…</b> many-shot, 16 shots",
        "<b>short</b> probe",
    ]


def test_on_a_phone_no_buttons_lie_over_the_title_of_a_notebooks_figure() -> None:
    page = notebook_html("one", figure=lambda: style.figure(title="what?", height=120, caption="c", alt="a"))
    assert "@media (max-width: 700px) { .modebar { display: none; } }" in page
