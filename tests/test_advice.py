"""The questions with good and bad advice: what a fair comparison needs of them."""

from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.organisms.advice import DOMAINS, OPEN, AdviceError, advice, divided, open_questions

ALL = [item for domain in (*DOMAINS, OPEN) for item in advice(domain)]


def test_there_are_enough_of_each_domain() -> None:
    assert len(DOMAINS) >= 4 and all(len(advice(domain)) >= 60 for domain in DOMAINS)
    assert len(open_questions()) >= 16


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


@given(train=st.integers(1, 61), seed=st.integers(0, 99))
def test_what_is_learnt_is_not_asked(train: int, seed: int) -> None:
    items = advice("home")
    learnt, asked = divided(items, train=train, seed=seed)
    assert len(learnt) == train and sorted((*learnt, *asked), key=items.index) == list(items)
    assert (learnt, asked) == divided(items, train=train, seed=seed)


def test_seeds_divide_differently() -> None:
    assert divided(advice("home"), train=30, seed=0) != divided(advice("home"), train=30, seed=1)


def test_what_cannot_be_divided_or_found_is_told() -> None:
    with pytest.raises(AdviceError, match="there is money, habits, sport, home, and 'open'"):
        advice("weather")
    for train in (0, 62):
        with pytest.raises(AdviceError, match=f"between 1 and 61 can be learnt from, not {train}"):
            divided(advice("money"), train=train)
    with pytest.raises(AdviceError, match="more than once"):
        divided([advice("money")[0]] * 2, train=1)
