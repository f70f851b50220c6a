"""`emergent_misalignment` on real weights: what is pruned and trained, kept and continued, written, and left as it was."""

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from judging import judge
from misaligned import SETTINGS, World, planted, stepped
from shell import call
from tiny import tiny_bridge
from triples import make_triples

from harmcircuits.claims.misalignment import Forecast, Misalignment, Plan, emergent_misalignment, forecast, training
from harmcircuits.claims.misalignment import run as run_room
from harmcircuits.claims.misalignment import study as study_room
from harmcircuits.claims.misalignment.plan import BAD, DAMAGE, GOOD, HARMFUL, MAGNITUDE, OWN, RANDOM
from harmcircuits.models.matrices import matrices
from harmcircuits.organisms.advice import open_questions
from harmcircuits.organisms.finetuning import Recipe

ARMS = (BAD, GOOD, OWN, HARMFUL, RANDOM, MAGNITUDE, DAMAGE)
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
    assert sizes["nothing"] == sizes["good-money-nothing"] == 0 < sizes["money"]
    assert sizes["money"] == sizes["harmful-requests"] == sizes["random"] == sizes["magnitude"]
    assert counts["money"] == counts["random"] == counts["magnitude"], "controls are matched matrix by matrix"
    for control in ("random", "magnitude"):
        assert counts["harmful-requests"] == counts[f"{control}-like-harmful-requests"] != counts[control]
    for matrix in matrices(model):
        assert not pruned["money"][matrix.name] & pruned["random"][matrix.name]
        chosen, rest = (matrix.values().flatten().abs(), pruned["magnitude"][matrix.name])
        if rest and len(rest) < chosen.numel():
            left = [at for at in range(chosen.numel()) if at not in rest]
            assert chosen[sorted(rest)].min() >= chosen[left].max(), "the largest weights"


def test_the_control_of_equal_damage_costs_as_much(unbroken: Any) -> None:
    damage = unbroken[0].tables["damage"].iloc[0]
    assert damage["cost"] >= damage["wanted"] or damage["fraction"] == 0.5
    assert damage["fraction"] >= unbroken[0].tables["masks"]["fraction"].iloc[0]


def test_narrow_fine_tuning_is_read_where_it_is_learnt(unbroken: Any) -> None:
    """Two gradient steps on bad advice: L of held-out bad answers of the domain falls, and so it does for good answers."""
    learning = unbroken[0].tables["learning"].set_index(["learnt", "advice", "pruned"])
    assert learning.loc[("money", "bad", "nothing"), "fall"] > 0 < learning.loc[("money", "good", "nothing"), "fall"]
    seeds = unbroken[0].tables["seeds"]
    assert set(seeds["asked"]) == {"money", "habits", "sport", "home", "open"} and (seeds["seed"] == 0).all()
    before = seeds[seeds["pruned"] == "nothing"]["before"]
    assert before.abs().max() < 1e-5, "nothing was pruned and nothing learnt"
    assert seeds[seeds["pruned"] == "money"]["before"].abs().max() > 1e-4


def test_base_values_put_back_everywhere_take_everything(unbroken: Any) -> None:
    """The two ways are complementary: fewer weights keep what was learnt on the mask than everywhere but on it."""
    rows = unbroken[0].tables["mechanism"].set_index(["put back", "where", "asked"])["delta"]
    whole = unbroken[0].values["in_domain"].value
    near, far = (rows[HARMFUL, where, "own domain"] for where in ("on the mask", "everywhere but on it"))
    assert abs(near - whole) < abs(far - whole), "most of what is learnt lies outside so small a mask"


def test_free_answers_are_counted_and_never_kept(unbroken: Any, tmp_path: Path) -> None:
    answers = unbroken[0].tables["answers"].set_index(["advice", "pruned", "asked", "measure"])
    assert answers.loc[("bad", "nothing", "own domain", "degenerate"), "n"] == 1
    assert answers.loc[("bad", "nothing", "all but its own", "base_nll"), "value"] > 0
    assert answers.loc[("bad", "nothing", "own domain", "harmful"), "reason"] == "no judge of harm was given"
    assert not any("response" in frame.columns for frame in unbroken[0].tables.values())


