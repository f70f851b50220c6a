"""The crossed table as frames: the report's numbers, units and reasons, in the order of the aims."""

from typing import Any

import pandas as pd
import pytest
from fake_report import NOT_READ, UNREAD, fake_report
from parsed import plain

from harmcircuits.report import ReportError, crossed_frames, effects_frame
from harmcircuits.report import crossed as report_crossed
from harmcircuits.report import values as report_values

ROWS = ["heads", "aimed at recognition", "aimed at explanation", "aimed at twins", "matched random"]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    found = crossed_frames(fake_report())
    assert list(found) == [report_crossed.TASKS, report_crossed.INTERACTIONS]
    return found[report_crossed.TASKS], found[report_crossed.INTERACTIONS]


def test_the_table_has_a_row_a_condition_and_a_column_a_task_with_its_unit() -> None:
    table, _ = tables()
    assert list(table.columns) == [
        "switched off", "generation (nats per token)", "recognition (log-odds)", "explanation (nats per token)",
        "refusal (share of requests)", UNREAD,
    ]  # fmt: skip
    assert table["switched off"].tolist() == ["heads (aimed at generation)", *ROWS[1:]], (
        "said once, and controls aim at nothing"
    )


def test_a_cell_says_drop_effect_and_adjusted_p_or_what_is_missing() -> None:
    table, _ = tables()
    assert table.iloc[0, 1] == "+0.110 [+0.087, +0.132]; d = +0.99 [+0.77, +1.21]; p = 0.011"
    assert table.iloc[3, 4] == "-0.005 [-0.028, +0.017]; d = -0.05 [-0.27, +0.17]; p = 0.654"
    assert table.iloc[4, 4] == "-0.007 [-0.029, +0.015]; d = n/a; p = 0.654"
    assert (table.iloc[:, 5] == "n/a").all()


def test_interactions_name_what_is_compared() -> None:
    _, pairs = tables()
    assert pairs.to_dict("records") == [
        {"between": "aimed at generation against aimed at recognition", "tasks": "generation against recognition",
         "interaction": "+1.75 [+1.42, +2.09]", "p": "0.001", "p, adjusted": "0.002"},
        {"between": "aimed at recognition against aimed at explanation", "tasks": "recognition against explanation",
         "interaction": "n/a", "p": "n/a", "p, adjusted": "n/a"},
    ]  # fmt: skip


def test_the_figures_frame_holds_the_reports_numbers_and_reasons() -> None:
    report = fake_report()
    frame = effects_frame(report)
    assert list(frame.columns) == [
        "condition", "aim", "task", "value", "low", "high", "drop", "p_adjusted", "n", "unit", "reason",
    ]  # fmt: skip
    assert len(frame) == len(report["crossed"]["cells"]) == 25
    for row, cell in zip(frame.to_dict("records"), report["crossed"]["cells"], strict=True):
        assert (row["condition"], row["aim"], row["task"]) == (cell["condition"], cell["aim"], cell["task"])
        if cell["effect"]["value"] is not None:
            assert [row[name] for name in ("value", "low", "high", "n")] == [
                cell["effect"][name] for name in ("value", "low", "high", "n")
            ]
            assert (row["drop"], row["p_adjusted"]) == (cell["drop"]["value"], cell["p_adjusted"]["value"])
            assert pd.isna(row["reason"])
    last = frame[frame["condition"] == "matched random"].set_index("task")
    assert last.loc["refusal", "reason"] == "all triples fall by the same amount"
    assert last.loc["refusal", "drop"] == -0.006833 and last.loc["refusal", "n"] == 99, "the drop is known all the same"
    assert last.loc[UNREAD, "reason"] == NOT_READ and pd.isna(last.loc[UNREAD, "value"])


@pytest.mark.parametrize("broken", [3, {"cells": [1]}])
def test_another_shape_is_refused_with_the_cure(broken: Any) -> None:
    for use in (crossed_frames, effects_frame, plain):
        with pytest.raises(ReportError, match=r"crossed cells are .*; expected a list of objects\. Run the measurement again"):
            use({"conditions": [], "crossed": broken})


# On the page


def test_the_page_shows_both_tables_and_lists_each_null_once() -> None:
    report = fake_report()
    parsed = plain(report, tables=crossed_frames(report))
    words, captions = parsed.words(), parsed.words(inside="caption")
    assert report_crossed.TASKS in captions and report_crossed.INTERACTIONS in captions
    assert "+0.110 [+0.087, +0.132]; d = +0.99 [+0.77, +1.21]; p = 0.011" in words
    assert f"crossed: {UNREAD} ({', '.join(ROWS)})" in words, "once, and not for drop, effect and both p"
    assert "crossed: refusal (matched random)" in words
    assert "crossed: interaction (aimed at recognition against aimed at explanation)" in words


def test_nulls_of_the_crossed_table_have_an_owner_and_a_reason() -> None:
    own = [found for found in report_values.nulls(fake_report()) if found.field.startswith("crossed")]
    assert len(own) == len(set(own)) == 7
    assert own[-2:] == [
        report_values.Null("matched random", f"crossed.{UNREAD}", NOT_READ),
        report_values.Null("aimed at recognition against aimed at explanation", "crossed.interaction", NOT_READ),
    ]
