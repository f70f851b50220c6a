"""Splits: near-duplicates and triples stay whole, categories are spread, order does not matter."""

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits.data import Prompt, PromptSet, near_duplicate_groups
from harmcircuits.errors import HarmcircuitsError

WORDS = ("amber", "basket", "candle", "dolphin", "engine", "feather", "guitar", "harbour", "island", "jacket", "kettle")
BASE = "Please write a short cheerful letter that thanks my neighbour today"


def groups_of(*requests: str) -> tuple[tuple[int, ...], ...]:
    return near_duplicate_groups([Prompt(request=request) for request in requests])


def independent(count: int, **fields: str) -> list[Prompt]:
    """Prompts that share no word."""
    return [Prompt(request=f"word{i}a word{i}b word{i}c", **fields) for i in range(count)]  # type: ignore[arg-type]


WIDE = "".join(chr(ord(letter) + 0xFEE0) if letter != " " else letter for letter in BASE)
FIRST, MIDDLE, LAST = "a b c d e f g h i j", "x y c d e f g h i j", "x y c d e f g h v w"
NOTES = (
    "Please write a short note to my neighbour for feeding the cat.",
    "Please write a short note to our teacher who found a lost violin.",
    "Please write a short note to the baker about tomorrow's bread.",
)


@pytest.mark.parametrize(
    ("requests", "groups"),
    [
        *(((BASE, re.sub(rf"\b{word}\b", "extraordinarily", BASE)), ((0, 1),)) for word in BASE.split()),
        *(((BASE, copy), ((0, 1),)) for copy in (BASE.upper() + "!!", BASE.replace(" ", "  \n"), WIDE)),
        (NOTES, ((0,), (1,), (2,))),
        (("a b c d", "x b c d"), ((0,), (1,))),  # 5 of 9
        ((FIRST, LAST), ((0,), (1,))),
        ((FIRST, LAST, MIDDLE), ((0, 1, 2),)),
        (("请写一封简短的信感谢我的邻居", "请写一封简短的信感谢我的老师", "今天天气怎么样"), ((0, 1), (2,))),
        (("?!", "?!", "…", ""), ((0, 1), (2,), (3,))),
        ((), ()),
    ],
)
def test_near_duplicates(requests: tuple[str, ...], groups: tuple[tuple[int, ...], ...]) -> None:
    assert groups_of(*requests) == groups


def test_members_of_a_triple_and_of_like_triples_are_one_unit() -> None:
    first = independent(3)
    prompts = [
        *(Prompt(request=p.request, group="g", role=role) for p, role in zip(first, ("harmful", "near", "far"), strict=True)),
        Prompt(request="Name seven birds of the northern sea.", group="h"),
        Prompt(request=first[1].request.upper(), group="h", role="near"),
        Prompt(request="Boil two eggs."),
    ]
    assert near_duplicate_groups(prompts) == ((0, 1, 2, 3, 4), (5,))


requests = st.lists(st.sampled_from(WORDS), min_size=3, max_size=6).map(" ".join)
rows = st.tuples(requests, requests, requests, st.sampled_from("abc"), st.booleans())


def build(drawn: list[tuple[str, str, str, str, bool]]) -> list[Prompt]:
    """Triples, and single prompts, in three categories; few words, so that near-duplicates are common."""
    prompts = []
    for i, (harmful, near, far, category, grouped) in enumerate(drawn):
        roles = {"harmful": harmful, "near": near, "far": far} if grouped else {"harmful": harmful}
        group = f"g{i}" if grouped else ""
        prompts += [Prompt(request=t, category=category, group=group, role=r) for r, t in roles.items()]  # type: ignore[arg-type]
    return prompts


def similarity(a: str, b: str) -> float:
    """The definition, written out once more."""
    both = []
    for text in (a, b):
        words = text.split()
        both.append({*words, *pairwise(words)})
    return len(both[0] & both[1]) / len(both[0] | both[1])


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=14), st.integers(0, 5), st.randoms(use_true_random=False))
def test_parts_are_disjoint_complete_independent_and_free_of_order(drawn, seed, shuffle) -> None:  # type: ignore[no-untyped-def]
    prompts = build(drawn)
    if len(near_duplicate_groups(prompts)) < 3:
        with pytest.raises(HarmcircuitsError, match="independent units"):
            PromptSet(prompts).split(seed=seed)
        return
    parts = PromptSet(prompts).split(seed=seed)
    assert all(parts) and sorted(map(repr, prompts)) == sorted(repr(p) for part in parts for p in part)
    for one, other in combinations(parts, 2):
        assert not {p.group for p in one if p.group} & {p.group for p in other}
        assert all(similarity(p.request, q.request) < 0.6 for p in one for q in other)
    shuffled = shuffle.sample(prompts, len(prompts))
    assert [sorted(map(repr, part)) for part in PromptSet(shuffled).split(seed=seed)] == [
        sorted(map(repr, part)) for part in parts
    ]


def test_split_follows_the_fractions_in_each_category() -> None:
    prompts = [p for c in "abc" for p in (Prompt(request=f"{c}{i}x {c}{i}y", category=c) for i in range(10))]
    parts = PromptSet(prompts, "set").split(seed=7, fractions=(0.5, 0.3, 0.2))
    assert [part.table()["all"].tolist() for part in parts] == [[5, 5, 5], [3, 3, 3], [2, 2, 2]]
    assert [part.name for part in parts] == ["set/attribution", "set/development", "set/test"]
    assert [p for p in prompts if p in set(parts[0])] == list(parts[0]), "order is kept"


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.5, 0.5), (0.6, 0.4, 0.0), (1.2, -0.4, 0.2), (float("nan"),) * 3])
def test_wrong_fractions(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(HarmcircuitsError, match="three positive numbers that sum to 1"):
        PromptSet(independent(9)).split(fractions=fractions)


def test_too_few_prompts() -> None:
    with pytest.raises(HarmcircuitsError, match=r"^2 prompts in 2 independent units .* cannot fill 3 parts"):
        PromptSet(independent(2), "few").split()
    with pytest.raises(HarmcircuitsError, match="10 prompts in 1 independent units"):
        PromptSet([Prompt(request="the same words")] * 10).split()
    assert [len(part) for part in PromptSet(independent(3)).split()] == [1, 1, 1]
