"""A fine-tuning that was stopped goes on where it was, and ends as an unbroken one; a finished one is not trained again."""

import shutil
from dataclasses import replace

import pytest
from test_finetuning import FEW, LESSONS, PAIRS, interrupted_at
from tiny import tiny_bridge

pytest.importorskip("trl")

from harmcircuits.models.protocol import model_hash
from harmcircuits.organisms.finetuning import finetune, read_finetuned
from harmcircuits.store import StoreError, cache_dir, read_json, write_json


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


def stopped(bridge, lessons, recipe, folder, *, step):
    """A call that is stopped in that step; what it leaves."""
    with pytest.MonkeyPatch.context() as patch:
        interrupted_at(step, patch)
        with pytest.raises(KeyboardInterrupt):
            finetune(bridge, lessons, recipe=recipe, folder=folder)
    assert not folder.exists()
    (left,) = folder.parent.glob(f".{folder.name}.*.training")
    return left


@pytest.mark.parametrize("recipe", [replace(FEW, stages=3), replace(FEW, rank=0, method="dpo", learning_rate=0.005)])
def test_a_stopped_run_goes_on_and_ends_as_an_unbroken_one(bridge, tmp_path, monkeypatch, recipe):
    lessons = PAIRS if recipe.method == "dpo" else LESSONS
    whole = finetune(bridge, lessons, recipe=recipe, folder=tmp_path / "whole")
    left = stopped(bridge, lessons, recipe, tmp_path / "broken", step=9)  # a checkpoint after every second step
    run = steps_run(monkeypatch)
    broken = finetune(bridge, lessons, recipe=recipe, folder=tmp_path / "broken")
    assert run == [9, 10, 11, 12]
    for stage in range(recipe.stages):
        assert model_hash(broken.load(stage)) == model_hash(whole.load(stage))
    assert broken.losses.equals(whole.losses)
    assert not left.exists()


def cut_short(left):
    (checkpoint,) = (left / "checkpoints").glob("checkpoint-*")
    (checkpoint / "trainer_state.json").write_text('{"global_step": 4, ')


def stage_gone(left):
    shutil.rmtree(left / "finished" / "step-4")


@pytest.mark.parametrize("damage", [cut_short, stage_gone])
def test_a_checkpoint_that_does_not_suffice_is_passed_over(bridge, tmp_path, monkeypatch, damage):
    recipe = replace(FEW, stages=3)
    whole = finetune(bridge, LESSONS, recipe=recipe, folder=tmp_path / "whole")
    damage(stopped(bridge, LESSONS, recipe, tmp_path / "broken", step=5))
    run = steps_run(monkeypatch)
    broken = finetune(bridge, LESSONS, recipe=recipe, folder=tmp_path / "broken")
    assert run == list(range(1, 13))
    assert [model_hash(broken.load(stage)) for stage in (0, 2)] == [model_hash(whole.load(stage)) for stage in (0, 2)]


def test_a_copy_of_the_weights_that_was_cut_short_is_no_part_of_what_is_finished(bridge, tmp_path):
    whole = finetune(bridge, LESSONS, recipe=FEW, folder=tmp_path / "whole")
    left = stopped(bridge, LESSONS, FEW, tmp_path / "broken", step=3)
    (left / "finished" / "base").rename(left / "finished" / ".base.0123abcd.partial")
    broken = finetune(bridge, LESSONS, recipe=FEW, folder=tmp_path / "broken")
    names = [sorted(path.relative_to(own.folder) for path in own.folder.rglob("*")) for own in (whole, broken)]
    assert names[0] == names[1] and model_hash(broken.load()) == model_hash(whole.load())


def test_another_recipe_does_not_go_on_from_there(bridge, tmp_path, monkeypatch):
    stopped(bridge, LESSONS, FEW, tmp_path / "broken", step=9)
    run = steps_run(monkeypatch)
    finetune(bridge, LESSONS, recipe=replace(FEW, alpha=9), folder=tmp_path / "broken")
    assert run == list(range(1, 13))


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


def test_all_that_starts_from_the_same_weights_shares_one_copy_of_them(bridge):
    made = [finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1), seed=seed) for seed in (0, 1)]
    assert len(list((cache_dir() / "organisms" / "bases").iterdir())) == 1
    assert made[0].folder != made[1].folder
    assert not list(made[0].folder.glob("base"))


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


def test_a_folder_of_another_version_is_told(bridge, tmp_path):
    folder = finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1), folder=tmp_path / "tuned").folder
    write_json(folder / "finetuned.json", {**read_json(folder / "finetuned.json"), "format": "later"})
    with pytest.raises(StoreError, match="written by another version"):
        read_finetuned(folder)


def test_a_folder_moved_with_its_base_still_loads(bridge, tmp_path):
    tuned = finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1, stages=2), folder=tmp_path / "tuned")
    hashes = [model_hash(tuned.load(stage)) for stage in (0, 1)]
    moved = read_finetuned(tuned.folder.rename(tmp_path / "elsewhere"))
    assert [model_hash(moved.load(stage)) for stage in (0, 1)] == hashes
