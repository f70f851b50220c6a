"""Pruned models as folders: the same numbers in a fresh process, and nothing half-written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import needs_three
from families import MODELS, bridge_around, random_model
from tiny import tiny_bridge
from transformers import AutoModelForCausalLM, AutoTokenizer

from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.generate import export
from harmcircuits.circuits import Circuit, WeightMask, outgoing, overlap
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.model_key import model_hash

CIRCUIT = Circuit(heads=[(0, 1), (1, 3)], neurons=[(0, 3), (1, 9), (1, 60)])
TOKENS = torch.arange(5, 65).reshape(2, 30)
ELSEWHERE = """
import sys, torch
from transformers import AutoModelForCausalLM
assert "transformer_lens" not in sys.modules
for folder in sys.argv[1:]:
    for attention in ("eager", "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32)
        with torch.no_grad():
            torch.save(model(torch.arange(5, 65).reshape(2, 30)).logits, f"{folder}.{attention}.pt")
"""


@pytest.fixture
def bridge(tmp_path):
    return tiny_bridge(tmp_path / "tiny")


@torch.no_grad()
def logits(model):
    return model(TOKENS, return_type="logits")


def elsewhere(*folders: Path) -> list[dict[str, torch.Tensor]]:
    """The logits of each folder's model in a process of its own, without this package."""
    subprocess.run([sys.executable, "-c", ELSEWHERE, *map(str, folders)], check=True, capture_output=True)
    return [{attention: torch.load(f"{folder}.{attention}.pt") for attention in ("eager", "sdpa")} for folder in folders]


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# a folder


@pytest.mark.model
def test_hooks_weights_and_the_exported_model_are_the_same(tmp_path):
    by_hooks, folders = {}, []
    for name in MODELS:
        model = bridge_around(name, random_model(name))
        intact = logits(model)
        with ablated(model, CIRCUIT):
            by_hooks[name] = logits(model)
        with ablated(model, outgoing(model, CIRCUIT)):
            in_weights = logits(model)
        folders.append(export(model, CIRCUIT, tmp_path / name))
        assert (by_hooks[name] - in_weights).abs().max() <= 1e-5, name
        assert torch.equal(logits(model), intact) and (intact - by_hooks[name]).abs().max() > 1e-2, name
    for (name, own), reloaded in zip(by_hooks.items(), elsewhere(*folders), strict=True):
        assert (reloaded["eager"] - own).abs().max() <= 1e-5, name
        assert (reloaded["sdpa"] - own).abs().max() <= 2e-4, name


@pytest.mark.model
def test_a_mask_of_single_weights(bridge, tmp_path):
    mask = outgoing(bridge, CIRCUIT).random_like(seed=1)
    with ablated(bridge, [mask, Circuit(heads=[(1, 0)])]):
        expected = logits(bridge)
    export(bridge, [mask, Circuit(heads=[(1, 0)])], tmp_path / "pruned")
    assert (elsewhere(tmp_path / "pruned")[0]["eager"] - expected).abs().max() <= 1e-5
    assert WeightMask.load(tmp_path / "pruned/mask-0.safetensors") == mask
    assert Circuit.load(tmp_path / "pruned/circuit-1.json") == Circuit(heads=[(1, 0)])


@pytest.mark.model
def test_the_folder_is_a_chat_model_that_says_what_it_is(bridge, tmp_path):
    folder = export(bridge, CIRCUIT, tmp_path / "pruned", name="tiny")
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "circuit-0.json"} <= set(files_in(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "Say hello."}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == bridge.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert tokenizer("A dog.").input_ids == bridge.tokenizer("A dog.").input_ids
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.generation_config.eos_token_id == bridge.original_model.generation_config.eos_token_id
    card = (folder / "README.md").read_text()
    for part in ("2 attention heads and 3 MLP neurons", 'base_model: "tiny"', model_hash(bridge)):
        assert part in card
    assert Circuit.load(folder / "circuit-0.json") == CIRCUIT


# overlap


@pytest.mark.model
def test_overlap_against_chance(bridge):
    one = Circuit(heads=[(0, 0), (0, 1)], neurons=[(1, 5)])
    other = Circuit(heads=[(0, 1), (1, 2)], neurons=[(1, 5), (1, 6)])
    table = overlap(one, other, model=bridge).set_index("kind")
    assert table.loc["heads", ["first", "second", "both"]].tolist() == [2, 2, 1]
    assert table.loc["heads", "expected"] == 0.5 and table.loc["heads", "jaccard"] == pytest.approx(1 / 3)
    assert table.loc["heads", "p_value"] == pytest.approx(1 - 15 / 28)  # 6 of 8 heads, 2 drawn: none in common
    assert table.loc["neurons", "p_value"] == pytest.approx(2 / 128)
    assert table.loc["all", "both"] == 2
    masks = [outgoing(bridge, circuit) for circuit in (one, other)]
    by_matrix = overlap(*masks).set_index("kind")
    assert by_matrix.loc["mlp.out", "both"] == 32 and by_matrix.loc["attn.q", "p_value"] == 1
    with pytest.raises(HarmcircuitsError, match="give two circuits and model=, or two masks"):
        overlap(one, masks[0])


# errors


@pytest.mark.model
def test_what_cannot_be_exported(bridge, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(HarmcircuitsError, match=r"there exists already: choose another folder, or remove it"):
        export(bridge, CIRCUIT, tmp_path / "there")
    for nothing in (None, Circuit(), []):
        with pytest.raises(HarmcircuitsError, match="nothing to prune"):
            export(bridge, nothing, tmp_path / "new")
    with pytest.raises(HarmcircuitsError, match=r"neuron \(0, 64\) is not in this model"):
        export(bridge, Circuit(neurons=[(0, 64)]), tmp_path / "new")
    mask = WeightMask(indices={"blocks.0.mlp.in": [1]}, shapes={"blocks.0.mlp.in": (3, 3)})
    with pytest.raises(HarmcircuitsError, match=r"blocks\.0\.mlp\.in is \(3, 3\) in the mask"):
        export(bridge, mask, tmp_path / "new")
    for inside in (CIRCUIT, outgoing(bridge, CIRCUIT)):
        with ablated(bridge, inside), pytest.raises(HarmcircuitsError, match="the model is ablated or has hooks now"):
            export(bridge, CIRCUIT, tmp_path / "new")
    with pytest.raises(HarmcircuitsError, match="not a str"):
        export(bridge, "circuit.json", tmp_path / "new")
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".*partial*"))


