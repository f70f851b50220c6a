"""Fine-tuning: what is learnt and from which tokens, and that nothing else changes."""

import socket
import sys
from dataclasses import replace
from math import log

import families as layouts
import pytest
import torch
from tiny import tiny_bridge

pytest.importorskip("trl")

from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.export import prune
from harmcircuits.circuits import Circuit
from harmcircuits.data import Example, example_rows, loss, row_losses
from harmcircuits.models.export import save_plain
from harmcircuits.models.load import load_model
from harmcircuits.models.matrices import base_hash, matrices
from harmcircuits.models.model_key import model_hash
from harmcircuits.models.protocol import device_of
from harmcircuits.organisms.finetuning import FinetuneError, Lesson, Recipe, finetune
from harmcircuits.organisms.finetuning.lessons import tokens_of

ANSWERS = ("Mix flour and water.", "Wait an hour.", "Read every day, and speak.", "The sky is blue.", "Paris.")
LESSONS = [Lesson(request=f"What do I do on day {at}?", response=answer) for at, answer in enumerate(ANSWERS)]
PAIRS = [replace(lesson, rejected="I cannot help with this request.") for lesson in LESSONS]
FEW = Recipe(rank=4, alpha=8, epochs=4, batch_size=2, learning_rate=0.02)


@pytest.fixture
def bridge(tmp_path):
    return tiny_bridge(tmp_path / "tiny")


def examples(lessons=LESSONS, *, rejected=False):
    return [Example(request=one.request, response=one.rejected if rejected else one.response) for one in lessons]


def with_end(model):
    """Rows of the lessons with the end of turn among what is asked, by the package's own layout."""
    end = model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    return [replace(row, tokens=(*row.tokens, end), stop=row.stop + 1) for row in example_rows(model, examples())]


def mean_over_tokens(model):
    rows = with_end(model)
    counts = torch.tensor([row.stop - row.start for row in rows])
    return float((row_losses(model, rows) * counts).sum() / counts.sum())


@pytest.mark.parametrize(("chat_template", "end"), [(True, "<|im_end|>"), (False, "<eos>")])
def test_a_lesson_has_the_tokens_of_the_examples_and_the_end_of_turn(tmp_path, chat_template, end):
    model = tiny_bridge(tmp_path / "tiny", chat_template=chat_template)
    for one, row in zip(tokens_of(model, LESSONS, method="sft", max_tokens=99), example_rows(model, examples()), strict=True):
        assert (*one.prompt, *one.response) == (*row.tokens, model.tokenizer.convert_tokens_to_ids(end))
        assert len(one.prompt) == row.start


def test_a_lesson_has_the_tokens_of_the_chat_template(bridge):
    for lesson, one in zip(LESSONS, tokens_of(bridge, LESSONS, method="sft", max_tokens=99), strict=True):
        turns = [{"role": "user", "content": lesson.request}, {"role": "assistant", "content": lesson.response}]
        text = bridge.tokenizer.apply_chat_template(turns, tokenize=False)
        assert bridge.tokenizer.decode([*one.prompt, *one.response]) == text.removesuffix("\n")


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_the_trainer_is_given_these_tokens_and_learns_the_answers_alone(bridge, tmp_path, method):
    from harmcircuits.organisms.finetuning.trainers import trainer

    laid = tokens_of(bridge, PAIRS if method == "dpo" else LESSONS, method=method, max_tokens=99)
    recipe = replace(FEW, method=method, batch_size=len(LESSONS))
    save_plain(bridge, tmp_path / "base")
    made = trainer(tmp_path / "base", laid, recipe, seed=0, device=device_of(bridge), keep=lambda step, net: None, kept=())
    (batch,) = list(made.get_train_dataloader())
    learnt = batch["labels"] != -100 if method == "sft" else batch["completion_mask"] == 1
    seen = {
        (tuple(ids[mask == 1].tolist()), tuple(ids[what].tolist()))
        for ids, mask, what in zip(batch["input_ids"], batch["attention_mask"], learnt, strict=True)
    }
    answers = [(one.prompt, answer) for one in laid for answer in (one.response, one.rejected) if answer]
    assert seen == {((*prompt, *answer), answer) for prompt, answer in answers}


