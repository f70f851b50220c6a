"""The facts, passages and everyday requests: enough, whole, unambiguous in form, and of our own writing."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest

from harmcircuits.data import Prompt, load_prompts, near_duplicate_groups
from harmcircuits.tasks.refusal import KINDS, everyday
from harmcircuits.tasks.utility import DATA, facts, passages

PUBLISHED = Path(__file__).parents[2] / "shared" / "data"
FIELDS = {
    "facts": {"stem", "right", "wrong", "topic"},
    "passages": {"text", "topic"},
    "everyday": {"request", "kind"},
}


def texts(name: str) -> list[str]:
    return {
        "facts": [fact.stem for fact in facts()],
        "passages": [passage.text for passage in passages()],
        "everyday": [prompt.request for prompt in everyday()],
    }[name]


def near_duplicates(written: list[str]) -> list[list[str]]:
    units = near_duplicate_groups([Prompt(request=text) for text in written])
    return [[written[at] for at in unit] for unit in units if len(unit) > 1]


@pytest.mark.parametrize("name", FIELDS)
def test_every_line_has_its_fields_and_plain_characters(name: str) -> None:
    lines = (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(texts(name)), "every line is read"
    for line in lines:
        assert set(json.loads(line)) == FIELDS[name] and line.isascii(), line


@pytest.mark.parametrize("name", FIELDS)
def test_no_text_is_nearly_another_one(name: str) -> None:
    assert not near_duplicates(texts(name))


def test_near_duplicates_would_be_found() -> None:
    assert near_duplicates(["The capital of the green island is", "The capital of the red island is", "Hens lay"])


@pytest.mark.parametrize(("name", "shortest", "longest"), [("facts", 2, 15), ("passages", 50, 90), ("everyday", 5, 25)])
def test_texts_have_the_length_that_is_promised(name: str, shortest: int, longest: int) -> None:
    for text in texts(name):
        assert shortest <= len(text.split()) <= longest and text == " ".join(text.split()), text


def test_there_are_enough_of_many_topics() -> None:
    assert len(facts()) >= 220 and len(passages()) >= 80
    kinds = Counter(prompt.category for prompt in everyday())
    assert set(kinds) == set(KINDS) and kinds["money"] >= 70 and kinds["sounds-harmful"] >= 30
    for items, topics, most in ((facts(), 15, 0.1), (passages(), 10, 0.15)):
        counts = Counter(item.topic for item in items)
        assert len(counts) >= topics and max(counts.values()) <= most * len(items)


@pytest.mark.parametrize("n", [18, 36])
def test_the_first_few_are_mixed(n: int) -> None:
    counts = Counter(fact.topic for fact in facts()[:n])
    assert set(counts.values()) == {n // 18}, "as many of each topic"
    assert len({passage.topic for passage in passages()[:11]}) == 11


def test_a_fact_has_one_right_completion_and_three_wrong_ones() -> None:
    for fact in facts():
        completions = (fact.right, *fact.wrong)
        assert len(fact.wrong) == 3 and len(set(map(str.casefold, completions))) == 4, fact
        assert all(completion[0] == " " and completion[1:] == completion.strip() for completion in completions), fact
        assert fact.stem == fact.stem.strip() and fact.stem[-1] not in ".?!:", fact


def test_a_stem_gives_the_answer_away_neither_by_a_word_nor_by_its_article() -> None:
    for fact in facts():
        completions = (fact.right, *fact.wrong)
        assert fact.right.strip().casefold() not in fact.stem.casefold().replace(",", "").split(), fact
        if fact.stem.endswith((" a", " an")):
            assert {completion[1] in "aeiou" for completion in completions} == {fact.stem.endswith("n")}, fact


def test_length_does_not_tell_the_right_completion() -> None:
    right = mean(len(fact.right) for fact in facts())
    wrong = mean(len(completion) for fact in facts() for completion in fact.wrong)
    assert abs(right - wrong) < 0.5
    for pick in (min, max):
        assert mean(pick((fact.right, *fact.wrong), key=len) == fact.right for fact in facts()) < 0.5


def test_no_answer_is_right_too_often() -> None:
    counts = Counter(fact.right for fact in facts())
    assert max(counts.values()) <= 4, counts.most_common(3)
    first = {completion.split()[0] for fact in facts() for completion in fact.wrong}
    shared = mean(fact.right.strip() in first for fact in facts())
    assert shared > 0.4, "many right completions are wrong elsewhere: no model does well by liking a word"


def test_a_passage_ends_as_a_text_does() -> None:
    for passage in passages():
        assert passage.text.endswith((".", '"')) and passage.text.count('"') % 2 == 0, passage


def test_everyday_requests_are_prompts_without_prefill() -> None:
    for prompt in everyday():
        assert (prompt.prefill, prompt.role, prompt.group) == ("", "far", "")
        assert prompt.request.endswith((".", "?"))
    assert everyday() == everyday("money") + everyday("sounds-harmful"), "None is both, in this order"


@pytest.mark.parametrize(
    "source",
    [
        "advbench/advbench.csv",
        "strongreject/strongreject.csv",
        "xstest/xstest_prompts.csv",
        "do_not_answer",
        "selfinstruct_seed/seed_tasks_flat.json",
    ],
)
def test_no_everyday_request_comes_from_a_published_file(source: str) -> None:
    if not (PUBLISHED / source).exists():
        pytest.skip(f"the benchmark file {source} is not here; it is not part of the package")
    assert not shared_with(load_prompts(PUBLISHED / source).prompts)


def test_no_everyday_request_is_among_the_built_in_prompts() -> None:
    assert not shared_with(load_prompts().prompts)


def shared_with(others: Sequence[Prompt]) -> list[str]:
    ours = everyday()
    units = near_duplicate_groups([*ours, *others])
    return [ours[unit[0]].request for unit in units if unit[0] < len(ours) <= unit[-1]]
