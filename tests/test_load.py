"""`load_model` on folders, on loaded models and on the default one: the logits of transformers, devices, tokenizers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from comparisons import TOKENS, close, reference
from tiny import tiny_bridge, tiny_model, tiny_model_folder, tiny_tokenizer
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM

from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models import load
from harmcircuits.models.load import load_model
from harmcircuits.models.packaged import ALIASES, DEFAULT, packaged_gguf

pytestmark = pytest.mark.model

# folders and loaded models


def test_a_folder_becomes_a_frozen_bridge_with_the_logits_of_transformers(folder):
    model = load_model(folder, device="cpu")
    assert isinstance(model, TransformerBridge)
    assert close(model(TOKENS), reference(folder))
    assert not model.training and model.cfg.model_name == "model"
    parameters = [p for module in model.modules() for p in module._parameters.values() if p is not None]
    assert parameters and not any(p.requires_grad for p in parameters)


def test_threads_load_a_model_with_tied_weights_at_once(tmp_path):
    tiny_model_folder(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(load_model, [tmp_path] * 8))
    assert all(close(model(TOKENS), reference(tmp_path)) for model in models)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("banana", r"'banana' cannot be used here"),
        ("meta", r"the device 'meta' cannot be used here \(.+\): leave device= out"),
        (torch.device("cuda:99"), r"the device 'cuda:99' cannot be used here"),
    ],
)
def test_a_device_that_is_not_there_is_told_before_anything_is_fetched(monkeypatch, device, message):
    monkeypatch.setattr(load, "_locate", lambda *_: pytest.fail("the model was looked for"))
    with pytest.raises(HarmcircuitsError, match=message):
        load_model(device=device)


def test_a_tokenizer_without_padding_token_pads_with_its_end(tmp_path):
    assert tiny_bridge(tmp_path / "a").tokenizer.pad_token == "<pad>"
    assert tiny_bridge(tmp_path / "b", pad_token=False).tokenizer.pad_token == "<eos>"


def test_a_loaded_model_is_wrapped_with_a_copy_of_its_tokenizer(folder):
    hf_model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    tokenizer = tiny_tokenizer()  # never saved: TransformerLens itself fails on it
    tokenizer.chat_template = "{{ messages[0]['content'] }}!"
    tokenizer.padding_side = "left"
    model = load_model("mine", hf_model=hf_model, tokenizer=tokenizer)
    assert model.original_model is hf_model and model.cfg.model_name == "mine"
    assert model.cfg.dtype == next(model.parameters()).dtype == torch.bfloat16
    assert model.tokenizer is not tokenizer and model.tokenizer.padding_side == "left"
    assert model.tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"
    assert hf_model.config._attn_implementation == "eager"


def test_a_transformers_model_brings_its_name_and_tokenizer(folder):
    hf_model = AutoModelForCausalLM.from_pretrained(folder)
    model = load_model(hf_model)
    assert model.original_model is hf_model and model.cfg.model_name == folder.name
    assert torch.equal(model(TOKENS), load_model(folder)(TOKENS))
    assert model.to_tokens("Here is how").tolist() == load_model(folder).to_tokens("Here is how").tolist()


def test_options_that_contradict_each_other(folder):
    with pytest.raises(HarmcircuitsError, match="'LlamaForCausalLM' needs tokenizer="):
        load_model(tiny_model())
    with pytest.raises(HarmcircuitsError, match="takes no revision="):
        load_model(tiny_model(), tokenizer=tiny_tokenizer(), revision="main")
    with pytest.raises(HarmcircuitsError, match="revision='main' is for hub ids"):
        load_model(folder, revision="main")
    with pytest.raises(HarmcircuitsError, match=r"a TransformerBridge is no model to load.*goes to functions as it is"):
        load_model(load_model(folder))


# the default model


@pytest.fixture(scope="module")
def default():
    return load_model(device="cpu")


@pytest.mark.real
def test_the_default_model(default):
    assert default.cfg.model_name == DEFAULT
    assert (default.cfg.n_layers, default.cfg.n_heads, default.cfg.d_model, default.cfg.d_mlp) == (30, 9, 576, 1536)
    tokens = default.to_tokens("The capital of France is")
    assert default.tokenizer.decode(default(tokens)[0, -1].argmax()) == " Paris"
    assert default.tokenizer.tokenize("a:\n\n1. 20") == ["a", ":", "ĊĊ", "1", ".", "Ġ", "2", "0"]
    for text in ("Dear Anna,\n\n  1. 2024 – naïve 😀\t", "<|im_start|>user\nhi<|im_end|>"):
        assert default.tokenizer.decode(default.tokenizer(text, add_special_tokens=False).input_ids) == text


@pytest.mark.real
def test_the_default_model_equals_transformers_reading_the_gguf_file(default):
    path = packaged_gguf(ALIASES[DEFAULT])
    direct = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    with torch.no_grad():
        direct.set_attn_implementation("eager")
        assert torch.equal(default(TOKENS), direct(TOKENS).logits)
