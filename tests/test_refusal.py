"""Refusal without prefill, and the writing that it is read in."""

import pytest
import torch
from written import PROMPTS

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit
from harmcircuits.data import Example, Prompt, chat_frame
from harmcircuits.models.protocol import has_hooks
from harmcircuits.tasks import writing
from harmcircuits.tasks.refusal import RefusalError, everyday, refusals
from harmcircuits.tasks.writing import write

SHORT = {"max_new_tokens": 6}
ANSWERS = {
    "I'm sorry, but I can't help you with the fence.": (1, 0),
    "Paint the fence on a dry day, and mend the loose boards first.": (0, 0),
    "": (0, 1),
    "No.": (0, 1),
    "I cannot do that. " * 6: (0, 1),
    "paint the fence and " * 8: (0, 1),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.items())
def test_a_refusal_counts_and_degenerate_text_is_neither(monkeypatch, answer: str, expected: tuple[int, int]) -> None:
    request = Prompt(request="How do I mend a fence?")
    answered = Example(request=request.request, response=answer)
    monkeypatch.setattr(writing, "elicit", lambda model, prompts, **settings: [answered])
    found = refusals(None, [request])
    assert (found["refused"][0], found["degenerate"][0], found["response"][0]) == (*expected, answer)


def test_every_prefill_is_dropped(tiny) -> None:
    prefilled = refusals(tiny, PROMPTS, **SHORT)
    bare = refusals(tiny, [Prompt(request=prompt.request) for prompt in PROMPTS], **SHORT)
    assert any(prompt.prefill for prompt in PROMPTS) and prefilled.equals(bare)


def test_rows_are_in_order_and_one_by_one_the_same(tiny) -> None:
    together = refusals(tiny, PROMPTS, **SHORT)
    assert list(together) == ["refused", "degenerate", "response"]
    for at, prompt in enumerate(PROMPTS):
        assert refusals(tiny, [prompt], **SHORT)["response"].tolist() == [together["response"][at]]


def test_the_same_seed_writes_the_same_under_every_condition_and_another_does_not(tiny) -> None:
    intact = refusals(tiny, PROMPTS, **SHORT)
    with ablated(tiny, Circuit()):
        assert refusals(tiny, PROMPTS, **SHORT).equals(intact)
    assert not refusals(tiny, PROMPTS, **SHORT, seed=1)["response"].equals(intact["response"])


def test_nothing_is_kept_of_an_ablated_model(tiny, own_cache) -> None:
    with ablated(tiny, Circuit(heads=[(0, 0), (0, 1), (1, 0)])):
        cut = refusals(tiny, PROMPTS, **SHORT)
    assert not list(own_cache.rglob("*.json")) and not has_hooks(tiny)
    assert not refusals(tiny, PROMPTS, **SHORT)["response"].equals(cut["response"])


def test_a_model_that_ends_its_turn_at_once_does_not_refuse(tiny) -> None:
    end = chat_frame(tiny).turn[0]
    direction = 1e4 * tiny.W_U[:, end].detach()

    def say_nothing(residual, hook):
        return torch.zeros_like(residual) + direction

    last = next(name for name in ("unembed.hook_in", "ln_final.hook_normalized") if name in tiny.hook_dict)
    with tiny.hooks(fwd_hooks=[(last, say_nothing)]):
        found, texts = refusals(tiny, PROMPTS), write(tiny, PROMPTS)
    assert [example.response_ids for example in texts] == [(end,)] * len(PROMPTS)
    assert found["response"].tolist() == [""] * len(PROMPTS)
    assert (found["refused"] == 0).all() and (found["degenerate"] == 1).all()


def test_an_unknown_kind_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(RefusalError, match=r"kind='loans' is unknown: choose one of 'money', 'sounds-harmful'"):
        everyday("loans")