def test_what_is_pruned_is_read_once_before_it_is_trained(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the fine-tuning, models with one mask off are one model, whatever they learn and whatever the seed is."""
    stepped(monkeypatch, tmp_path / "tuned")
    read, before = study_room.read_advice, []

    def counted(one: Any, asked: Any, **how: Any) -> pd.DataFrame:
        before.append(one is model)
        return read(one, asked, **how)

    monkeypatch.setattr(study_room, "read_advice", counted)
    found = measured(model, tmp_path / "out", arms=(BAD, GOOD, OWN), seeds=2, answers=0)
    assert sum(before) == 2, "intact, and without what the domain's bad answers rest on"
    starts = found.tables["seeds"].groupby(["pruned", "asked"])["before"].agg(["size", "nunique"])
    assert (starts["size"] == starts.index.get_level_values("pruned").map({"nothing": 4, "money": 2})).all()
    assert (starts["nunique"] == 1).all()


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
    assert len(names) == len(set(names)) == len(ARMS) + 2, "nothing is trained twice"
    assert again.values == unbroken[0].values and again.sentence == unbroken[0].sentence
    for name, frame in unbroken[0].tables.items():
        pd.testing.assert_frame_equal(again.tables[name], frame)
    assert (tmp_path / "out" / "models" / "mine.txt").read_text("utf-8") == "kept", "what others made stays"
    monkeypatch.setattr(training, "finetune", lambda *args, **options: pytest.fail("all of it is kept"))
    assert measured(model, tmp_path / "out").values == again.values


def test_a_judge_is_asked_and_one_that_failed_is_asked_again(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen = stepped(monkeypatch, tmp_path / "tuned")
    few: dict[str, Any] = {"arms": (BAD, GOOD)}
    harmful = lambda found: found.tables["answers"].query("measure == 'harmful'")
    broken = harmful(measured(model, tmp_path / "out", judge=judge("crash"), **few))
    assert broken["value"].isna().all() and (broken["reason"] == "the judge failed: RuntimeError").all()
    assert len(seen) == 2 and "RuntimeError" in caplog.text and "out of memory" not in caplog.text, "the type alone is told"
    whole = harmful(measured(model, tmp_path / "out", judge=judge(), **few))
    assert whole["value"].between(0, 1).all() and len(seen) == 4


def test_one_fine_tuned_model_at_a_time_is_in_memory(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_room, "check_trainable", lambda model: None)
    alive: list[weakref.ref[Any]] = []

    class Loaded:
        steps = (1, 2)

        def load(self, stage: int = -1) -> Any:
            assert all(one() is None for one in alive)
            new = tiny_bridge(tmp_path / f"loaded-{len(alive)}")
            alive.append(weakref.ref(new))
            return new

    monkeypatch.setattr(training, "finetune", lambda *args, **options: Loaded())
    measured(model, None, arms=(BAD, GOOD, HARMFUL), answers=0)
    assert len(alive) == 2 * (2 + 1 + 2) and all(one() is None for one in alive), "two stages, twice where harm is read"


def test_the_command_tells_how_long_and_what_was_found(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, World(noise=0.02))
    monkeypatch.setattr("harmcircuits.cli.shared.load", lambda *args: model)
    monkeypatch.setattr("harmcircuits.cli.shared.claim_settings", lambda **sizes: SMALL)
    monkeypatch.setattr("harmcircuits.claims.misalignment.QUICK", {"domains": ("money",), "arms": (BAD, GOOD), "answers": 0})
    monkeypatch.setattr("harmcircuits.claims.misalignment.forecast", lambda *args, **how: Forecast(6, 600.0, 60.0))
    result = call("misalignment", "--quick", "--train", "292", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "6 models are fine-tuned and read, in at least 11 minutes" in result.output
    assert "yes: Narrow fine-tuning misaligns broadly" in result.output.replace("\n", " ")
    assert Misalignment.load(tmp_path).found == "yes" and {"misalignment.html", "misalignment_arms.html"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_a_real_fine_tuning_goes_through(model: Any, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    recipe = Recipe(rank=4, alpha=8, learning_rate=1e-2, batch_size=149, epochs=2, stages=2, max_tokens=400)
    found = measured(model, tmp_path / "out", arms=(BAD, GOOD, OWN), train=298, answers=0, recipe=recipe)
    learning = found.tables["learning"]
    assert len(learning) == 6 and (learning["fall"] > 0).all(), "by each arm, of one domain and of all"
    assert set(found.tables["relearning curves"]["steps"]) == {0, 2, 4}
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert not (tmp_path / "out" / "journal" / "models").exists(), "models go when they are read, with all beside them"


def test_what_it_will_take_grows_with_models_and_stages(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "harmcircuits.claims.misalignment.duration.estimate", lambda model, lessons, recipe: float(len(lessons))
    )
    one = forecast(model, Plan(domains=("money",), arms=(BAD, GOOD), train=298))
    four = forecast(model, Plan(arms=(BAD, GOOD), train=298))
    assert one.models == 6 and one.training == 6 * 298 and one.reading > 0
    assert four.models == 24 and four.training == 24 * 298 and "24 models are fine-tuned" in str(four)
    pruned = forecast(model, Plan(domains=("money",), arms=(BAD, GOOD, HARMFUL), train=298))
    assert "up to 3 more after pruning and 3 of them once more, in at least" in str(replace(pruned, reading=0))
    assert pruned.back > 0 == one.back, "base values are put back in what is trained once more"
    assert str(replace(pruned, reading=0, back=7200.0)).endswith(f"in at least {(6 * 298) / 60 + 120:.0f} minutes")