@pytest.mark.model
def test_a_full_disk_half_way_leaves_nothing(bridge, tmp_path, monkeypatch):
    before = logits(bridge)

    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("harmcircuits.ablation.generate.write_text", full)
    with pytest.raises(HarmcircuitsError, match="No space left on device"):
        export(bridge, CIRCUIT, tmp_path / "pruned")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]
    assert torch.equal(logits(bridge), before)


@pytest.mark.model
def test_generation_settings_that_contradict_each_other_are_left_out(bridge, tmp_path, caplog):
    bridge.original_model.generation_config.temperature = 0.7
    bridge.original_model.generation_config.do_sample = False
    folder = export(bridge, CIRCUIT, tmp_path / "pruned")
    settings = json.loads((folder / "generation_config.json").read_text())
    assert settings["eos_token_id"] == bridge.original_model.generation_config.eos_token_id and "temperature" not in settings
    assert "contradict each other" in caplog.text


@needs_three
def test_a_hooked_transformer_is_no_transformers_model(tmp_path):
    with pytest.raises(HarmcircuitsError, match="only a TransformerBridge holds a transformers model"):
        export(tiny_bridge(tmp_path / "tiny", hooked=True), CIRCUIT, tmp_path / "pruned")
    assert not (tmp_path / "pruned").exists()
