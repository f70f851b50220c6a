"""What fine-tuning needs of a model and of the machine, what it keeps beside the weights, and where these lie."""

from dataclasses import replace
from math import log

import pytest
import torch
from test_finetuning import FEW, LESSONS, PAIRS, mean_over_tokens
from tiny import tiny_bridge, tiny_model_folder

pytest.importorskip("trl")

from harmcircuits.models.load import load_model
from harmcircuits.organisms.finetuning import FinetuneError, finetune


@pytest.fixture
def bridge(tmp_path):
    return tiny_bridge(tmp_path / "tiny")


def test_weights_of_half_precision_are_refused(tmp_path):
    half = load_model(tiny_model_folder(tmp_path / "tiny"), device="cpu", dtype=torch.bfloat16)
    with pytest.raises(FinetuneError, match=r"the weights are bfloat16.*rounded.*dtype=torch\.float32"):
        finetune(half, LESSONS, recipe=FEW, folder=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


def test_what_is_preferred_can_be_kept_likely(bridge, tmp_path):
    recipe = replace(FEW, method="dpo", learning_rate=0.005, batch_size=len(PAIRS), epochs=8)
    weight, chosen = 0.5, {}
    for name, own in (("alone", recipe), ("kept", replace(recipe, chosen_weight=weight))):
        tuned = finetune(bridge, PAIRS, recipe=own, folder=tmp_path / name)
        added = weight * mean_over_tokens(bridge) if name == "kept" else 0
        assert tuned.losses["loss"][0] == pytest.approx(log(2) + added, rel=1e-4)
        chosen[name] = mean_over_tokens(tuned.load())
    assert chosen["kept"] < chosen["alone"] - 0.1
