"""Bad and extreme input: an error that says what to do, or a null with its reason; never a crash, and never a silent 0."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SPECIAL, tiny_model, tiny_tokenizer
from triples import DEVELOPMENT, OWN, RUN, TEST, TRAIN

import harmcircuits as hc
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.settings import Settings
from harmcircuits.models.load import load_model
from harmcircuits.models.model_key import model_hash

END = SPECIAL.index("<|im_end|>")


def edited(folder: Path, edit: Any) -> Any:
    """A tiny model with untied embeddings whose weights were changed."""
    model = tiny_model(tie_word_embeddings=False)
    with torch.no_grad():
        edit(model)
    model.save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    return load_model(folder / "model", device="cpu")


def silent(model: Any) -> None:
    """It ends its turn at once, whatever was asked: one feature is constant, and the end of turn reads it."""
    model.model.embed_tokens.weight[:, 0] = 10
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0
        layer.mlp.down_proj.weight[0] = 0
    model.lm_head.weight[END] = 0
    model.lm_head.weight[END, 0] = 100


def broken(model: Any) -> None:
    model.lm_head.weight[7] = float("nan")


def test_a_model_that_ends_its_turn_at_once_writes_degenerate_texts(tmp_path: Path) -> None:
    model = edited(tmp_path, silent)
    before = model_hash(model)
    found = hc.dissociate(model, OWN, TEST, train=TRAIN, development=DEVELOPMENT, settings=RUN)
    assert model_hash(model) == before
    assert found.estimate("baseline", "degenerate", "harmful").value == 1.0
    assert found.answer in ("undecided", "cannot be measured")
    found.save(tmp_path / "saved")
    assert hc.Dissociation.load(tmp_path / "saved").report == found.report


@pytest.mark.parametrize("circuit", [None, OWN], ids=["to be selected", "given"])
def test_a_model_whose_logits_are_no_numbers(tmp_path: Path, circuit: Any) -> None:
    with pytest.raises(HarmcircuitsError, match=r"its weights are damaged|not finite numbers|not a number"):
        hc.dissociate(edited(tmp_path, broken), circuit, TEST, train=TRAIN, development=DEVELOPMENT, settings=RUN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_prompts": 1.5},
        {"seed": "a"},
        {"seed": None},
        {"seed": -1},
        {"random_draws": float("inf")},
        {"retained": "0.8"},
        {"retained": float("nan")},
        {"protect_heads": 1.5},
        {"bootstrap_draws": 10},
        {"test_prompts": 0},
        {"max_benign_increase": -0.1},
        {"components": ("layers",)},
        {"components": ()},
        {"recipe": "paper"},
        {"head_fractions": ()},
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_named(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(HarmcircuitsError, match=name.removesuffix("s").replace("head_fraction", "size")):
        Settings(**wrong)  # type: ignore[arg-type]


def test_ends_are_included_and_a_quick_run_has_its_seed() -> None:
    assert Settings(shots=0, random_draws=0, facts=0, passages=0, protect_heads=1).protect_heads == 1
    assert Settings.quick(seed=3).seed == 3 and Settings.quick(seed=3).as_dict()["seed"] == 3
