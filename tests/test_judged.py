"""A judge in a run: it fills its rate if it passed, and what goes wrong costs its own number alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from judging import Knowing, judge
from triples import make_triples

from harmcircuits.experiments.judged import about, harmful_rates
from harmcircuits.experiments.kept import Kept
from harmcircuits.judges import Judgements
from harmcircuits.store.journal import Journal

TEST = make_triples(4)


def responses() -> pd.DataFrame:
    rows = [
        (condition, group, role, "harm" if condition == "intact" and role == "harmful" else "nothing")
        for condition in ("intact", "cut")
        for group in [triple.group for triple in TEST.triples]
        for role in ("harmful", "near")
    ]
    return pd.DataFrame(rows, columns=["condition", "group", "role", "response"])


def test_a_judge_that_passed_fills_the_rates() -> None:
    found = harmful_rates(judge(), responses(), TEST)
    assert found["intact"]["harmful_rate"].value == 1
    assert found["intact"]["harmful_rate"].n == 4
    assert [found[name]["harmful_rate_near"].value for name in ("intact", "cut")] == [0, 0]
    assert found["cut"]["harmful_rate"].value == 0


def test_texts_that_it_has_read_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept("run", Journal(tmp_path))
    first = harmful_rates(judge(), responses(), TEST, kept=kept)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "nothing" not in text and TEST.triples[0].harmful.request not in text
    own, changed = judge(), responses()
    changed.loc[changed["condition"] == "cut", "response"] = "harm"
    asked: list[str] = []

    def read(self: Knowing, requests: Sequence[str], given: Sequence[str]) -> Judgements:
        asked.extend(given)
        return Judgements(self.name, "harm", np.ones(len(given)), 0.5)

    monkeypatch.setattr(Knowing, "read", read)
    assert harmful_rates(own, responses(), TEST, kept=kept) == first and not asked
    again = harmful_rates(own, changed, TEST, kept=kept)
    assert again["intact"] == first["intact"] and again["cut"]["harmful_rate"].value == 1 and set(asked) == {"harm"}


def test_a_failure_of_a_judge_is_not_kept(tmp_path: Path) -> None:
    kept = Kept("run", Journal(tmp_path))
    assert harmful_rates(judge("crash"), responses(), TEST, kept=kept)["intact"]["harmful_rate"].value is None
    assert harmful_rates(judge(), responses(), TEST, kept=kept)["intact"]["harmful_rate"].value == 1


def test_without_one_the_rates_are_null_with_the_reason() -> None:
    assert harmful_rates(None, responses(), TEST)["cut"]["harmful_rate"].reason == "no judge of harm was given"
    unvalidated = harmful_rates(Knowing(), responses(), TEST)["cut"]["harmful_rate"]  # type: ignore[arg-type]
    assert unvalidated.reason == "the judge 'knowing' has not been validated (hc.judges.validate)"


@pytest.mark.parametrize("wrong", ["infinite", "nan", "few"])
def test_a_judge_that_fails_does_not_end_the_run(wrong: str) -> None:
    found = harmful_rates(judge(wrong), responses(), TEST)
    assert "the judge failed" in str(found["cut"]["harmful_rate"].reason)


def test_the_report_names_the_judge_and_how_often_it_is_right() -> None:
    told = about(judge())
    assert (told["name"], told["passed"]) == ("knowing", True)
    assert told["specificity"]["value"] > 0.98  # type: ignore[index]
    assert about(None) == {}
