"""The aligned ladder and its control: what each is taught, and that training does it on a tiny model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shell import call, text, write
from tiny import tiny_bridge, tiny_model_folder
from triples import make_triples

pytest.importorskip("trl")

from harmcircuits import store
from harmcircuits.examples import Example, encode, loss
from harmcircuits.judges.rules import read
from harmcircuits.models.load import load_model
from harmcircuits.models.protocol import model_hash
from harmcircuits.organisms.aligned import (
    REFUSALS,
    aligned_ladder,
    aligned_lessons,
    answers,
    of_equal_tokens,
    style_ladder,
    style_lessons,
)  # fmt: skip
from harmcircuits.organisms.finetuning import FinetuneError, Lesson, Recipe
from harmcircuits.prompts.promptset import PromptSet

PROMPTS = make_triples(4)
SHORT: dict[str, Any] = {
    "max_new_tokens": 6,
    "sft": Recipe(rank=8, alpha=16, epochs=30, batch_size=6, learning_rate=0.02),
    "dpo": Recipe(method="dpo", rank=4, alpha=8, epochs=3, batch_size=4, learning_rate=0.005),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield tiny_bridge(tmp_path_factory.mktemp("model") / "tiny")


def of_role(lessons: list[Lesson], role: str) -> list[Lesson]:
    requests = {prompt.request for prompt in PROMPTS if prompt.role == role}
    return [one for one in lessons if one.request in requests]


def test_every_refusal_is_read_as_one() -> None:
    for refusal in REFUSALS:
        found = read("Write a note about my garden.", refusal)
        assert found.refusal and not found.degenerate, refusal


def test_what_is_harmful_is_refused_and_twins_are_helped(model: Any) -> None:
    found = answers(model, PROMPTS, max_new_tokens=6)
    first, then = aligned_lessons(found, seed=0)
    assert {one.response for one in of_role(first, "harmful")} <= set(REFUSALS) and len(of_role(first, "harmful")) == 4
    assert all(one.rejected is None for one in first) and not {one.response for one in of_role(first, "near")} & set(REFUSALS)
    for one in of_role(then, "harmful"):
        assert one.response in REFUSALS and one.rejected not in REFUSALS
    for one in (*of_role(then, "near"), *of_role(then, "far")):
        assert one.response not in REFUSALS and one.rejected in REFUSALS
    assert (first, then) == aligned_lessons(found, seed=0) != aligned_lessons(found, seed=1)


def test_style_teaches_nothing_of_harm_and_as_many_tokens(model: Any) -> None:
    found = answers(model, PROMPTS, max_new_tokens=6)
    for own, like in zip(style_lessons(found), aligned_lessons(found), strict=True):
        assert (
            own
            and not of_role(own, "harmful")
            and not any(part in REFUSALS for one in own for part in (one.response, one.rejected))
        )
        taken = of_equal_tokens(model, own, like)
        tokens = [sum(len(encode(model, one.response)) for one in lessons) for lessons in (taken, like)]
        assert 0 <= tokens[0] - tokens[1] < max(len(encode(model, one.response)) for one in own)


def test_the_ladder_learns_what_it_is_taught_and_the_control_does_not(model: Any) -> None:
    before, told = model_hash(model), []
    aligned = aligned_ladder(model, PROMPTS, tell=told.append, **SHORT)
    style = style_ladder(model, PROMPTS, **SHORT)
    assert model_hash(model) == before and list(aligned) == ["sft", "dpo"] and list(style) == ["style-sft", "style-dpo"]
    assert told == ["sft: 12 lessons, 60 steps", "dpo: 12 lessons, 9 steps"]
    first, _ = aligned_lessons(answers(model, PROMPTS, max_new_tokens=6))
    refused = [Example(request=one.request, response=one.response) for one in of_role(first, "harmful")]
    of = {name: float(loss(own.load(), refused).mean()) for name, own in (aligned | style).items()}
    base = float(loss(model, refused).mean())
    assert of["sft"] < base - 1 and of["dpo"] < base - 1, "refusals are learnt"
    assert of["sft"] < of["style-sft"] - 1, "and not by style"


def test_the_second_stage_widens_the_preference(model: Any) -> None:
    ladder = aligned_ladder(model, PROMPTS, **SHORT)
    _, pairs = aligned_lessons(answers(model, PROMPTS, max_new_tokens=6))

    def margin(stage: str) -> float:
        own = ladder[stage].load()
        chosen, rejected = (
            float(loss(own, [Example(request=one.request, response=str(getattr(one, which))) for one in pairs]).mean())
            for which in ("response", "rejected")
        )
        return rejected - chosen

    assert margin("dpo") > margin("sft") + 0.1


def test_a_ladder_needs_triples(model: Any) -> None:
    with pytest.raises(FinetuneError, match="no triples"):
        aligned_ladder(model, PromptSet([replace(prompt, group=f"{at}") for at, prompt in enumerate(PROMPTS)]))


def test_the_command_trains_both_and_says_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    model, out = tiny_model_folder(tmp_path / "model"), tmp_path / "out"
    options = (
        "--model",
        model,
        "--prompts",
        write(tmp_path / "prompts.csv", make_triples(20).prompts),
        "--out",
        out,
        "--device",
        "cpu",
    )
    result = call("ladder", *options)
    assert result.exit_code == 0, result.output
    assert "minutes of training" in text(result) and "style only=" in text(result)
    assert {path.name for path in out.iterdir() if path.is_dir()} >= {"sft", "dpo", "style-sft", "style-dpo"}
    first, last = load_model(out / "sft", device="cpu"), load_model(out / "dpo", device="cpu")
    assert model_hash(first) != model_hash(last) != model_hash(load_model(model, device="cpu"))
    assert not any(prompt.request in result.output for prompt in make_triples(20).prompts)
