"""Adapter folders of peft: merged into the base that they name, or an error that says what is missing."""

import json
import sys

import pytest
import torch
from comparisons import TOKENS, close
from tiny import tiny_model_folder
from transformers import AutoModelForCausalLM

pytest.importorskip("peft")

import peft

from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.load import load_model

pytestmark = pytest.mark.model


@pytest.fixture
def adapter(tmp_path):
    """An adapter folder whose matrices are random, and its base beside it."""
    base = tiny_model_folder(tmp_path / "base")
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    peft.get_peft_model(plain, config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def named(adapter, base):
    """The adapter, saying that it is of `base`."""
    said = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps({**said, "base_model_name_or_path": base}))
    return adapter


@torch.no_grad()
def logits(model):
    return model(TOKENS, return_type="logits")


@pytest.mark.parametrize("base", [None, "../base"])
def test_merged_logits_are_those_of_the_unmerged_adapter(adapter, hooked, base):
    if base:
        named(adapter, base)
    plain = AutoModelForCausalLM.from_pretrained(adapter.parent / "base", attn_implementation="eager")
    with torch.no_grad():
        unmerged = peft.PeftModel.from_pretrained(plain, adapter)(TOKENS).logits
    model = load_model(adapter, device="cpu", hooked=hooked)
    assert close(logits(model), unmerged)
    assert not close(logits(load_model(adapter.parent / "base", device="cpu")), unmerged, tolerance=0.1)
    assert model.cfg.model_name == "adapter" and not any(parameter.requires_grad for parameter in model.parameters())


def test_the_tokenizer_beside_the_adapter_goes_before_the_bases(adapter):
    own = load_model(adapter, device="cpu").tokenizer
    assert own.chat_template
    own.chat_template = None
    own.save_pretrained(adapter)
    assert not load_model(adapter, device="cpu").tokenizer.chat_template


def test_half_precision_would_round_the_adapter_away_and_is_refused(adapter):
    with pytest.raises(HarmcircuitsError, match=r"rounded away in torch\.bfloat16.*dtype=torch\.float32"):
        load_model(adapter, device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in load_model(adapter, device="cpu").parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("base", "says"),
    [
        (
            "some-lab/no-such-base",
            r"some-lab/no-such-base cannot be loaded",
        ),
        ("../gone/away", r"'\.\./gone/away': there is no such file or folder"),
        ("", "names no base_model_name_or_path"),
    ],
)
def test_a_base_that_cannot_be_found_is_named(adapter, base, says):
    with pytest.raises(HarmcircuitsError, match=says):
        load_model(named(adapter, base))


def test_a_missing_peft_is_named(adapter, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(HarmcircuitsError, match=r"needs peft .*pip install 'harmcircuits\[finetune\]'"):
        load_model(adapter)


def test_weights_in_a_pickle_are_not_loaded(adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(HarmcircuitsError, match=r"without adapter_model\.safetensors.*pickles are not loaded"):
        load_model(adapter)


def test_damaged_files_are_named(adapter):
    (adapter / "adapter_model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(HarmcircuitsError, match="adapter cannot be loaded"):
        load_model(adapter)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(HarmcircuitsError, match="adapter cannot be loaded"):
        load_model(adapter)


def test_another_base_than_the_adapters_is_refused(adapter):
    tiny_model_folder(adapter.parent / "wide", d_model=64)
    with pytest.raises(HarmcircuitsError, match=r"(?s)adapter cannot be loaded.*size mismatch"):
        load_model(named(adapter, "../wide"))
