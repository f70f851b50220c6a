"""The page says what the report says, every null with its reason; frames hold the report's numbers."""

import copy
import json
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from fake_report import FEW, NO_JUDGE, fake_report, fake_responses
from hypothesis import given, settings
from hypothesis import strategies as st
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


def test_tables_keep_numbers_and_mark_what_is_missing(full: Page) -> None:
    assert "Overlap of circuits" in full.words(inside="caption")
    assert "heads0.1235" in full.words() and "neuronsn/a" in full.words()


def test_a_named_index_heads_its_rows() -> None:
    frame = pd.DataFrame({"value": [np.float32(0.5)]}, index=pd.Index(["row one"], name="what"))
    parsed = plain({"verdict": "shared", "conditions": []}, tables={"T": frame})
    assert "row one" in parsed.words(inside="th") and "0.5" in parsed.words(inside="td")


# Structure


def test_headings_descend_by_one_and_ids_are_unique(full: Page) -> None:
    levels = [int(tag[1]) for tag, _ in full.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs in full.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert full.open == [], "every element is closed"


def test_tables_have_captions_scopes_and_a_box_of_their_own(full: Page) -> None:
    assert len(full.tags("table")) == len(full.tags("caption")) > 5
    assert all(attrs.get("scope") in ("col", "row") for attrs in full.tags("th"))
    boxes = [attrs for attrs in full.tags("div") if "scroll" in (attrs.get("class") or "")]
    assert len(boxes) == len(full.tags("table"))
    assert all(attrs["tabindex"] == "0" and attrs["role"] == "region" for attrs in boxes)
    labelled = {attrs["aria-labelledby"] for _, attrs in full.elements if "aria-labelledby" in attrs}
    assert labelled <= {attrs["id"] for _, attrs in full.elements if "id" in attrs}


def test_figures_have_a_heading_a_caption_and_a_text_alternative(full: Page) -> None:
    drawn = every_figure(fake_report())
    plots = [attrs for attrs in full.tags("div") if attrs.get("role") == "img"]
    assert [attrs["aria-label"] for attrs in plots] == [figure.layout.meta["alt"] for figure in drawn.values()]
    captions = full.words(inside="figcaption")
    for figure in drawn.values():
        assert figure.layout.title.text.replace("<br>", " ") in captions and figure.layout.meta["caption"] in captions
    assert "not shown: random (the in-place context was not measured)" in captions


def test_a_figure_of_any_kind_gets_a_heading_and_keeps_its_data() -> None:
    figure = go.Figure(go.Bar(x=["a"], y=[1]), layout={"title": "Which <b>one</b> &lt; two?"})
    html = page({"conditions": []}, figures={"name one": figure, "name two": go.Figure()}, tables={})
    parsed = Page(html)
    assert "Which one < two?" in re.sub(r"\s+", " ", parsed.words(inside="h3")) and "name two" in parsed.words(inside="h3")
    first, second = (json.loads(text) for text in parsed.scripts()[:2])
    assert first["data"][0]["x"] == ["a"] and second["data"] == []
    assert not first["layout"].get("title"), "the heading has it"
    assert figure.layout.title.text, "the caller's figure is left as it was"


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


@pytest.mark.parametrize("show", [True, False])
def test_a_run_without_responses_says_nothing_of_them(show: bool) -> None:
    assert "Responses" not in plain(fake_report(), show_responses=show).words()


# Reports that hold little, or are something else


def test_a_report_of_nothing_but_its_conditions_still_makes_a_page() -> None:
    words = plain({"conditions": [{}], "intact": None, "settings": None, "limits": None, "model": None}).words()
    assert "not recorded" in words and "No settings were recorded" in words


def test_a_model_may_be_a_name() -> None:
    assert "harmcircuits report: just-a-name" in plain(fake_report() | {"model": "just-a-name"}).words(inside="title")


def test_every_measured_value_may_be_null() -> None:
    report = fake_report()

    def blank(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {"value": None, "reason": "blank"} if "value" in tree else {key: blank(node) for key, node in tree.items()}
        return [blank(item) for item in tree] if isinstance(tree, list) else tree

    blanked = blank(report)
    words = plain(blanked, figures=every_figure(blanked)).words()
    assert "blank" in words and "0.789" not in words
    assert (summary_frame(blanked).iloc[1:, 2:] == "n/a").all(axis=None)


@pytest.mark.parametrize("broken", [{}, {"conditions": None}, {"conditions": "none"}, {"conditions": [1]}, [1, 2]])
def test_what_is_no_report_is_refused(broken: Any) -> None:
    for use in (summary_frame, rises_frame, retained_frame, plain):
        with pytest.raises(ReportError, match=r'no list "conditions"; is it the report\.json'):
            use(broken)


@pytest.mark.parametrize("wrong", ["0.5", [0.5], {"value": "0.5"}, {"low": 0.5, "value": True}])
def test_a_value_of_another_shape_is_refused_by_its_place(wrong: Any) -> None:
    report = {"conditions": [{"name": "heads", "generation": {"selectivity": wrong}}]}
    with pytest.raises(ReportError, match=r"heads: generation\.selectivity is .*; expected \{value, low, high, n\}"):
        summary_frame(report)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_json_cannot_hold_is_a_null_with_a_reason(value: float) -> None:
    found = report_values.measured({"value": value, "low": 0.0, "high": 1.0})
    assert found is not None and found.value is None and "not a finite number" in found.reason


# Frames


def test_the_summary_has_a_row_a_condition_after_the_intact_model() -> None:
    table = summary_frame(fake_report())
    assert list(table.columns) == [
        "condition", "components", "harmful rise", "near rise", "far rise", "selectivity", "retained harmful",
        "retained twin", "AUROC many-shot", "AUROC in place", "AUROC probe", "AUROC probe, request",
    ]  # fmt: skip
    assert table["condition"].tolist() == ["intact", *(condition["name"] for condition in fake_report()["conditions"])]
    assert table.loc[0].tolist() == [
        "intact",
        "none",
        *[""] * 6,
        "0.789 [0.710, 0.868]",
        "0.898 [0.808, 0.988]",
        "0.567 [0.517, 0.617]",
        "n/a",
    ]
    assert table.set_index("condition").loc["weights"].tolist() == [
        "3,333 weights", "+0.555 [+0.522, +0.588]", "+0.222 [+0.200, +0.244]", "+0.111 [+0.100, +0.122]",
        "+0.333 [+0.288, +0.377]", "0.445 [0.367, 0.523]", "0.778 [0.689, 0.867]", "0.770 [0.700, 0.840]",
        "0.880 [0.800, 0.960]", "0.550 [0.495, 0.605]", "0.440 [0.396, 0.484]",
    ]  # fmt: skip


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


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e6, 1e6))
def test_written_numbers_are_close_to_the_numbers(value: float) -> None:
    assert float(report_values.number(value)) == pytest.approx(value, abs=5.01e-4, rel=0.05)
    assert (float(report_values.number(value)) == 0) == (value == 0), "what is not zero is not written as zero"


def test_a_report_is_left_as_it_was() -> None:
    report = fake_report()
    before = copy.deepcopy(report)
    plain(report, figures=every_figure(report))
    assert report == before
