"""The default model: both model classes, and transformers itself, give equal losses and scores."""

from typing import Any

import plain
import pytest
import torch
from conftest import needs_three
from transformers import AutoModelForCausalLM
from written import ANSWERS

from harmcircuits.attribution.first_order import attribute
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.data import Example, load_prompts, loss
from harmcircuits.models.load import load_model
from harmcircuits.models.packaged import ALIASES, DEFAULT, dequantised_folder, packaged_gguf

pytestmark = [pytest.mark.model, pytest.mark.real]


@pytest.fixture(scope="module")
def reference() -> Any:
    """Plain transformers on the cached weights."""
    folder = dequantised_folder(DEFAULT, ALIASES[DEFAULT].gguf_sha256, lambda: packaged_gguf(ALIASES[DEFAULT]))
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    return load_model(device="cpu"), load_model(device="cpu", hooked=True)


@pytest.fixture(scope="module")
def short() -> list[Any]:
    """The two shortest harmful built-in prompts and the two shortest near twins."""
    prompts = load_prompts()
    size = lambda prompt: (len(prompt.request + prompt.prefill), prompt.request)
    return [*sorted(prompts.harmful, key=size)[:2], *sorted(prompts.near_twins, key=size)[:2]]


def answered(model: Any, prompts: list[Any]) -> list[Example]:
    """The prompts with harmless answers; the second ends its turn."""
    ids = [model.tokenizer(answer, add_special_tokens=False).input_ids for answer in ANSWERS]
    ids[1] = [*ids[1], model.tokenizer.eos_token_id]
    return [Example(**vars(prompt), response="", response_ids=tuple(own)) for prompt, own in zip(prompts, ids, strict=True)]


def test_losses_and_scores_are_those_of_transformers(smollm2, reference, short):
    examples = answered(smollm2, short)
    losses, scores = loss(smollm2, examples), attribute(smollm2, examples)
    for index, example in enumerate(examples):
        prompt, response = plain.ids_of(smollm2, example)
        heads, neurons = plain.scores(reference, prompt, response)
        assert losses[index].item() == pytest.approx(plain.loss(reference, prompt, response), abs=1e-4)
        assert (scores.per_example_heads[index] - heads).abs().max() < 1e-4
        assert (scores.per_example_neurons[index] - neurons).abs().max() < 1e-4
    assert losses.min() > 0.1 and scores.heads.abs().max() > 0.01, "there is something to compare"


def test_weight_scores_are_those_of_transformers_one_matrix_and_example_at_a_time(smollm2, reference, short):
    examples = answered(smollm2, short)[:3]
    W = attribute_weights(smollm2, examples[:2], benign=examples[1:])
    rows = [plain.ids_of(smollm2, example) for example in examples]
    for layer in (3, 29):
        for kind in plain.LLAMA:
            name = f"blocks.{layer}.{kind}"
            signed, absolute = (
                plain.weight_scores(reference, name, rows[:2])[0],
                plain.weight_scores(reference, name, rows[1:])[1],
            )
            assert (W.signed[name] - signed).abs().max() < 1e-4 * signed.abs().max()
            assert (W.absolute[name] - absolute).abs().max() < 1e-4 * absolute.abs().max()
            assert signed.abs().max() > 1e-5, "there is something to compare"
    assert len(W.signed) == 30 * 7 and sum(map(torch.numel, W.signed.values())) == 106_168_320


@needs_three
def test_a_bridge_and_a_hooked_transformer_agree(both, short):
    bridge, hooked = both
    assert type(hooked).__name__ == "HookedTransformer" and type(bridge) is not type(hooked)
    examples = answered(bridge, short)
    assert answered(hooked, short) == examples
    assert (loss(bridge, examples) - loss(hooked, examples)).abs().max() < 1e-4
    one, two = attribute(bridge, examples), attribute(hooked, examples)
    assert (one.per_example_heads - two.per_example_heads).abs().max() < 1e-4
    assert (one.per_example_neurons - two.per_example_neurons).abs().max() < 1e-4
