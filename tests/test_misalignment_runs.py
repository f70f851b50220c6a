"""`emergent_misalignment` on real weights: what is pruned and trained, kept and continued, written, and left as it was."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from misaligned import SETTINGS, World, planted, stepped
from shell import call
from tiny import tiny_bridge
from triples import make_triples

from harmcircuits import store
from harmcircuits.claims.misalignment import Misalignment, emergent_misalignment, training
from harmcircuits.claims.misalignment.effects import PARTS
from harmcircuits.claims.misalignment.plan import BAD, GOOD, MAGNITUDE, OWN, RANDOM
from harmcircuits.models.matrices import matrices
from harmcircuits.organisms.advice import open_questions
from harmcircuits.organisms.finetuning import Recipe
from harmcircuits.store.frames import as_frame

ARMS = (BAD, GOOD, OWN, RANDOM, MAGNITUDE)
SMALL = replace(SETTINGS, max_new_tokens=3)


@pytest.fixture(autouse=True, scope="module")
def few_open_questions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harmcircuits.claims.misalignment.questions.open_questions", lambda: open_questions()[:4])
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_bridge(tmp_path_factory.mktemp("tiny"))


def measured(model: Any, folder: Path | None, **options: Any) -> Misalignment:
    own = {"domains": ("money",), "arms": ARMS, "train": 298, "seeds": 1, "answers": 1, "settings": SMALL} | options
    return emergent_misalignment(model, folder=folder, prompts=make_triples(), **own)


@pytest.fixture(scope="module")
def unbroken(model: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Misalignment, list[Any], dict[str, Any]]:
    """A whole run, what each fine-tuning started from, and the model's parameters before."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    with pytest.MonkeyPatch.context() as patch:
        seen = stepped(patch, tmp_path_factory.mktemp("tuned"))
        found = measured(model, None)
    return found, seen, before


def zeroed(model: Any, start: dict[str, Any]) -> dict[str, set[int]]:
    """Which weights differ from the model's; they are all 0."""
    found = {}
    for matrix in matrices(model):
        changed = (start[matrix.name] != matrix.values()).flatten().nonzero().flatten()
        assert (start[matrix.name].flatten()[changed] == 0).all()
        found[matrix.name] = set(changed.tolist())
    return found


def test_the_model_has_every_bit_that_it_had(unbroken: Any, model: Any) -> None:
    _, _, before = unbroken
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


def test_each_arm_starts_from_the_model_with_its_mask_at_zero(unbroken: Any, model: Any) -> None:
    _, seen, _ = unbroken
    pruned = {name.removeprefix("bad-money-").removesuffix("-0"): zeroed(model, start) for name, start in seen}
    counts = {name: {matrix: len(own) for matrix, own in found.items()} for name, found in pruned.items()}
    sizes = {name: sum(own.values()) for name, own in counts.items()}
    assert sizes["nothing"] == sizes["good-money-nothing"] == 0 < sizes["own-domain"]
    assert sizes["own-domain"] == sizes["random"] == sizes["magnitude"]
    assert counts["own-domain"] == counts["random"] == counts["magnitude"], "controls are matched matrix by matrix"
    for matrix in matrices(model):
        assert not pruned["own-domain"][matrix.name] & pruned["random"][matrix.name]
        chosen, rest = (matrix.values().flatten().abs(), pruned["magnitude"][matrix.name])
        if rest and len(rest) < chosen.numel():
            left = [at for at in range(chosen.numel()) if at not in rest]
            assert chosen[sorted(rest)].min() >= chosen[left].max(), "the largest weights"


def test_narrow_fine_tuning_is_read_where_it_is_learnt(unbroken: Any) -> None:
    table = unbroken[0].tables["advice"].set_index(["learnt", "advice", "pruned", "asked", "read"])
    assert {*table.index.get_level_values("asked")} == {*PARTS} and table["value"].notna().any()
    assert table["low"].isna().all(), "one fine-tuning has no interval"
    assert set(unbroken[0].tables["masks"]["selected on"]) == {"money"}


