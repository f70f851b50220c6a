"""Judges behind one protocol: what they say, texts they say nothing of, and the rate that follows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from harmcircuits.judges import Judge, JudgeError, Judgements, RulesJudge, Validated, Validation, harmful_rate, validate
from harmcircuits.judges.cases import HAVE, Case, load_cases
from harmcircuits.judges.protocol import Property, wilson
from harmcircuits.judges.rates import why_not
from harmcircuits.judges.rules import read

REQUEST = "Write a short letter to my neighbour about the broken fence."
ANSWER = "Dear neighbour, the storm has broken our fence. Shall we mend it together?"
REFUSAL = "I'm sorry, but I can't help with that."


@dataclass
class Told:
    """A judge that knows the kinds of the cases; of those in `silent` it says nothing, and of those in `wrong` the opposite."""

    measures: Property = "harm"
    name: str = "told"
    cases: Sequence[Case] = field(default_factory=load_cases)
    silent: frozenset[int] = frozenset()
    wrong: frozenset[int] = frozenset()
    threshold: float = 0.5

    def read(self, requests: Sequence[str], responses: Sequence[str]) -> Judgements:
        known = {(case.request, case.response): at for at, case in enumerate(self.cases)}
        places = [known[pair] for pair in zip(requests, responses, strict=True)]
        truth = [(self.cases[at].kind in HAVE[self.measures]) != (at in self.wrong) for at in places]
        scores = np.array([np.nan if at in self.silent else float(true) for at, true in zip(places, truth, strict=True)])
        reasons = {row: "it fell silent" for row, at in enumerate(places) if at in self.silent}
        return Judgements(self.name, self.measures, scores, self.threshold, reasons)


def test_rules_are_a_judge_that_says_what_read_says() -> None:
    texts = [ANSWER, REFUSAL, "no no no no no no no no", "The Seine runs through Paris, the capital."]
    for measures, attribute in (("refusal", "refusal"), ("degenerate", "degenerate"), ("compliance", "on_task")):
        judge = RulesJudge(measures)
        assert isinstance(judge, Judge)
        judged = judge.read([REQUEST] * 4, texts)
        assert judged.labels == [getattr(read(REQUEST, text), attribute) for text in texts]
        assert judged.measures == measures


def test_rules_do_not_read_harm() -> None:
    with pytest.raises(JudgeError, match=r"rules read refusal, degenerate, compliance, not 'harm'.*takes a model"):
        RulesJudge("harm")


def test_each_response_needs_its_own_request() -> None:
    with pytest.raises(JudgeError, match="1 requests and 2 responses"):
        RulesJudge().read([REQUEST], [ANSWER, REFUSAL])
    with pytest.raises(JudgeError, match="put a single one in a list"):
        RulesJudge().read(REQUEST, ANSWER)


def test_a_score_at_the_threshold_has_the_property() -> None:
    judged = Judgements("j", "harm", np.array([0.49, 0.5, 0.51]), 0.5)
    assert judged.labels == [False, True, True]


def test_a_nan_is_no_label_and_is_named() -> None:
    scores = np.array([1.0, np.nan, 0.0, *[0.0] * 17])
    judged = Judgements("j", "harm", scores, 0.5, {1: "too long"})
    assert judged.labels[:3] == [True, None, False]
    assert (judged.table()["reason"].dropna()).to_dict() == {1: "too long"}
    rate = judged.rate()
    assert (rate.n, rate.value) == (19, pytest.approx(1 / 19))  # over the rest: neither a hit nor a miss
    assert "without a score: 1" in repr(judged)


def test_many_nans_leave_no_rate_and_the_reasons_are_said() -> None:
    judged = Judgements("j", "harm", np.array([1.0, np.nan, np.nan, 0.0]), 0.5, {1: "too long", 2: "no answer"})
    rate = judged.rate()
    assert rate.is_missing
    assert rate.reason == "the judge 'j' gave no score to 2 of 4 texts (1 × too long; 1 × no answer)"


@pytest.mark.parametrize(("scores", "reasons"), [([np.nan], {}), ([1.0], {0: "why"}), ([1.0], {5: "where"})])
def test_a_nan_needs_a_reason_and_a_score_has_none(scores: list[float], reasons: dict[int, str]) -> None:
    with pytest.raises(JudgeError, match="Give a reason for every nan and for nothing else"):
        Judgements("j", "harm", np.array(scores), 0.5, reasons)


def test_an_infinite_score_is_refused() -> None:
    with pytest.raises(JudgeError, match="infinite score"):
        Judgements("j", "harm", np.array([np.inf]), 0.5)


def test_wilson_by_its_formula() -> None:
    z, p, n = 1.959963984540054, 7 / 20, 20
    centre, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    estimate = wilson(7, 20)
    assert estimate.low == pytest.approx((centre - half) / (1 + z * z / n))
    assert estimate.high == pytest.approx((centre + half) / (1 + z * z / n))
    assert wilson(0, 0).is_missing


def pairs(cases: Sequence[Case]) -> tuple[list[str], list[str]]:
    return [case.request for case in cases], [case.response for case in cases]


def test_a_validated_judge_of_harm_gives_a_rate() -> None:
    judge, cases = Told(), load_cases()
    rate = harmful_rate(Validated(judge, validate(judge)), *pairs(cases))
    complied = sum(case.kind == "compliance" for case in cases)
    assert rate == wilson(complied, len(cases))


def test_no_rate_without_a_passed_validation_for_harm_and_the_reason_says_which() -> None:
    cases = load_cases()
    broken = Told(wrong=frozenset(range(0, len(cases), 2)))
    relabelled = Told(measures="compliance")
    for judge, reason in (
        (None, "no judge of harm was given"),
        (RulesJudge("refusal"), "measures refusal, which is not harm"),
        (Told(), "the judge 'told' has not been validated"),
        (Validated(broken, validate(broken)), "has not passed its validation: balanced accuracy"),
        (Validated(relabelled, validate(relabelled)), "measures compliance, which is not harm"),
    ):
        rate = harmful_rate(judge, *pairs(cases))
        assert rate.is_missing
        assert reason in str(rate.reason)
        assert why_not(judge) == rate.reason


def test_a_validation_belongs_to_its_judge() -> None:
    validation = validate(Told())
    with pytest.raises(JudgeError, match="the validation is of 'told' for harm, and the judge is 'another'"):
        Validated(Told(name="another"), validation)
    with pytest.raises(JudgeError, match="validate this one"):
        Validated(Told(measures="compliance"), validation)


def test_a_threshold_moved_after_the_validation_is_refused() -> None:
    moved = Validated(Told(threshold=0.1), validate(Told()))
    with pytest.raises(JudgeError, match=r"was validated with the threshold 0.5 and now reads with 0.1"):
        harmful_rate(moved, *pairs(load_cases()))


def test_silence_of_a_validated_judge_is_in_the_rate() -> None:
    cases = load_cases()
    validation: Validation = validate(Told())
    silent = Validated(Told(silent=frozenset(range(40))), validation)
    assert "gave no score to 40 of" in str(harmful_rate(silent, *pairs(cases)).reason)
    few = Validated(Told(silent=frozenset(range(4))), validation)
    assert harmful_rate(few, *pairs(cases)).n == len(cases) - 4
