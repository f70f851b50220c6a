"""What `load_model` refuses: names that mean nothing, damaged and incomplete models, pickles, and code from elsewhere."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harmcircuits.errors import HarmcircuitsError
from harmcircuits.judges import load_judge
from harmcircuits.models import load
from harmcircuits.models.load import load_model
from harmcircuits.models.packaged import DEFAULT

WEIGHTS, CONFIG = "model.safetensors", "config.json"
UP = "model.layers.0.mlp.up_proj.weight"
CURE = r"safetensors \(a pickle could run code\).*load it with transformers, and pass hf_model= and tokenizer="


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "no such file or folder"),
        ("a/b/c", "no such file or folder"),
        ("model.gguf", "no such file or folder"),
    ],
)
def test_names_that_mean_nothing(name: str, message: str) -> None:
    with pytest.raises(HarmcircuitsError, match=message) as caught:
        load_model(name)
    assert all(word in str(caught.value) for word in (DEFAULT, "HuggingFaceTB/SmolLM2-135M-Instruct", ".gguf", "folder"))


def test_a_hub_id_that_cannot_be_had_is_named() -> None:
    with pytest.raises(HarmcircuitsError, match=rf"(?s)org/nothing-here cannot be loaded \(.*{CURE}"):
        load_model("org/nothing-here")


def reweighed(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def with_code(folder: Path) -> None:
    """A model type that only the code beside it knows, and code that leaves a file where it ran."""
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass C: pass\n")
    settings = json.loads((folder / CONFIG).read_text("utf-8")) | {"model_type": "x", "auto_map": {"AutoConfig": "own.C"}}
    (folder / CONFIG).write_text(json.dumps(settings))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no configuration": (lambda folder: (folder / CONFIG).unlink(), "cannot be loaded"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), f"cannot be loaded.*{CURE}"),
    "cut short": (lambda folder: os.truncate(folder / WEIGHTS, 1000), "cannot be loaded"),
    "a tokenizer cut short": (lambda folder: os.truncate(folder / "tokenizer.json", 100), "cannot be loaded"),
    "a configuration of brackets": (lambda folder: (folder / CONFIG).write_text('{"a":' * 10**5), "cannot be loaded"),
    "a missing tensor": (
        lambda folder: reweighed(folder, lambda weights: weights.pop(UP)),
        rf"1 of its weights are in none of its files \({UP}\), and would be random numbers",
    ),
    "another shape": (lambda folder: reweighed(folder, lambda one: one.update({UP: torch.zeros(3, 3)})), "cannot be loaded"),
    "a pickle": (pickled, f"cannot be loaded.*{CURE}"),
    "code of its own": (with_code, f"cannot be loaded.*{CURE}"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_not_safe_is_refused_unopened(folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    edit, message = DAMAGES[damage]
    edit(folder)
    with pytest.raises(HarmcircuitsError, match=f"(?s){message}") as caught:
        load_model(folder, device="cpu")
    assert folder.name in str(caught.value) and not (folder / "ran").exists()
    with pytest.raises(HarmcircuitsError, match=f"(?s)the judge 'model' cannot be loaded.*{message}"):
        load_judge(f"llama-guard:{folder}")


def test_the_system_s_own_errors_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def boot(place: str, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(load.TransformerBridge, "boot_transformers", boot)
    with pytest.raises(OSError, match="No space left"):
        load_model(folder)
