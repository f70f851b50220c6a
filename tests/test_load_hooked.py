"""`load_model(hooked=True)`: a `HookedTransformer` with the logits and weights of transformers, or what it says instead."""

import pytest
import torch
from comparisons import TOKENS, close, reference
from conftest import LENS, needs_three
from families import random_model
from tiny import tiny_bridge, tiny_model_folder, tiny_tokenizer
from transformers import AutoModelForCausalLM

from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.load import load_model

pytestmark = pytest.mark.model


@needs_three
@pytest.mark.parametrize(
    "settings",
    [
        {"n_heads": 4, "n_kv": 2},
        {"n_heads": 4, "n_kv": 2, "rms_norm_eps": 1e-3},
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 50.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        },
    ],
    ids=["grouped", "epsilon", "llama3"],
)
def test_hooked_transformer_has_the_logits_and_weights_of_transformers(tmp_path, settings):
    folder = tiny_model_folder(tmp_path / "model", **settings)
    hooked = load_model(folder, device="cpu", hooked=True)
    bridge = load_model(folder, device="cpu")
    assert type(hooked).__name__ == "HookedTransformer"
    assert close(hooked(TOKENS), reference(folder), 2e-5)
    assert not hooked.training and not any(parameter.requires_grad for parameter in hooked.parameters())
    norms = AutoModelForCausalLM.from_pretrained(folder).model.layers[1].input_layernorm.weight
    assert torch.equal(hooked.blocks[1].ln1.w, norms)  # nothing folded
    assert hooked.tokenizer.pad_token == "<pad>"
    assert hooked.to_tokens("Here is how").tolist() == bridge.to_tokens("Here is how").tolist()
    z = [model.run_with_cache(TOKENS)[1]["blocks.1.attn.hook_z"] for model in (hooked, bridge)]
    assert close(*z)


@needs_three
def test_a_conversion_that_computes_something_else_is_refused(tmp_path):
    with pytest.raises(HarmcircuitsError, match=r"TransformerLens 3 converts this llama model to one with other logits"):
        tiny_bridge(tmp_path / "model", hooked=True, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0})


@needs_three
@pytest.mark.parametrize("name", ["qwen2", "pythia"])
def test_hooked_transformer_of_another_architecture(name):
    hf_model = random_model(name)
    expected = hf_model(TOKENS).logits
    model = load_model("mine", hf_model=hf_model, tokenizer=tiny_tokenizer(), hooked=True)
    assert close(model(TOKENS), expected, 2e-5) and model.cfg.model_name == "mine"


@pytest.mark.skipif(LENS == 3, reason="TransformerLens 3 has HookedTransformer")
def test_hooked_transformer_on_four_says_what_to_install():
    with pytest.raises(HarmcircuitsError, match=r"TransformerLens 4 removed.*'transformer-lens>=3\.9,<4'"):
        load_model(hooked=True)  # before anything is fetched
