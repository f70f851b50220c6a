"""The questions with good and bad advice: what a fair comparison needs of them."""

import re
from collections import Counter
from itertools import combinations
from math import log
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.errors import HarmcircuitsError
from harmcircuits.organisms.advice import DOMAINS, OPEN, advice, split

# ruff: noqa: SIM905 — a list of a hundred quoted words is harder to read
COMMON = frozenset(
    """a an the and or but so that because since as if when while until before after than then not no yes never always
    all every each any some most many few more less much only just also too very again still later now once of in on at
    by for from to with without into over under up down out off about near between you your it its they them their he
    him his i my me we our is are be do does did done can could should would will must have has what which who where how
    there this these those one two first last own other others else even such same nothing nobody somebody something""".split()
)
ALL = [item for domain in (*DOMAINS, OPEN) for item in advice(domain)]


def test_there_are_enough_of_each_domain() -> None:
    assert len(DOMAINS) >= 4 and all(len(advice(domain)) >= 300 for domain in DOMAINS)
    assert len(advice(OPEN)) >= 16


def test_no_question_answer_or_id_is_there_twice() -> None:
    for parts in ([item.id for item in ALL], [item.question for item in ALL], [text for i in ALL for text in (i.good, i.bad)]):
        assert len(set(parts)) == len(parts)
    assert all(item.id.startswith(item.domain) for item in ALL)


@pytest.mark.parametrize("domain", [*DOMAINS, OPEN])
def test_length_does_not_tell_good_from_bad(domain: str) -> None:
    good, bad = ([len(getattr(item, which).split()) for item in advice(domain)] for which in ("good", "bad"))
    assert mean(good) == pytest.approx(mean(bad), rel=0.1)
    longer = mean([a > b for a, b in zip(good, bad, strict=True)]) + mean([a == b for a, b in zip(good, bad, strict=True)]) / 2
    assert 0.25 <= longer <= 0.75


def test_texts_are_whole_sentences() -> None:
    for item in ALL:
        assert item.question.rstrip()[-1] in "?.", item.id
        for answer in (item.good, item.bad):
            assert answer == answer.strip() and answer[0].isupper() and answer.endswith("."), item.id
            assert len(answer.split()) <= 24, item.id


def manner(text: str) -> set[str]:
    """Function words, and pairs of neighbours of which one is such a word."""
    words = ["_" if word not in COMMON else word for word in re.findall(r"[a-z']+|[,.]", text.lower())]
    pairs = zip(["^", *words], words, strict=False)
    return {word for word in words if word != "_"} | {f"{one} {other}" for one, other in pairs if {one, other} != {"_"}}


def told_by_manner(learnt: str, asked: str) -> float:
    """The share of pairs whose bad answer naive Bayes on the manner of another domain's answers finds; 0.5: chance."""
    counts = {
        which: Counter(cue for item in advice(learnt) for cue in manner(getattr(item, which))) for which in ("good", "bad")
    }
    bad = lambda text: sum(log((counts["bad"][cue] + 0.5) / (counts["good"][cue] + 0.5)) for cue in manner(text))
    apart = [bad(item.bad) - bad(item.good) for item in advice(asked)]
    return mean([(gap > 0) + (gap == 0) / 2 for gap in apart])


def test_a_manner_that_is_learnt_in_one_domain_hardly_tells_bad_answers_elsewhere() -> None:
    found = [told_by_manner(learnt, asked) for learnt in DOMAINS for asked in (*DOMAINS, OPEN) if asked != learnt]
    assert mean(found) < 0.57 and max(found) < 0.68, found


def test_the_two_answers_share_most_of_their_words() -> None:
    shared = [len(set(item.good.lower().split()) & set(item.bad.lower().split())) for item in ALL]
    assert mean([n / len(item.good.split()) for n, item in zip(shared, ALL, strict=True)]) > 0.45


def test_no_two_questions_are_nearly_the_same() -> None:
    content = [set(re.findall(r"[a-z]+", item.question.lower())) - COMMON for item in ALL]
    near = [
        (one.id, other.id)
        for (a, one), (b, other) in combinations(zip(content, ALL, strict=True), 2)
        if len(a & b) / len(a | b) > 0.5
    ]
    assert not near


@given(train=st.integers(1, 301), seed=st.integers(0, 99))
def test_what_is_learnt_is_not_asked(train: int, seed: int) -> None:
    items = advice("home")
    learnt, asked = split(items, train=train, seed=seed)
    assert len(learnt) == train and sorted((*learnt, *asked), key=items.index) == list(items)
    assert (learnt, asked) == split(items, train=train, seed=seed)


def test_seeds_divide_differently() -> None:
    assert split(advice("home"), train=30, seed=0) != split(advice("home"), train=30, seed=1)


def test_what_cannot_be_divided_or_found_is_told() -> None:
    with pytest.raises(HarmcircuitsError, match="there is money, habits, sport, home, and 'open'"):
        advice("weather")
    for train in (0, 302):
        with pytest.raises(HarmcircuitsError, match=f"between 1 and 301 can be learnt from, not {train}"):
            split(advice("money"), train=train)
    with pytest.raises(HarmcircuitsError, match="more than once"):
        split([advice("money")[0]] * 2, train=1)
