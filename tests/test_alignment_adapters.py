"""A stage that is an adapter folder is the model that comes of merging it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from shell import call, text, write
from tiny import tiny_model_folder, tiny_tokenizer
from transformers import AutoModelForCausalLM
from triples import SETTINGS, make_triples

pytest.importorskip("peft")

import peft

from harmcircuits.claims.alignment import Alignment, compare_alignment
from harmcircuits.models.load import load_model
from harmcircuits.prompts.readers import load_prompts

SMALL = replace(
    SETTINGS, test_triples=6, max_new_tokens=3, written_triples=1, facts=1, passages=1, probe_triples=4, protect_heads=0.0
)
SIZES: dict[str, Any] = {"grains": ["neurons"], "points": 2, "spans": {"neurons": (0.02, 0.06)}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a base, an adapter of it whose matrices are random, and what peft merges these into."""
    base = tiny_model_folder(tmp_path / "base")
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(plain, config)
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    tiny_tokenizer().save_pretrained(tmp_path / "merged")
    return tmp_path


@pytest.mark.model
def test_an_adapter_is_a_stage_with_the_numbers_of_the_merged_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command the adapter, in Python the merged model."""
    monkeypatch.setattr("harmcircuits.cli.shared.claim_settings", lambda **sizes: SMALL)
    file = write(place / "prompts.csv", make_triples(24).prompts)
    flags = ("--names", "base,tuned", "--prompts", file, "--device", "cpu")
    flags += ("--grains", "neurons", "--points", 2, "--span", "neurons=0.02,0.06", "--out", place / "out")
    result = call("alignment", place / "base", place / "adapter", *flags)
    assert result.exit_code == 0, result.output
    load = lambda name: load_model(name, device="cpu")
    how: dict[str, Any] = {"names": ["base", "tuned"], "settings": SMALL, "load": load, **SIZES}
    merged = compare_alignment([place / "base", place / "merged"], load_prompts(file), **how)
    said, wanted = Alignment.load(place / "out").document(), merged.document()
    assert {part for part in wanted if said[part] != wanted[part]} == {"command"}
    areas = merged.tables["areas"].query("reading == 'own'").set_index("stage")["area"]
    assert areas["base"] != areas["tuned"]


def test_the_help_names_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "adapter folders (LoRA" in text(call("alignment", "--help"))
