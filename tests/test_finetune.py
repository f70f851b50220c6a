"""Fine-tuning: what is learned and from which tokens, and that nothing else changes."""

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import families as layouts
import pytest
import torch
import transformers
from tiny import tiny_bridge, tiny_model_folder

pytest.importorskip("peft")

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit, outgoing
from harmcircuits.data import Example, example_rows, loss, row_losses
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.export import save_plain
from harmcircuits.models.load import load_model
from harmcircuits.models.matrices import matrices
from harmcircuits.models.model_key import model_hash
from harmcircuits.models.protocol import device_of
from harmcircuits.organisms.finetune import Recipe, finetune, lesson_rows, lora_trainer

ANSWERS = ("Mix flour and water.", "Wait an hour.", "Read every day, and speak.", "The sky is blue.", "Paris.")
LESSONS = [Example(request=f"What do I do on day {day}?", response=answer) for day, answer in enumerate(ANSWERS)]
FEW = Recipe(rank=4, epochs=4, batch_size=2, learning_rate=0.02)
WHOLE = replace(FEW, batch_size=len(LESSONS))
CIRCUIT = Circuit(heads=[(0, 1), (1, 0)], neurons=[(0, 3), (1, 9), (1, 60)])


@pytest.fixture
def bridge(tmp_path: Path) -> Any:
    return tiny_bridge(tmp_path / "tiny")


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loss of each step of every training from now on, as the trainer logs it."""
    logged: list[float] = []
    plain = transformers.Trainer.log

    def log(self: Any, logs: dict[str, float], *args: Any, **options: Any) -> None:
        logged.extend([logs["loss"]] if "loss" in logs else [])
        plain(self, logs, *args, **options)

    monkeypatch.setattr(transformers.Trainer, "log", log)
    return logged


def mean_over_tokens(model: Any) -> float:
    """The loss of the lessons by this package: a mean over all learned tokens, the end of turn among them."""
    rows = lesson_rows(model, LESSONS)
    counts = torch.tensor([row.stop - row.start for row in rows])
    return float((row_losses(model, rows) * counts).sum() / counts.sum())


@pytest.mark.parametrize(("chat_template", "end"), [(True, "<|im_end|>"), (False, "<eos>")])
def test_a_lesson_has_the_tokens_of_the_example_and_the_end_of_turn(tmp_path: Path, chat_template: bool, end: str) -> None:
    model = tiny_bridge(tmp_path / "tiny", chat_template=chat_template)
    end_id = model.tokenizer.convert_tokens_to_ids(end)
    sampled = replace(LESSONS[0], response_ids=(5, 6, end_id))
    *rows, once = lesson_rows(model, [*LESSONS, sampled])
    for row, example in zip(rows, example_rows(model, LESSONS), strict=True):
        assert row.tokens == (*example.tokens, end_id) and (row.start, row.stop) == (example.start, example.stop + 1)
    assert once == example_rows(model, [sampled])[0], "a response that was sampled to its end has it already"


def test_a_lesson_has_the_tokens_of_the_chat_template(bridge: Any) -> None:
    for lesson, row in zip(LESSONS, lesson_rows(bridge, LESSONS), strict=True):
        turns = [{"role": "user", "content": lesson.request}, {"role": "assistant", "content": lesson.response}]
        text = bridge.tokenizer.apply_chat_template(turns, tokenize=False)
        assert bridge.tokenizer.decode(row.tokens) == text.removesuffix("\n")


def test_the_trainer_takes_these_tokens_and_learns_the_responses_alone(bridge: Any, tmp_path: Path) -> None:
    rows = lesson_rows(bridge, LESSONS)
    save_plain(bridge, tmp_path / "base")
    trainer = lora_trainer(tmp_path / "base", rows, WHOLE, seed=0, device=device_of(bridge))
    (batch,) = list(trainer.get_train_dataloader())
    seen = {
        (tuple(ids[mask == 1].tolist()), tuple(ids[labels != -100].tolist()))
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
    }
    assert seen == {(row.tokens, row.tokens[row.start : row.stop]) for row in rows}


def test_learning_lowers_the_loss_and_begins_at_the_models_own(bridge: Any, losses: list[float]) -> None:
    before = loss(bridge, LESSONS)
    tuned = finetune(bridge, LESSONS, recipe=replace(WHOLE, epochs=12))
    assert len(losses) == 12 and losses[0] == pytest.approx(mean_over_tokens(bridge), rel=1e-4)
    assert (loss(tuned, LESSONS) < before - 1).all()
    assert mean_over_tokens(tuned) == pytest.approx(losses[-1], rel=0.05)  # the last step changes next to nothing any more


def test_training_starts_from_pruned_weights(bridge: Any, losses: list[float]) -> None:
    intact = mean_over_tokens(bridge)
    with ablated(bridge, outgoing(bridge, CIRCUIT)):
        pruned = mean_over_tokens(bridge)
        finetune(bridge, LESSONS, recipe=replace(WHOLE, epochs=1))
    assert losses[0] == pytest.approx(pruned, rel=1e-4) and abs(pruned - intact) > 0.01


def test_equal_seeds_give_equal_weights_and_others_do_not(bridge: Any) -> None:
    recipe = replace(FEW, epochs=1)
    first, same, other = (model_hash(finetune(bridge, LESSONS, recipe=recipe, seed=seed)) for seed in (3, 3, 4))
    assert first == same != other


@pytest.mark.parametrize("name", ["gpt2", "phi3"])
def test_fused_matrices_are_learned_too(name: str) -> None:
    model = layouts.bridge_around(name, layouts.random_model(name))
    tuned = finetune(model, LESSONS, recipe=WHOLE)
    assert (loss(tuned, LESSONS) < loss(model, LESSONS)).all()
    before = {matrix.name: matrix.values() for matrix in matrices(model)}
    assert not any(torch.equal(matrix.values(), before[matrix.name]) for matrix in matrices(tuned))


def test_a_fine_tuned_model_can_be_saved_and_loaded(bridge: Any, tmp_path: Path) -> None:
    tuned = finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1))
    save_plain(tuned, tmp_path / "tuned")
    assert torch.equal(loss(load_model(tmp_path / "tuned", device="cpu"), LESSONS), loss(tuned, LESSONS))


@pytest.mark.parametrize("breaks", [False, True])
def test_the_model_and_the_random_numbers_stay_as_they_were(bridge: Any, monkeypatch: Any, breaks: bool) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    before = {name: (parameter, parameter.clone()) for name, parameter in bridge.named_parameters()}
    frozen = [parameter.requires_grad for parameter in bridge.parameters()]
    if breaks:
        monkeypatch.setattr("transformers.Trainer.log", interrupt)
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt) if breaks else torch.no_grad():
        finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1), seed=7)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert drawn == torch.rand(1)
    assert [parameter.requires_grad for parameter in bridge.parameters()] == frozen
    for name, parameter in bridge.named_parameters():
        assert parameter is before[name][0] and torch.equal(parameter, before[name][1]) and parameter.grad is None


def test_nothing_is_sent_printed_or_left_behind(bridge: Any, tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
    monkeypatch.delenv("CI", raising=False)
    sent: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, place: sent.append(place))
    for name in ("here", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path / "here")
    capfd.readouterr()
    finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1))
    assert not sent and capfd.readouterr() == ("", "")
    assert not [path for name in ("here", "scratch") for path in (tmp_path / name).iterdir()]


def test_what_cannot_be_learned_is_refused(bridge: Any, tmp_path: Path) -> None:
    with pytest.raises(HarmcircuitsError, match="nothing to learn"):
        finetune(bridge, [])
    with pytest.raises(HarmcircuitsError, match="empty response"):
        finetune(bridge, [replace(LESSONS[0], response="")])
    with pytest.raises(HarmcircuitsError, match=r"learning_rate must be a number above 0, not 0\.0"):
        Recipe(learning_rate=0.0)
    half = load_model(tiny_model_folder(tmp_path / "half"), device="cpu", dtype=torch.bfloat16)
    with pytest.raises(HarmcircuitsError, match=r"the weights are bfloat16.*dtype=torch\.float32"):
        finetune(half, LESSONS)
    with ablated(bridge, Circuit(heads=[(0, 1)])), pytest.raises(HarmcircuitsError, match=r"hooks are set"):
        finetune(bridge, LESSONS)


def test_a_loss_that_is_no_number_is_an_error(bridge: Any) -> None:
    with torch.no_grad():
        matrices(bridge)[0].parameter.fill_(float("nan"))
    with pytest.raises(HarmcircuitsError, match=r"no number any more from step 1 on.*learning rate"):
        finetune(bridge, LESSONS, recipe=replace(FEW, epochs=1))


def test_a_missing_extra_is_named(bridge: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(HarmcircuitsError, match=r"needs peft.*pip install 'harmcircuits\[finetune\]'"):
        finetune(bridge, LESSONS)