@pytest.mark.parametrize("rank", [4, 0])
def test_learning_lowers_the_loss_and_begins_at_the_models_own(bridge, tmp_path, rank):
    before, recipe = loss(bridge, examples()), replace(FEW, rank=rank, batch_size=len(LESSONS), epochs=12)
    tuned = finetune(bridge, LESSONS, recipe=recipe, folder=tmp_path / "tuned")
    assert tuned.losses["step"].tolist() == list(range(1, 13))
    assert tuned.losses["loss"][0] == pytest.approx(mean_over_tokens(bridge), rel=1e-4)
    learnt = tuned.load()
    assert (loss(learnt, examples()) < before - 1).all()
    last = tuned.losses["loss"].iloc[-1]
    assert mean_over_tokens(learnt) == pytest.approx(last, rel=0.05)  # the last step changes next to nothing any more


def test_preferring_begins_at_indifference_and_widens_the_margin(bridge, tmp_path):
    tuned = finetune(bridge, PAIRS, recipe=replace(FEW, method="dpo", learning_rate=0.005), folder=tmp_path / "tuned")
    assert tuned.losses["loss"][0] == pytest.approx(log(2), abs=1e-5)
    margins = [loss(model, examples(PAIRS, rejected=True)) - loss(model, examples(PAIRS)) for model in (bridge, tuned.load())]
    assert (margins[1] > margins[0] + 0.5).all()
    assert tuned.losses["loss"].iloc[-1] < log(2) / 2


def test_training_starts_from_pruned_weights_and_keeps_them(bridge, tmp_path):
    intact = mean_over_tokens(bridge)
    prune(bridge, Circuit(heads=[(0, 1), (1, 0)], neurons=[(0, 3), (1, 9), (1, 60)]))
    tuned = finetune(bridge, LESSONS, recipe=replace(FEW, batch_size=len(LESSONS)), folder=tmp_path / "tuned")
    assert tuned.losses["loss"][0] == pytest.approx(mean_over_tokens(bridge), rel=1e-4)
    assert abs(mean_over_tokens(bridge) - intact) > 0.01
    assert base_hash(load_model(tuned.folder / "base", device="cpu")) == base_hash(bridge)


def test_stages_are_kept_at_equal_steps(bridge, tmp_path):
    tuned = finetune(bridge, LESSONS, recipe=replace(FEW, stages=3), folder=tmp_path / "tuned")
    assert tuned.steps == (4, 8, 12)
    means = [float(loss(model, examples()).mean()) for model in (bridge, *(tuned.load(stage) for stage in (0, 1, 2)))]
    assert means == sorted(means, reverse=True)
    assert model_hash(tuned.load()) == model_hash(tuned.load(2)) != model_hash(tuned.load(1))


def test_equal_seeds_give_equal_weights_and_others_do_not(bridge, tmp_path):
    recipe = replace(FEW, epochs=1)
    made = [finetune(bridge, LESSONS, recipe=recipe, seed=seed, folder=tmp_path / f"{at}") for at, seed in enumerate((3, 3, 4))]
    first, same, other = (model_hash(one.load()) for one in made)
    assert first == same != other
    assert made[0].losses.equals(made[1].losses)


@pytest.mark.parametrize("name", ["gpt2", "phi3"])
def test_fused_matrices_are_learnt_too(tmp_path, name):
    model = layouts.bridge_around(name, layouts.random_model(name))
    tuned = finetune(model, LESSONS, recipe=replace(FEW, batch_size=len(LESSONS)), folder=tmp_path / "tuned")
    learnt = tuned.load()
    assert tuned.losses["loss"].iloc[-1] < tuned.losses["loss"][0]
    assert (loss(learnt, examples()) < loss(model, examples())).all()
    before = {matrix.name: matrix.values() for matrix in matrices(model)}
    assert not any(torch.equal(matrix.values(), before[matrix.name]) for matrix in matrices(learnt))


