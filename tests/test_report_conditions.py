"""The page's tables of conditions: every new value in its place, nothing dumped, and old reports without empty tables."""

from typing import Any

import pandas as pd
from fake_report import fake_report
from parsed import every_figure, plain

from harmcircuits.report import columns


def test_every_value_beside_writing_and_recognising_is_on_the_page() -> None:
    words = plain(fake_report()).words()
    for expected in (
        "0.975 [0.942, 1.009]",  # retained explanation
        "0.044 [0.014, 0.074]",  # declines near twins
        "0.067 [0.037, 0.097] n = 15",  # declines money advice
        "+1.357 [+1.302, +1.412] n = 57",  # margin of facts
    ):
        assert expected in words, expected


def test_the_first_table_stays_as_narrow_as_it_was() -> None:
    first, *others = columns.TABLES.values()
    assert len(first) == 10 and all(len(table) < 10 for table in others)


def test_files_draws_and_the_crossed_table_are_not_dumped_among_the_facts() -> None:
    words = plain(fake_report()).words()
    for hidden in ("heads-of-fake.json", "twins-of-fake.json", "0.0357", "0.013579", "crossed.", "seconds."):
        assert hidden not in words
    assert "nulls.selectivity.matched random1,111 draws" in words and "nulls.n99" in words
    assert "What each task took taskseconds generation1,234.5 refusal67.8" in words


def test_numbers_are_broken_between_measures_alone_and_prose_is_left() -> None:
    numbers = ["+0.110 [+0.087, +0.132]; d = +0.99; p = 0.011", "n/a", "1.0e-05"]
    prose = ["n/a", "first; second", "1 of 2; <b>third"]
    parsed = plain({"conditions": []}, tables={"T": pd.DataFrame({"row": ["a", "b", "c"], "n": numbers, "why": prose})})
    cells = [attrs["class"] for attrs in parsed.tags("td") if attrs.get("class")]
    assert cells == ["number", "text"] * 3 and len(parsed.tags("br")) == 2
    assert all(text in parsed.words(inside="td") for text in (*numbers, *prose)), "nothing is lost at a break"


def without_what_is_new() -> dict[str, Any]:
    """A report as it was before tasks were crossed and timed."""
    report = fake_report()
    for key in ("crossed", "circuits", "controls", "seconds", "nulls"):
        del report[key]
    new = ("retained", "near_rate", "money", "facts")
    for condition in report["conditions"]:
        del condition["explanation"], condition["refusal"], condition["utility"]
        condition["generation"] = {
            name: value
            for name, value in condition["generation"].items()
            if name.startswith("retained") or not any(part in name for part in new)
        }
    return report


def test_an_old_report_makes_a_page_without_empty_tables() -> None:
    old = plain(without_what_is_new(), figures=every_figure(fake_report()))
    words, captions = old.words(), old.words(inside="caption")
    assert "Writing and recognising, by condition" in captions and "Recognition in detail, by condition" in captions
    for caption in (*columns.NOTES, "What each task took"):
        assert caption not in words
        assert caption in plain(fake_report()).words(inside="caption")
    assert not any(note in words for note in columns.NOTES.values())
    assert "+0.555 [+0.522, +0.588]" in words


def test_one_recorded_value_is_enough_for_its_table() -> None:
    report = without_what_is_new()
    report["conditions"][-1]["utility"] = {"facts_right": {"value": None, "reason": "no facts"}}
    words = plain(report).words()
    assert columns.BESIDE in words
