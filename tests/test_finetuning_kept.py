"""What fine-tuning needs of a model and of the machine, what it keeps beside the weights, and where these lie."""

import os
import sys
from dataclasses import replace
from hashlib import sha256
from math import log
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from test_finetuning import FEW, LESSONS, PAIRS, mean_over_tokens
from tiny import tiny_bridge, tiny_model_folder
from transformers.training_args import ParallelMode
from transformers.utils import logging

pytest.importorskip("trl")

from trl import DPOConfig, SFTConfig

from harmcircuits.models.load import load_model
from harmcircuits.models.protocol import model_hash, model_key
from harmcircuits.organisms.finetuning import (
    FinetuneError,
    estimate,
    finetune,
    finetuned_of,
    read_finetuned,
    request_digest,
    work,
)
from harmcircuits.organisms.finetuning.job import job_of
from harmcircuits.organisms.finetuning.lessons import tokens_of
from harmcircuits.organisms.finetuning.work import save_base


@pytest.fixture
def bridge(tmp_path):
    return tiny_bridge(tmp_path / "tiny")


def test_weights_of_half_precision_are_refused(tmp_path):
    half = load_model(tiny_model_folder(tmp_path / "tiny"), device="cpu", dtype=torch.bfloat16)
    with pytest.raises(FinetuneError, match=r"the weights are bfloat16.*rounded.*dtype=torch\.float32"):
        finetune(half, LESSONS, recipe=FEW, folder=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_the_trainer_is_on_the_models_own_gpu_and_no_other(bridge, tmp_path, monkeypatch, method):
    """As far as that can be seen without one: what transformers is told before anything is put anywhere."""
    from harmcircuits.organisms.finetuning import trainers

    current, second = [], torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    job = job_of(bridge, [], replace(FEW, method=method), base=tmp_path, checkpoints=tmp_path)
    plain = {"sft": SFTConfig, "dpo": DPOConfig}[method](**trainers._settings(job))
    args = trainers._at(plain, replace(job, device=second))
    assert args.device == second and args.n_gpu == 1 and current == [second]
    assert args.parallel_mode == ParallelMode.NOT_PARALLEL and args.train_batch_size == FEW.batch_size
    on_cpu = trainers._at({"sft": SFTConfig, "dpo": DPOConfig}[method](**trainers._settings(job)), job)
    assert on_cpu.device.type == "cpu" and len(current) == 1


def test_the_trainer_has_the_device_that_it_is_told(bridge, tmp_path):
    from harmcircuits.organisms.finetuning.trainers import trainer

    laid = tokens_of(bridge, LESSONS, method="sft", max_tokens=99)
    job = job_of(bridge, laid, FEW, base=save_base(bridge, tmp_path / "base"), checkpoints=tmp_path / "checkpoints")
    assert job.device == next(bridge.parameters()).device == trainer(job, lambda step, net: None, ()).args.device


def test_what_was_trained_on_is_kept_as_digests_that_tell_no_text(bridge, tmp_path):
    recipe = replace(FEW, epochs=2, stages=2)
    first = finetune(bridge, LESSONS[:2], recipe=recipe, folder=tmp_path / "first")
    then = finetune(first.load(), LESSONS[2:], recipe=recipe, folder=tmp_path / "then", earlier=first.requests)
    asked = [request_digest(lesson.request) for lesson in LESSONS]
    assert first.requests == {*asked[:2]} and then.requests == {*asked}
    assert asked[0] == sha256(LESSONS[0].request.encode()).hexdigest()[:16]
    for stage in (0, 1):
        known = finetuned_of(str(then.stage(stage)))
        assert known is not None and known.requests == {*asked} and known.folder == then.folder
    assert finetuned_of(then.folder / "base") is None and finetuned_of("some/hub-id") is None
    assert not any(lesson.request in (then.folder / "finetuned.json").read_text("utf-8") for lesson in LESSONS)


def test_python_without_trl_is_told_which_has_it(bridge, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    with pytest.raises(FinetuneError, match=r"needs trl.*needs Python 3\.11, and this is 3\.10.*peft alone.*pip install"):
        finetune(bridge, LESSONS, recipe=FEW)


def test_the_extra_can_be_installed_wherever_the_package_can():
    """On the oldest Python that is supported it has peft alone."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [Requirement(line) for line in project["optional-dependencies"]["finetune"]]
    of = lambda python: [one.name for one in wanted if one.marker is None or one.marker.evaluate({"python_version": python})]
    assert of(project["requires-python"].removeprefix(">=")) == ["peft"] and of("3.11") == ["peft", "trl"]


def test_an_estimate_leaves_the_copy_that_training_starts_from(bridge, tmp_path, monkeypatch):
    estimate(bridge, LESSONS, FEW, bases=tmp_path / "bases")
    (copied,) = (tmp_path / "bases").iterdir()
    assert copied.name == model_key(bridge)
    monkeypatch.setattr(work, "save_plain", lambda *args: pytest.fail("another copy was made"))
    recipe = replace(FEW, epochs=1, stages=2)
    tuned = finetune(bridge, LESSONS, recipe=recipe, folder=tmp_path / "tuned", bases=tmp_path / "bases")
    hashes = [model_hash(tuned.load(stage)) for stage in (0, 1)]
    assert not list(tuned.folder.rglob("model.safetensors"))
    monkeypatch.undo()
    for part in ("bases", "tuned"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / part).rename(tmp_path / "elsewhere" / part)
    moved = read_finetuned(tmp_path / "elsewhere" / "tuned")
    assert [model_hash(moved.load(stage)) for stage in (0, 1)] == hashes


def test_a_copy_that_a_kill_cut_short_goes_after_a_day(bridge, tmp_path):
    """Others may be writing theirs."""
    old, new = (tmp_path / "bases" / f".x.{at}123abcd.partial" for at in range(2))
    for half in (old, new):
        half.mkdir(parents=True)
        (half / "model.safetensors").write_bytes(b"half")
    os.utime(old, (0, 0))
    whole = save_base(bridge, tmp_path / "bases" / "whole")
    assert {*(tmp_path / "bases").iterdir()} == {new, whole}


def test_stages_are_loaded_in_silence_and_bars_come_back(bridge, tmp_path, capfd):
    tuned = finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1, stages=2), folder=tmp_path / "tuned")
    logging.enable_progress_bar()
    capfd.readouterr()
    tuned.load(0)
    assert "".join(capfd.readouterr()) == ""
    load_model(tuned.folder / "base", device="cpu")
    assert "Loading weights" in "".join(capfd.readouterr()), "transformers' own, where it is not told otherwise"


def test_what_is_preferred_can_be_kept_likely(bridge, tmp_path):
    recipe = replace(FEW, method="dpo", learning_rate=0.005, batch_size=len(PAIRS), epochs=8)
    weight, chosen = 0.5, {}
    for name, own in (("alone", recipe), ("kept", replace(recipe, chosen_weight=weight))):
        tuned = finetune(bridge, PAIRS, recipe=own, folder=tmp_path / name)
        added = weight * mean_over_tokens(bridge) if name == "kept" else 0
        assert tuned.losses["loss"][0] == pytest.approx(log(2) + added, rel=1e-4)
        chosen[name] = mean_over_tokens(tuned.load())
    assert chosen["kept"] < chosen["alone"] - 0.1
