"""A fine-tuning that was stopped leaves nothing; a finished one is not trained again."""

from dataclasses import replace

import pytest
from test_finetuning import FEW, LESSONS, interrupted_at
from tiny import tiny_bridge

pytest.importorskip("trl")

from harmcircuits.models.model_key import model_hash
from harmcircuits.organisms.finetuning import finetune, read_finetuned
from harmcircuits.store import StoreError, cache_dir


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    return tiny_bridge(tmp_path_factory.mktemp("tiny"))


def steps_run(monkeypatch):
    """The steps that the trainer makes from now on."""
    from harmcircuits.organisms.finetuning.trainers import AtSteps

    run, plain = [], AtSteps.on_step_end

    def count(self, args, state, control, **more):
        run.append(state.global_step)
        return plain(self, args, state, control, **more)

    monkeypatch.setattr(AtSteps, "on_step_end", count)
    return run


def test_a_stopped_run_leaves_nothing_and_ends_as_an_unbroken_one(bridge, tmp_path):
    whole = finetune(bridge, LESSONS, recipe=FEW, folder=tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(9, patch)
        with pytest.raises(KeyboardInterrupt):
            finetune(bridge, LESSONS, recipe=FEW, folder=tmp_path / "broken")
    assert not list(tmp_path.glob("*broken")) and not list(tmp_path.glob(".broken.*.partial"))
    (tmp_path / ".broken.0123abcd.partial").mkdir()  # what a kill leaves
    broken = finetune(bridge, LESSONS, recipe=FEW, folder=tmp_path / "broken")
    assert model_hash(broken.load()) == model_hash(whole.load()) and broken.losses.equals(whole.losses)
    assert not list(tmp_path.glob(".broken.*.partial"))


def test_what_is_finished_is_read_and_not_trained_again(bridge, tmp_path, monkeypatch):
    recipe = replace(FEW, epochs=1, stages=2)
    first = finetune(bridge, LESSONS, recipe=recipe, name="one")
    assert first.folder.parent == cache_dir() / "organisms"
    run = steps_run(monkeypatch)
    again = finetune(bridge, LESSONS, recipe=recipe, name="two")
    assert not run and again.folder == first.folder and again.losses.equals(first.losses) and again.steps == first.steps
    assert [one.load().cfg.model_name for one in (first, again)] == ["one", "two"]
    told = read_finetuned(first.folder)
    assert (told.recipe, told.seed, told.name, told.steps) == (recipe, 0, "one", first.steps)


def test_a_folder_of_something_else_is_left_alone(bridge, tmp_path):
    recipe = replace(FEW, epochs=1)
    tuned = finetune(bridge, LESSONS, recipe=recipe, folder=tmp_path / "tuned")
    with pytest.raises(StoreError, match="holds a model of other weights, lessons, recipe, seed or versions: choose another"):
        finetune(bridge, LESSONS, recipe=recipe, seed=1, folder=tmp_path / "tuned")
    assert finetune(bridge, LESSONS, recipe=recipe, folder=tmp_path / "tuned").losses.equals(tuned.losses)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        finetune(bridge, LESSONS, recipe=recipe, folder=tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_a_folder_moved_with_its_base_still_loads(bridge, tmp_path):
    tuned = finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1, stages=2), folder=tmp_path / "tuned")
    hashes = [model_hash(tuned.load(stage)) for stage in (0, 1)]
    moved = read_finetuned(tuned.folder.rename(tmp_path / "elsewhere"))
    assert [model_hash(moved.load(stage)) for stage in (0, 1)] == hashes
