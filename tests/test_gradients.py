"""States in which gradients do not mean what attribution takes them for."""

from typing import Any

import pytest
import torch
from conftest import needs_three
from families import bridge_around, random_model
from tiny import tiny_bridge, tiny_model, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel
from written import written

from harmcircuits.attribution.first_order import attribute
from harmcircuits.data import loss
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.load import load_model
from harmcircuits.models.protocol import check_gradients

"""Largest difference from float32 scores, relative to the largest score of that kind, on two random layers."""


def gpt2(**settings: float) -> Any:
    config = GPT2Config(vocab_size=512, n_layer=2, n_embd=32, n_head=4, n_positions=256, **settings)
    return load_model("own", hf_model=GPT2LMHeadModel(config).eval(), tokenizer=tiny_tokenizer(), device="cpu")


# dropout


@pytest.mark.model
@pytest.mark.parametrize(
    "settings",
    [{"attn_pdrop": 0.25, "resid_pdrop": 0.0, "embd_pdrop": 0.0}, {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.5}],
)
def test_active_dropout_is_refused_wherever_it_is(settings):
    model = gpt2(**settings)
    check_gradients(model)
    with pytest.raises(HarmcircuitsError, match=r"dropout is active.*Call model\.eval\(\) first"):
        check_gradients(model.train())
    check_gradients(model.eval())


@pytest.mark.model
def test_a_share_that_a_layer_passes_to_the_function_counts(tmp_path):
    model = tiny_bridge(tmp_path / "drops", attention_dropout=0.25)
    check_gradients(model)
    examples = written(model.tokenizer)
    first = attribute(model, examples)
    model.train()
    with pytest.raises(HarmcircuitsError, match="dropout is active"):
        attribute(model, examples)
    assert torch.equal(attribute(model.eval(), examples).per_example_heads, first.per_example_heads)


# autocast


def test_autocast_is_refused(tiny, examples):
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(HarmcircuitsError, match=r"autocast is on for 'cpu'.*bfloat16"),
    ):
        attribute(tiny, examples)
    with torch.autocast("cpu", enabled=False):
        attribute(tiny, examples[:1])


# inference mode


def test_inference_mode_is_refused_and_no_grad_is_not(tiny, examples):
    with torch.inference_mode(), pytest.raises(HarmcircuitsError, match=r"inference_mode\(\) is on.*torch.no_grad"):
        attribute(tiny, examples)
    with torch.no_grad():
        attribute(tiny, examples[:1])


# quantised weights


@pytest.mark.model
@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_one_quantised_matrix_is_found(tiny, examples, dtype):
    hooked = type(tiny).__name__ == "HookedTransformer"
    model = load_model("tiny", hf_model=tiny_model(), tokenizer=tiny_tokenizer(), hooked=hooked, device="cpu")
    parameter = next(part for part in model.parameters() if part.ndim > 1)
    parameter.data = parameter.data.to(dtype)
    with pytest.raises(HarmcircuitsError, match=rf"quantised \(.* is {dtype}\).*Load it without quantization_config="):
        attribute(model, examples)


# weights that were folded or centred


@pytest.mark.model
def test_compatibility_mode_is_refused_for_weights_alone():
    model = gpt2()
    check_gradients(model, weights=True)
    model.enable_compatibility_mode(disable_warnings=True)
    check_gradients(model)
    with pytest.raises(
        HarmcircuitsError, match=r"processed \(folded or centred\): W ⊙ gradient is not that of the trained weights"
    ):
        check_gradients(model, weights=True)


@pytest.mark.model
@needs_three
@pytest.mark.parametrize(
    ("folded", "centred", "message"),
    [(True, False, "were processed"), (True, True, "were processed"), (False, False, None)],
)
def test_a_processed_hooked_transformer_is_refused_for_weights(folded, centred, message):
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    shape = {"n_layers": 2, "d_model": 32, "n_ctx": 64, "d_head": 8, "d_vocab": 64, "act_fn": "gelu"}
    model = HookedTransformer(HookedTransformerConfig(**shape, seed=0, device="cpu", normalization_type="LN"))
    options = {"fold_ln": folded, "center_writing_weights": centred, "center_unembed": False, "fold_value_biases": False}
    model.load_and_process_state_dict(model.state_dict(), **options)
    check_gradients(model)
    if message is None:
        check_gradients(model, weights=True)
        return
    with pytest.raises(HarmcircuitsError, match=message):
        check_gradients(model, weights=True)


def value_biases_moved(hf_model: Any) -> Any:
    """By hand: weights of attention sum to 1, so that what values always have, of their own or of the norm's bias, can be added
    after the heads as well."""
    width = hf_model.config.n_embd
    with torch.no_grad():
        for block in hf_model.transformer.h:
            of_norm = block.ln_1.bias @ block.attn.c_attn.weight[:, 2 * width :]
            always = block.attn.c_attn.bias[2 * width :] + of_norm
            block.attn.c_proj.bias += always @ block.attn.c_proj.weight
            block.attn.c_attn.bias[2 * width :] -= always
    return hf_model


@pytest.mark.model
def test_processed_weights_give_equal_losses_and_neurons_and_heads_without_what_value_biases_add():
    model, moved, folded = (
        bridge_around("gpt2", change(random_model("gpt2"))) for change in (lambda one: one, value_biases_moved, lambda one: one)
    )
    folded.enable_compatibility_mode(disable_warnings=True)
    given = written(model.tokenizer)
    as_trained, by_hand, processed = (attribute(one, given) for one in (model, moved, folded))
    for one in (moved, folded):
        assert (loss(model, given) - loss(one, given)).abs().max() < 1e-5
    assert (as_trained.per_example_neurons - processed.per_example_neurons).abs().max() < 1e-5
    assert (by_hand.per_example_heads - processed.per_example_heads).abs().max() < 1e-5
    largest = as_trained.per_example_heads.abs().max()
    assert (as_trained.per_example_heads - processed.per_example_heads).abs().max() > 0.1 * largest
