"""Validation: perfect judges pass, coin flips and judges with a blind spot do not, and the cases are what they claim."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_judges import Told

from harmcircuits.judges import Case, JudgeError, Judgements, RulesJudge, Validation, load_cases, validate
from harmcircuits.judges.cases import HAVE, KINDS
from harmcircuits.judges.protocol import PROPERTIES, Property
from harmcircuits.store import StoreError

CASES = load_cases()


@dataclass
class Coin:
    """Knows nothing."""

    measures: Property = "harm"
    name: str = "coin"
    seed: int = 0

    def read(self, requests: Sequence[str], responses: Sequence[str]) -> Judgements:
        return Judgements(self.name, self.measures, np.random.default_rng(self.seed).random(len(responses)), 0.5)


def places(kind: str) -> list[int]:
    return [at for at, case in enumerate(CASES) if case.kind == kind]


@pytest.mark.parametrize("measures", PROPERTIES)
def test_a_perfect_judge_passes(measures: Property) -> None:
    validation = validate(Told(measures))
    assert validation.passed
    assert validation.failures == ()
    for name in ("auroc", "balanced_accuracy", "sensitivity", "specificity"):
        assert getattr(validation, name).value == 1
    assert 0.5 < validation.auroc.low < 1, "a perfect order of few cases is not known to be perfect"
    for kind in KINDS:
        yes, no, none = validation.confusion.loc[kind]
        assert (yes == 0) != (kind in HAVE[measures])
        assert none == 0
        assert yes + no == len(places(kind))


def test_coins_do_not_pass_and_their_auroc_is_about_a_half() -> None:
    held = 0
    for seed in range(200):
        validation = validate(Coin(seed=seed), CASES)
        assert "balanced accuracy" in validation.failures[0]
        held += (validation.auroc.low or 0) <= 0.5 <= (validation.auroc.high or 1)
    assert held >= 180


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "compliance"])
def test_a_judge_of_harm_that_takes_one_kind_for_complying_does_not_pass(kind: str) -> None:
    validation = validate(Told("harm", wrong=frozenset(places(kind))))
    assert f"of {kind} only 0.00 is judged rightly, below 0.8" in validation.failures


def test_a_case_without_a_score_is_judged_wrongly_and_is_counted() -> None:
    silent = frozenset(places("gibberish")[:10])
    validation = validate(Told("degenerate", silent=silent))
    assert validation.confusion.loc["gibberish", "no score"] == 10
    assert validation.auroc.value == 1
    assert validation.by_kind["gibberish"].value == pytest.approx(1 - 10 / len(places("gibberish")))


@pytest.mark.parametrize(("kind", "side"), [("refusal", "without"), ("compliance", "with")])
def test_cases_of_one_side_alone_give_reasons_and_no_crash(kind: str, side: str) -> None:
    some = [case for case in CASES if case.kind == kind]
    validation = validate(RulesJudge("refusal"), some)
    assert f"no case {side} the property (refusal) has a score" in str(validation.auroc.reason)
    absent = validation.specificity if kind == "refusal" else validation.sensitivity
    assert absent.is_missing
    assert validation.balanced_accuracy.is_missing
    assert not validation.passed
    assert "no balanced accuracy" in validation.failures[0]


def test_a_kind_without_a_case_is_a_failure() -> None:
    few = [case for case in CASES if case.kind != "off-topic"]
    validation = validate(Told(cases=few), few)
    assert validation.failures == ("there is no case of off-topic",)


@given(st.sets(st.integers(0, len(CASES) - 1)))
def test_figures_agree_with_the_confusion_matrix(wrong: set[int]) -> None:
    validation = validate(Told("refusal", wrong=frozenset(wrong)))
    assert validation.confusion.to_numpy().sum() == len(CASES)
    have = validation.confusion.loc[sorted(HAVE["refusal"])].sum()
    lack = validation.confusion.drop(index=sorted(HAVE["refusal"])).sum()
    assert validation.sensitivity.value == pytest.approx(have["has it"] / have.sum())
    assert validation.specificity.value == pytest.approx(lack["has it not"] / lack.sum())
    sides = (validation.sensitivity.value or 0) + (validation.specificity.value or 0)
    assert validation.balanced_accuracy.value == pytest.approx(sides / 2)
    assert validation.auroc.value == pytest.approx(sides / 2)  # of scores that are 0 or 1


def test_the_interval_of_the_balanced_accuracy_covers() -> None:
    """A judge that is right with probability 0.9 on either side: the interval holds 0.9 about 95 times in 100."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        wrong = frozenset(np.flatnonzero(rng.random(len(CASES)) < 0.1).tolist())
        balanced = validate(Told("refusal", cases=CASES, wrong=wrong)).balanced_accuracy
        held += (balanced.low or 0) <= 0.9 <= (balanced.high or 1)
    assert 180 <= held <= 199


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    validation = validate(RulesJudge("refusal"))
    validation.save(tmp_path / "refusal.json")
    assert Validation.load(tmp_path / "refusal.json") == validation
    assert json.loads((tmp_path / "refusal.json").read_text())["passed"] is validation.passed


def test_another_file_is_no_validation(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"judge": "j"}')
    with pytest.raises(JudgeError, match=r"other.json: not a saved validation"):
        Validation.load(tmp_path / "other.json")
    with pytest.raises(StoreError, match="no such file"):
        Validation.load(tmp_path / "absent.json")


def test_no_cases() -> None:
    with pytest.raises(JudgeError, match="no cases"):
        validate(Coin(), [])


def test_there_are_enough_distinct_cases_of_each_kind() -> None:
    counts = Counter(case.kind for case in CASES)
    assert sum(counts.values()) >= 200
    assert set(counts) == set(KINDS)
    assert all(counts[kind] >= (10 if kind == "empty" else 30) for kind in KINDS)
    assert len(set(CASES)) == len(CASES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "bad.jsonl, line 2: not JSON"),
        ('{"request": "a", "response": "b"}', "line 2: a case has the keys request, response and class"),
        ('{"request": "a", "response": "b", "class": "rude"}', "line 2: the class is one of refusal, partial refusal"),
        ("[]", "line 2: a case has the keys"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    good = '{"request": "a", "response": "b", "class": "refusal"}'
    (tmp_path / "bad.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(JudgeError, match=message):
        load_cases(tmp_path / "bad.jsonl")
    (tmp_path / "bad.jsonl").write_text(f"{good}\n\n")
    assert load_cases(tmp_path / "bad.jsonl") == [Case("a", "b", "refusal")]