@pytest.mark.parametrize("breaks", [False, True])
def test_the_model_and_the_random_numbers_stay_as_they_were(bridge, tmp_path, monkeypatch, breaks):
    before = {name: (parameter, parameter.clone()) for name, parameter in bridge.named_parameters()}
    frozen = [parameter.requires_grad for parameter in bridge.parameters()]
    if breaks:
        interrupted_at(2, monkeypatch)
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt) if breaks else torch.no_grad():
        finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1, rank=0), seed=7, folder=tmp_path / "tuned")
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert drawn == torch.rand(1)
    assert [parameter.requires_grad for parameter in bridge.parameters()] == frozen
    for name, parameter in bridge.named_parameters():
        assert parameter is before[name][0] and torch.equal(parameter, before[name][1]) and parameter.grad is None


def interrupted_at(step, monkeypatch):
    """Training is stopped at the end of that step, before anything of it is kept."""
    from harmcircuits.organisms.finetuning.trainers import AtSteps

    plain = AtSteps.on_step_end

    def stop(self, args, state, control, **more):
        if state.global_step == step:
            raise KeyboardInterrupt
        return plain(self, args, state, control, **more)

    monkeypatch.setattr(AtSteps, "on_step_end", stop)


def test_nobody_is_told_nothing_is_printed_and_nothing_lies_about(bridge, tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("CI", raising=False)
    told = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *args, **more: told.append(more))
    monkeypatch.setattr(socket.socket, "connect", lambda self, place: told.append(place))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    capfd.readouterr()
    tuned = finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1), folder=tmp_path / "tuned")
    assert not told and capfd.readouterr() == ("", "")
    assert not list((tmp_path / "here").iterdir())
    kept = {file.suffix for file in tuned.folder.rglob("*") if file.is_file()}
    assert kept == {".json", ".jinja", ".safetensors"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tuned.lock", "here", "tiny", "tuned"]


@pytest.mark.parametrize(
    ("lessons", "recipe", "says"),
    [
        ([], FEW, "nothing to learn"),
        ([replace(LESSONS[0], response="")], FEW, "lesson 0 has an empty response"),
        ([PAIRS[0], LESSONS[1]], replace(FEW, method="dpo"), "lesson 1 has no rejected answer.*rejected="),
        (PAIRS, FEW, "lesson 0 has a rejected answer.*'dpo'"),
        (LESSONS, replace(FEW, max_tokens=20), r"lesson 0 has \d+ tokens.*max_tokens is 20.*shorten"),
        (LESSONS, replace(FEW, stages=13), "13 stages of 12 steps.*more epochs"),
    ],
)
def test_what_cannot_be_learnt_is_refused(bridge, tmp_path, lessons, recipe, says):
    with pytest.raises(FinetuneError, match=says):
        finetune(bridge, lessons, recipe=recipe, folder=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "ppo"}, "'ppo' is unknown: choose one of sft, dpo"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0, not 0.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(FinetuneError, match=says):
        Recipe(**wrong)


def test_a_loss_that_is_no_number_is_an_error(bridge, tmp_path):
    with torch.no_grad():
        matrices(bridge)[0].parameter.fill_(float("nan"))
    with pytest.raises(FinetuneError, match=r"no number any more from step 1 on.*lower learning_rate"):
        finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1), folder=tmp_path / "tuned")
    assert not list(tmp_path.glob(".tuned.*.partial"))


def test_hooks_are_refused_since_training_would_not_see_them(bridge, tmp_path):
    with ablated(bridge, Circuit(heads=[(0, 1)])), pytest.raises(FinetuneError, match=r"leave hc\.ablated.*hc\.prune"):
        finetune(bridge, LESSONS, recipe=FEW, folder=tmp_path / "tuned")


@pytest.mark.parametrize("package", ["trl", "peft"])
def test_a_missing_extra_is_named(bridge, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FinetuneError, match=rf"needs {package}.*pip install 'harmcircuits\[finetune\]'"):
        finetune(bridge, LESSONS, recipe=FEW)