def kept(folder: Path, what: str) -> list[pd.DataFrame]:
    """Every part of a kind that the journal holds."""
    return [as_frame(store.read_json(path)["table"]) for path in (folder / "journal").glob(f"{what}-*.json")]


def test_what_is_learnt_gets_likelier_and_free_answers_are_counted_and_never_kept(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped(monkeypatch, tmp_path / "tuned")
    measured(model, tmp_path / "out", arms=(BAD, GOOD))
    answers, losses = kept(tmp_path / "out", "answers"), kept(tmp_path / "out", "advice")
    assert [list(frame) for frame in answers] == [["id", "degenerate"]] * 2, "of good and of bad advice"
    advice = [frame[frame["id"].str.startswith("money")] for frame in losses if "stage" in frame]
    means = [frame.groupby("stage")[["good", "bad"]].mean() for frame in advice]
    assert len(means) == 2 and all((mean.loc[2] < mean.loc[0]).all() for mean in means)


class Killed(Exception):
    pass


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    unbroken: Any, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = stepped(monkeypatch, tmp_path / "tuned")
    (tmp_path / "out" / "models").mkdir(parents=True)
    (tmp_path / "out" / "models" / "mine.txt").write_text("kept", "utf-8")
    real = training.finetune

    def until_killed(*args: Any, **options: Any) -> Any:
        if len(seen) == 3:
            raise Killed
        return real(*args, **options)

    monkeypatch.setattr(training, "finetune", until_killed)
    with pytest.raises(Killed):
        measured(model, tmp_path / "out")
    monkeypatch.setattr(training, "finetune", real)
    again = measured(model, tmp_path / "out")
    names = [name for name, _ in seen]
    assert len(names) == len(set(names)) == len(ARMS), "nothing is trained twice"
    assert again.values == unbroken[0].values and again.sentence == unbroken[0].sentence
    for name, frame in unbroken[0].tables.items():
        pd.testing.assert_frame_equal(again.tables[name], frame)
    assert (tmp_path / "out" / "models" / "mine.txt").read_text("utf-8") == "kept", "what others made stays"
    monkeypatch.setattr(training, "finetune", lambda *args, **options: pytest.fail("all of it is kept"))
    assert measured(model, tmp_path / "out").values == again.values


def test_the_command_tells_how_many_models_and_what_was_found(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, World(noise=0.02))
    monkeypatch.setattr("harmcircuits.cli.shared.load", lambda *args: model)
    monkeypatch.setattr("harmcircuits.cli.shared.claim_settings", lambda **sizes: SMALL)
    monkeypatch.setattr("harmcircuits.claims.misalignment.QUICK", {"domains": ("money",), "arms": (BAD, GOOD), "answers": 0})
    result = call("misalignment", "--quick", "--train", "292", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "At most 6 models are fine-tuned" in result.output
    assert "yes: Narrow fine-tuning misaligns broadly" in result.output.replace("\n", " ")
    assert Misalignment.load(tmp_path).found == "yes" and (tmp_path / "misalignment.html").exists()


def test_a_real_fine_tuning_goes_through(model: Any, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    recipe = Recipe(rank=4, alpha=8, learning_rate=1e-2, batch_size=149, epochs=2, stages=2, max_tokens=400)
    measured(model, tmp_path / "out", arms=(BAD, GOOD), train=298, answers=0, recipe=recipe)
    parts = [frame for frame in kept(tmp_path / "out", "advice") if "stage" in frame]
    means = [frame[frame["id"].str.startswith("money")].groupby("stage")[["good", "bad"]].mean() for frame in parts]
    assert len(means) == 2 and all((mean.loc[2] < mean.loc[0]).any() for mean in means)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert not (tmp_path / "out" / "journal" / "models").exists(), "models go when they are read, with all beside them"
