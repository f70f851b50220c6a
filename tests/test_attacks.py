"""How the model is brought to answer: no prefill, some of it, or all; twins stay twins under every attack."""

from collections import defaultdict
from typing import Any

import pytest
from triples import TEST

from harmcircuits.data import Prompt, PromptSet, encode
from harmcircuits.tasks.attacks import ALL, AttackError, attacked, prefill_tokens

NOBODY: Any = object()
"""A model that nothing can be encoded with."""
LONG = PromptSet(
    tuple(
        Prompt(request=f"{word} a letter", prefill=prefill, category="letters", group=f"g{at}", role=role)
        for at, prefill in enumerate(["Sure, here are the steps: mix, wait, bake.", "", " Hello", "Ünïcödé — naïve"])
        for role, word in (("harmful", "Burn"), ("near", "Write"), ("far", "Send"))
    ),
    "letters",
)


@pytest.mark.parametrize(
    ("attack", "tokens"), [("none", 0), ("prefill", ALL), ("prefill:1", 1), ("prefill:4", 4), ("prefill:32", 32)]
)
def test_the_known_words(attack: str, tokens: int) -> None:
    assert prefill_tokens(attack) == tokens


@pytest.mark.parametrize(
    "attack", ["", "None", "prefil", "prefill:", "prefill:0", "prefill:-1", "prefill:1.5", "prefill:four", "none:1", "suffix:2"]
)
def test_another_word_is_an_error_that_names_the_known_ones(attack: str) -> None:
    with pytest.raises(
        AttackError, match=r"is unknown: give none, prefill, or prefill:K with K tokens of the prefill"
    ) as error:
        prefill_tokens(attack)
    assert repr(attack) in str(error.value)


def test_the_whole_prefill_changes_nothing() -> None:
    assert attacked(NOBODY, LONG) is LONG
    assert attacked(NOBODY, LONG, tokens=prefill_tokens("prefill")) is LONG


def test_none_drops_every_prefill_and_nothing_else() -> None:
    found = attacked(NOBODY, LONG, tokens=prefill_tokens("none"))
    assert {prompt.prefill for prompt in found} == {""}
    assert found.name == LONG.name
    for bare, prompt in zip(found, LONG, strict=True):
        assert vars(bare) | {"prefill": prompt.prefill} == vars(prompt)
    assert [triple.group for triple in found.triples] == [triple.group for triple in LONG.triples]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_first_tokens_are_kept(tiny: Any, k: int) -> None:
    found = attacked(tiny, LONG, tokens=k)
    for kept, whole in zip(found, LONG, strict=True):
        assert vars(kept) | {"prefill": whole.prefill} == vars(whole)
        if whole.prefill.isascii():
            assert encode(tiny, kept.prefill) == encode(tiny, whole.prefill)[:k]


def test_twins_share_what_is_left(tiny: Any) -> None:
    for prompts in (LONG, TEST):
        for k in (0, 1, 3, ALL):
            shared = defaultdict(set)
            for prompt in attacked(tiny, prompts, tokens=k):
                shared[prompt.group].add(prompt.prefill)
            assert all(len(prefills) == 1 for prefills in shared.values())


def test_more_tokens_than_there_are_is_all_of_it(tiny: Any) -> None:
    assert attacked(tiny, LONG, tokens=1000).prompts == LONG.prompts
