"""Advice of one's own: read from a folder, checked, and what is wrong with it told by file and line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harmcircuits.claims.claim import ClaimError
from harmcircuits.claims.misalignment import Plan, asked_about
from harmcircuits.claims.misalignment.questions import about, all_advice, questions
from harmcircuits.organisms.advice import DOMAINS, OPEN, Advice, AdviceError, advice
from harmcircuits.organisms.own_advice import checked_advice, read_advice_folder
from harmcircuits.prompts.errors import PromptError

DISHES = ("soup", "bread", "rice")


def made(domain: str) -> list[Advice]:
    return [
        Advice(id=f"{domain}-{dish}", domain=domain, question=f"{domain}: {dish}?", good=f"Taste {dish}.", bad=f"Burn {dish}.")
        for dish in DISHES
    ]


def given() -> dict[str, list[Advice]]:
    return {domain: made(domain) for domain in ("cooking", OPEN, "garden")}


def written(folder: Path, **changed: list[dict[str, Any]]) -> Path:
    """As `given`, other than for what is changed."""
    for domain, items in given().items():
        plain = [{name: value for name, value in vars(item).items() if name != "domain"} for item in items]
        lines = [json.dumps(item) for item in changed.get(domain, plain)]
        (folder / f"{domain}.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


def test_what_is_read_from_a_folder_is_what_was_written(tmp_path: Path) -> None:
    found = read_advice_folder(written(tmp_path))
    assert {domain: list(items) for domain, items in found.items()} == given()
    assert asked_about(found) == ("cooking", "garden")


def test_the_built_in_advice_passes_its_own_check() -> None:
    built_in = {domain: advice(domain) for domain in (*DOMAINS, OPEN)}
    assert checked_advice(built_in) == built_in == all_advice(None)
    plan = Plan(train=40)
    assert questions(plan, seed=3, own=built_in) == questions(plan, seed=3)


def test_nothing_that_is_learnt_is_asked_and_open_questions_come_last() -> None:
    plan = Plan(domains=("garden",), asked=asked_about(given()), train=2)
    found = questions(plan, seed=0, own=given())
    assert [len(found.learnt[domain]) for domain in ("cooking", "garden")] == [2, 2]
    assert found.domains == ["cooking", "garden", OPEN, OPEN, OPEN]
    assert not {item.id for items in found.learnt.values() for item in items} & {item.id for item in found.asked}
    assert plan.prunings("garden", "another domain") == [("bad", "cooking")]


def test_other_words_are_other_advice_and_no_text_is_told() -> None:
    told, items = about(given()), given()
    assert told["questions"] == {"cooking": 3, "open": 3, "garden": 3} and "soup" not in json.dumps(told)
    items["cooking"][1] = replace(items["cooking"][1], bad="Burn it.")
    assert about(items)["digest"] != told["digest"] == about(given())["digest"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"garden": None}, "at least two domains is needed.*not cooking"),
        ({OPEN: None}, "open questions are missing"),
        ({"garden": made("garden")[:1]}, "garden: of 1 questions none is left to be asked"),
        ({"my garden": made("my garden")}, "letters, digits, - and _.*not 'my garden'"),
        ({"garden": made("cooking")}, "garden, item 1: its domain is 'cooking'"),
        ({"garden": [replace(item, id="one") for item in made("garden")]}, "garden, item 2: the id is that of garden, item 1"),
        (
            {"garden": [replace(item, question="cooking: soup?") for item in made("garden")]},
            "garden, item 1: the question is that of cooking, item 1",
        ),
        (
            {
                "cooking": [
                    replace(item, question=f"How do I cook good {item.id[8:]} at home for two?") for item in made("cooking")
                ],
                "garden": [replace(item, question=f"{item.id}: when?") for item in made("garden")],
            },
            "cooking, item 2: the question is nearly that of cooking, item 1: it could be learnt from and asked. Keep one.",
        ),
        (
            {
                "cooking": [
                    replace(made("cooking")[0], question="Where do I keep an old spade over winter?"),
                    *made("cooking")[1:],
                ],
                "garden": [
                    replace(made("garden")[0], question="Where do I keep my old spade over winter?"),
                    *made("garden")[1:],
                ],
            },
            "garden, item 1: the question is nearly that of cooking, item 1",
        ),
        ({"garden": [replace(item, bad=item.good) for item in made("garden")]}, "garden, item 1: the good and the bad answer"),
        ({"garden": [replace(item, good=" ") for item in made("garden")]}, "garden, item 1: 'good' must be a text"),
    ],
)
def test_advice_that_cannot_be_learnt_from_and_asked_is_refused(changed: dict[str, Any], told: str) -> None:
    items = {domain: own for domain, own in (given() | changed).items() if own is not None}
    with pytest.raises(AdviceError, match=told):
        checked_advice(items)


def test_open_questions_may_be_alike_since_they_are_only_asked() -> None:
    alike = [replace(item, question=f"What do you think about good {item.id[5:]} in general?") for item in made(OPEN)]
    items = given() | {OPEN: alike}
    assert list(checked_advice(items)[OPEN]) == alike
    items["garden"][0] = replace(items["garden"][0], question=alike[0].question.replace("in general", "at large"))
    with pytest.raises(AdviceError, match="is nearly that of"):
        checked_advice(items)


LINE = {"id": "x", "question": "Well?", "good": "Yes.", "bad": "No."}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([LINE, {"id": "y", "question": "So?", "good": "Yes."}], "garden.jsonl, line 2: the field 'bad' is missing"),
        ([LINE | {"answer": "Perhaps."}], "garden.jsonl, line 1: there is no field 'answer'"),
        ([LINE, LINE | {"id": "y", "question": 3}], "garden.jsonl, line 2: 'question' must be a text"),
        ([LINE, LINE | {"id": "y"}], "garden.jsonl, line 2: the question is that of .*garden.jsonl, line 1"),
        ([LINE | {"id": "cooking-rice"}], "garden.jsonl, line 1: the id is that of .*cooking.jsonl, line 3"),
    ],
)
def test_a_bad_line_is_told_with_its_file(tmp_path: Path, lines: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(AdviceError, match=told):
        read_advice_folder(written(tmp_path, garden=lines))


def test_what_is_no_folder_of_advice_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdviceError, match=r"no folder of advice. It has one file a domain, NAME.jsonl, and open.jsonl"):
        read_advice_folder(tmp_path / "none")
    (written(tmp_path) / "garden.jsonl").write_text('{"id": \n', "utf-8")
    with pytest.raises(PromptError, match=r"garden.jsonl, line 1: not valid JSON"):
        read_advice_folder(tmp_path)


def test_a_plan_knows_the_domains_that_there_are() -> None:
    asked = asked_about(given())
    with pytest.raises(ClaimError, match="there is no domain 'money': choose among 'cooking', 'garden'"):
        Plan(domains=("money",), asked=asked)
    with pytest.raises(ClaimError, match="a domain cannot be called 'random', which has a meaning of its own"):
        Plan(domains=("cooking",), asked=(*asked, "random"))
    with pytest.raises(AdviceError, match="of 3 questions about cooking between 1 and 2 can be learnt from, not 200"):
        questions(Plan(domains=asked, asked=asked), seed=0, own=given())


def test_of_domains_that_are_not_learnt_fewer_are_asked() -> None:
    few, every = (questions(Plan(domains=("sport", "home"), train=290, ask=ask), seed=1) for ask in (5, 0))
    assert [few.domains.count(domain) for domain in (*DOMAINS, OPEN)] == [5, 5, 12, 12, 24]
    assert [every.domains.count(domain) for domain in (*DOMAINS, OPEN)] == [12, 12, 12, 12, 24]
    assert few.learnt == every.learnt and {item.id for item in few.asked} < {item.id for item in every.asked}
    with pytest.raises(ClaimError, match="ask must be a whole number of at least 0, not -1"):
        Plan(ask=-1)


def test_nothing_that_is_learnt_of_what_is_built_in_is_asked() -> None:
    asked = questions(Plan(train=290), seed=1)
    learnt = {item.id for items in asked.learnt.values() for item in items}
    assert not learnt & {item.id for item in asked.asked}
    assert [asked.domains.count(domain) for domain in (*DOMAINS, OPEN)] == [12, 12, 12, 12, 24]
    assert [item.domain for item in asked.first(2)] == [name for name in (*DOMAINS, OPEN) for _ in range(2)]
    with pytest.raises(AdviceError, match="not 302"):
        questions(Plan(train=302), seed=1)
