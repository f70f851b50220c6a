"""The page says what the report says, every null with its reason; frames hold the report's numbers."""

import json
import re
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from fake_report import FEW, NO_JUDGE, fake_report, fake_responses
from parsed import Page, every_figure, plain

from harmcircuits.report import ReportError, page, retained_frame, rises_frame, summary_frame
from harmcircuits.report import values as report_values


@pytest.fixture(scope="module")
def full_html() -> str:
    report = fake_report()
    table = pd.DataFrame({"circuit": ["heads", "neurons"], "Jaccard": [0.123456, None]})
    return page(report, figures=every_figure(report), tables={"Overlap of circuits": table}, responses=fake_responses())


@pytest.fixture(scope="module")
def full(full_html: str) -> Page:
    return Page(full_html)


# What it says


def test_the_page_answers_first(full: Page) -> None:
    report, words = fake_report(), full.words(inside="main")
    order = [report["verdict_sentence"], *report["verdict_reasons"], "Key numbers", "Which attention heads", "Method and"]
    places = [words.index(part) for part in order]
    assert places == sorted(places)
    assert full.words(inside="title") == "harmcircuits report: fake-model-0b"
    assert "99 triples" in full.words(inside="header")


def test_every_value_and_interval_of_a_condition_is_on_the_page(full: Page) -> None:
    words = full.words()
    for expected in (
        "+0.555 [+0.522, +0.588]",  # harmful rise of weights
        "+0.333 [+0.288, +0.377]",  # their selectivity
        "0.445 [0.367, 0.523]",  # retained harmful
        "-0.111 [-0.156, -0.067]",  # selectivity aimed at twins
        "circuit, 3,333 weights",
        "0.789 [0.710, 0.868]",  # intact many-shot
        "0.777 [0.727, 0.827]",  # intact request information, in no column of the tables
        "0.975 [0.942, 1.009]",  # retained explanation
        "0.067 [0.037, 0.097] n = 15",  # declines money advice
    ):
        assert expected in words, expected


def test_settings_limits_and_reproduction_are_exact(full: Page) -> None:
    report, words = fake_report(), full.words()
    for expected in (*report["limits"], report["sensitivity_before_run"], report["reproduce"], "0" * 64):
        assert expected in words
    for name, value in report["settings"].items():
        assert f"{name}{value if isinstance(value, str) else json.dumps(value)}" in words
    assert "seed12345" in words and "transformer_lens_version0.0.0" in words and "model.dtypefloat32" in words


def test_each_null_leads_to_its_reason(full: Page) -> None:
    words = full.words()
    for reason in (NO_JUDGE, FEW, "the in-place context was not measured"):
        assert reason in words
    assert "dissociation: p value (label-swap)" in words
    targets = {attrs["id"] for _, attrs in full.elements if "id" in attrs}
    links = [attrs["href"] for attrs in full.tags("a")]
    assert {link[1:] for link in links if link} <= targets
    in_tables = [null for null in report_values.nulls(fake_report()) if not null.field.startswith("crossed")]
    assert len([link for link in links if link and link.startswith("#reason-")]) >= len(in_tables) > 10


# Structure


def test_headings_descend_by_one_and_ids_are_unique(full: Page) -> None:
    levels = [int(tag[1]) for tag, _ in full.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs in full.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert full.open == [], "every element is closed"


def test_figures_have_a_heading_a_caption_and_a_text_alternative(full: Page) -> None:
    drawn = every_figure(fake_report())
    plots = [attrs for attrs in full.tags("div") if attrs.get("role") == "img"]
    assert [attrs["aria-label"] for attrs in plots] == [figure.layout.meta["alt"] for figure in drawn.values()]
    captions = full.words(inside="figcaption")
    for figure in drawn.values():
        assert figure.layout.title.text.replace("<br>", " ") in captions and figure.layout.meta["caption"] in captions
    assert "not shown: random (the in-place context was not measured)" in captions


def test_plotly_is_in_the_page_once_and_only_with_figures(full: Page) -> None:
    assert sum("Plotly=" in text or "plotly.js v" in text for text in full.scripts()) == 1
    without = page(fake_report(), figures={}, tables={})
    assert "<script" not in without and len(without) < 200_000


# Responses


def test_responses_are_not_on_the_page_unless_asked_for(full_html: str, full: Page) -> None:
    for column in ("request", "response"):
        for text in fake_responses()[column]:
            assert text not in full_html
    assert "2 responses were recorded" in full.words()


def test_responses_asked_for_are_folded_behind_a_warning() -> None:
    parsed = plain(fake_report(), responses=fake_responses(), show_responses=True)
    folded = parsed.words(inside="details")
    assert all(text in folded for text in fake_responses()["response"])
    assert folded.index("Warning") < folded.index(fake_responses()["response"][0])
    assert parsed.tags("details") == [{}], "closed at first"


# Reports that hold little, or are something else


def test_a_report_of_nothing_but_its_conditions_still_makes_a_page() -> None:
    words = plain({"conditions": [{}], "intact": None, "settings": None, "limits": None, "model": None}).words()
    assert "not recorded" in words and "No settings were recorded" in words


@pytest.mark.parametrize("broken", [{}, {"conditions": [1]}, [1, 2]])
def test_what_is_no_report_is_refused(broken: Any) -> None:
    for use in (summary_frame, rises_frame, retained_frame, plain):
        with pytest.raises(ReportError, match=r'no list "conditions"; is it the report\.json'):
            use(broken)


@pytest.mark.parametrize("wrong", ["0.5", {"low": 0.5, "value": True}])
def test_a_value_of_another_shape_is_refused_by_its_place(wrong: Any) -> None:
    report = {"conditions": [{"name": "heads", "generation": {"selectivity": wrong}}]}
    with pytest.raises(ReportError, match=r"heads: generation\.selectivity is .*; expected \{value, low, high, n\}"):
        summary_frame(report)


# Frames


def test_frames_for_figures_hold_the_reports_numbers_and_reasons() -> None:
    report = fake_report()
    rises = rises_frame(report).set_index(["condition", "role"])
    assert rises.loc[("weights", "near"), ["value", "low", "high"]].tolist() == [0.2222, 0.2, 0.2444]
    retained = retained_frame(report).set_index("condition")
    assert retained.loc["weights", ["retained_harmful", "retained_harmful_low"]].tolist() == [0.445, 0.3673]
    assert pd.isna(retained.loc["random", "recognition"])
    assert retained.loc["random", "reason"] == "the in-place context was not measured"
    assert pd.isna(retained.loc["weights", "reason"])
    assert retained.loc["weights", "recognition"] == 0.88
    assert set(retained["intact"]) == {0.898}
    report["settings"]["primary reading of recognition"] = "probe at the answer, after layer 11"
    assert retained_frame(report).set_index("condition").loc["weights", ["recognition", "intact"]].tolist() == [0.55, 0.567]
