"""Writing in recognition's own context: the same response, in plain text after the labelled requests."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from triples import TRAIN
from written import written

from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit
from harmcircuits.examples import Example, ExampleError, Prompt, encode
from harmcircuits.models.protocol import logits_at, vocabulary
from harmcircuits.tasks.formats import SHOT_FORMATS
from harmcircuits.tasks.plain_text import plain_rows, plain_text_loss
from harmcircuits.tasks.recognition import Shots, make_shots, shot_ids

END = "<|im_end|>"


@pytest.fixture
def shots() -> Shots:
    form = replace(SHOT_FORMATS[0], n_shots=4)
    return make_shots(TRAIN.prompts, form, draws=2)


@pytest.fixture
def examples(tiny: Any) -> list[Example]:
    return written(vocabulary(tiny))


def by_hand(model: Any, example: Example, shots: Shots) -> float:
    """The whole text as one row, without padding and without a cache: shots, request, prefill, response."""
    stop = vocabulary(model).convert_tokens_to_ids(END)
    response = [token for token in example.response_ids or () if token != stop]
    asked = encode(model, f"\n\nRequest: {example.request}\nResponse: {example.prefill}")
    tokens = [*shot_ids(model, shots, 0), *asked, *response]
    first = len(tokens) - len(response)
    with torch.no_grad():
        row = torch.tensor([tokens])
        logits = logits_at(model, row, torch.ones_like(row), torch.arange(first - 1, len(tokens) - 1))
    return float(-logits.float().log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)].mean())


def test_it_is_the_loss_in_one_unpadded_text(tiny: Any, examples: list[Example], shots: Shots) -> None:
    found = plain_text_loss(tiny, examples, shots)
    assert found.dtype == torch.float32
    expected = torch.tensor([by_hand(tiny, example, shots) for example in examples])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_batched_is_one_by_one(tiny: Any, examples: list[Example], shots: Shots) -> None:
    together = plain_text_loss(tiny, examples, shots)
    torch.testing.assert_close(plain_text_loss(tiny, examples, shots, batch_size=1), together, atol=1e-4, rtol=1e-4)
    alone = torch.cat([plain_text_loss(tiny, [example], shots) for example in examples[::-1]])
    torch.testing.assert_close(alone.flip(0), together, atol=1e-4, rtol=1e-4)


def test_under_an_ablation_the_shots_are_read_under_it_too(tiny: Any, examples: list[Example], shots: Shots) -> None:
    with ablated(tiny, Circuit(heads=[(0, 1)], neurons=[(0, 3)])):
        found = plain_text_loss(tiny, examples, shots)
        expected = torch.tensor([by_hand(tiny, example, shots) for example in examples])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_end_of_turn_is_not_asked(tiny: Any, examples: list[Example], shots: Shots) -> None:
    """It is a token of the chat, and plain text has none."""
    stop = vocabulary(tiny).convert_tokens_to_ids(END)
    ended = [example for example in examples if example.response_ids and example.response_ids[-1] == stop]
    assert ended, "some of them end their turn"
    without = [replace(example, response_ids=(example.response_ids or ())[:-1]) for example in ended]
    torch.testing.assert_close(plain_text_loss(tiny, ended, shots), plain_text_loss(tiny, without, shots))
    assert all(stop not in row.tokens for row in plain_rows(tiny, examples))


def test_a_response_of_nothing_but_an_end_of_turn_is_not_read(tiny: Any, examples: list[Example], shots: Shots) -> None:
    stop = vocabulary(tiny).convert_tokens_to_ids(END)
    silent = replace(examples[1], response="", response_ids=(stop,))
    found = plain_text_loss(tiny, [examples[0], silent, examples[2]], shots)
    assert found.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(found[[0, 2]], plain_text_loss(tiny, [examples[0], examples[2]], shots), atol=1e-4, rtol=1e-4)
    assert plain_text_loss(tiny, [silent], shots).isnan().all()


def test_only_the_first_draw_of_the_shots_counts(tiny: Any, examples: list[Example], shots: Shots) -> None:
    first = Shots(shots.form, shots.draws[:1])
    other = Shots(shots.form, shots.draws[1:])
    assert torch.equal(plain_text_loss(tiny, examples, first), plain_text_loss(tiny, examples, shots))
    assert not torch.allclose(plain_text_loss(tiny, examples, other), plain_text_loss(tiny, examples, shots), atol=1e-4)


def test_a_prompt_and_an_empty_response_are_named(tiny: Any, examples: list[Example], shots: Shots) -> None:
    with pytest.raises(ExampleError, match="has an empty response"):
        plain_text_loss(tiny, [replace(examples[0], response="", response_ids=())], shots)
    with pytest.raises(ExampleError, match="has no response: elicit it first"):
        plain_text_loss(tiny, [Prompt(request="bake")], shots)  # type: ignore[list-item]
