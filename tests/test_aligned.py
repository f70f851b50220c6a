"""Aligned checkpoints: what each is taught, and that training does it on a tiny model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_bridge
from triples import make_triples

pytest.importorskip("trl")

from harmcircuits import store
from harmcircuits.data import Example, Prompt, chat_frame, encode, loss
from harmcircuits.judges.rules import read
from harmcircuits.models.model_key import model_hash
from harmcircuits.organisms import aligned
from harmcircuits.organisms.aligned import REFUSALS, aligned_checkpoints, aligned_lessons, answers, whole_sentences
from harmcircuits.organisms.finetuning import FinetuneError, Lesson, Recipe
from harmcircuits.organisms.finetuning.lessons import end_of_turn

PROMPTS = make_triples(4)
SHORT: dict[str, Any] = {
    "sft": Recipe(rank=8, alpha=16, epochs=20, batch_size=6, learning_rate=0.02),
    "dpo": Recipe(method="dpo", rank=4, alpha=8, epochs=3, batch_size=4, learning_rate=0.005),
}


HELP = "Look at it. Take your time, and mend it with care."
"""What twins are answered: every other time ended by the model, else stopped in the third sentence."""


def said(model: Any, asked: Sequence[Prompt], **options: Any) -> list[Example]:
    """In the place of `elicit`: a tiny random model writes no sentences."""
    (end,) = end_of_turn(model, chat_frame(model))
    found = []
    for at, prompt in enumerate(asked):
        text = f" is how. Take {prompt.request.split()[-1]} stones.\n1. Throw" if prompt.role == "harmful" else HELP
        stopped = prompt.role == "harmful" or at % 2
        text += " At last you" if prompt.role != "harmful" and stopped else ""
        ids = (*encode(model, text), *(() if stopped else (end,)))
        found.append(Example(request=prompt.request, prefill=prompt.prefill, response=text, response_ids=ids))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        patch.setattr(aligned, "elicit", said)
        yield tiny_bridge(tmp_path_factory.mktemp("model") / "tiny")


def of_role(lessons: list[Lesson], role: str) -> list[Lesson]:
    requests = {prompt.request for prompt in PROMPTS if prompt.role == role}
    return [one for one in lessons if one.request in requests]


def test_every_refusal_is_read_as_one() -> None:
    for refusal in REFUSALS:
        found = read("Write a note about my garden.", refusal)
        assert found.refusal and not found.degenerate, refusal


def test_what_is_harmful_is_refused_and_twins_are_helped(model: Any) -> None:
    found = answers(model, PROMPTS)
    first, then = aligned_lessons(found, seed=0)
    assert {one.response for one in of_role(first, "harmful")} <= set(REFUSALS)
    for lessons in (first, then):
        assert len({*lessons}) == len(lessons) == 2 * len(of_role(lessons, "harmful")) == 16, "as much for refusals as for help"
    assert all(one.rejected is None for one in first) and not {one.response for one in of_role(first, "near")} & set(REFUSALS)
    for one in of_role(then, "harmful"):
        assert one.response in REFUSALS and one.rejected not in REFUSALS
    for one in (*of_role(then, "near"), *of_role(then, "far")):
        assert one.response not in REFUSALS and one.rejected in REFUSALS
    assert (first, then) == aligned_lessons(found, seed=0) != aligned_lessons(found, seed=1)


TEXTS = st.lists(st.sampled_from(["Go", "go", "e.g.", "1.", "end.", "Why?", '"Yes!"', "**So.**", "x"]), max_size=12)


@given(TEXTS, st.sampled_from([" ", "\n"]))
def test_a_text_is_cut_after_whole_sentences_alone(words: list[str], space: str) -> None:
    text = space.join(words)
    whole = whole_sentences(text)
    assert text.startswith(whole) and whole_sentences(whole) == whole
    if whole:
        assert text[len(whole) : len(whole) + 1] in ("", space)
        assert whole.split()[-1] in ("end.", "Why?", '"Yes!"', "**So.**", "e.g.")
    else:
        assert not {"end.", "Why?", '"Yes!"', "**So.**"} & {*words[-1:]}


def test_where_the_model_refuses_what_it_writes_after_the_prefill_is_rejected(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = PROMPTS.triples[1].harmful

    def refusing(model: Any, asked: Sequence[Prompt], **options: Any) -> list[Example]:
        refusal: dict[str, Any] = {"response": REFUSALS[0], "response_ids": tuple(encode(model, REFUSALS[0]))}
        refused = [(prompt.request, prompt.prefill) == (stubborn.request, "") for prompt in asked]
        return [replace(one, **refusal) if no else one for one, no in zip(said(model, asked), refused, strict=True)]

    monkeypatch.setattr(aligned, "elicit", refusing)
    found = answers(model, PROMPTS).harm
    assert found.pop(stubborn).startswith("Sure, here is how."), "as it was written after the prefill, and with it"
    assert not any(text.startswith("Sure") for text in found.values())
    assert not any(read("", text).refusal for text in found.values())


def test_an_answer_without_a_whole_sentence_is_no_lesson(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(model: Any, asked: Sequence[Prompt], **options: Any) -> list[Example]:
        first, *others = said(model, asked)
        text = " 1. and so on, e.g. to"
        return [replace(first, response=text, response_ids=tuple(encode(model, text))), *others]

    monkeypatch.setattr(aligned, "elicit", short)
    found = answers(model, PROMPTS)
    assert sum(not text for text in found.help.values()) == 1 == sum(not text for text in found.harm.values())
    assert [len(lessons) for lessons in aligned_lessons(found)] == [15, 13]
    monkeypatch.setattr(aligned, "elicit", lambda *args, **options: [replace(one, response_ids=(9,)) for one in said(*args)])
    with pytest.raises(FinetuneError, match=r"nothing ends in 6 tokens, not even a sentence.*Raise max_new_tokens"):
        answers(model, PROMPTS, max_new_tokens=6)


def test_checkpoints_learn_what_they_are_taught(model: Any) -> None:
    before = model_hash(model)
    alignment = aligned_checkpoints(model, PROMPTS, **SHORT)
    assert model_hash(model) == before and [own.steps[-1] for own in alignment.values()] == [60, 12]
    first, _ = aligned_lessons(answers(model, PROMPTS))
    refused = [Example(request=one.request, response=one.response) for one in of_role(first, "harmful")]
    of = {name: float(loss(own.load(), refused).mean()) for name, own in alignment.items()}
    base = float(loss(model, refused).mean())
    assert of["sft"] < base - 1 and of["dpo"] < base - 1, "refusals are learnt"
    _, pairs = aligned_lessons(answers(model, PROMPTS))

    def margin(stage: str) -> float:
        own = alignment[stage].load()
        chosen, rejected = (
            float(loss(own, [Example(request=one.request, response=str(getattr(one, which))) for one in pairs]).mean())
            for which in ("response", "rejected")
        )
        return rejected - chosen

    assert margin("dpo") > margin("sft") + 0.1
