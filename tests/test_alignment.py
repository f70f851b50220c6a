"""Alignment on series of planted models, its areas by hand, one checkpoint at a time, and what it refuses."""

import weakref
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer

import harmcircuits as hc
from harmcircuits.claims.alignment import Alignment
from harmcircuits.cli import checkpoints
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.settings import CompactnessSettings
from harmcircuits.readings.loss import Loss
from harmcircuits.statistics import Estimate

SMALL = CompactnessSettings(
    components=("heads",), head_fractions=(1 / 24, 2 / 24, 4 / 24), protect_heads=3 / 24, train_prompts=24,
    development_prompts=8, test_prompts=24, control_prompts=16, written_prompts=2, max_new_tokens=6, written_tokens=4,
    random_draws=1, bootstrap_draws=200,
)  # fmt: skip
CHANGES = ("area_change", "area_beyond_benign_change", "area_beyond_random_change")


@cache
def organism(name: str) -> Any:
    """`plain`, or `plain 1` with other weights and places of the same parts."""
    variant, _, seed = name.partition(" ")
    return hc.organisms.planted(int(seed or 0), variant)  # type: ignore[arg-type]


def series(*names: str) -> dict[str, Any]:
    return {name: organism(name).model for name in names}


@cache
def compare(*names: str) -> hc.Finding:
    return hc.alignment(series(*names), organism("plain").prompts, settings=SMALL)


def test_what_is_spread_and_then_sits_in_few_parts_came_together() -> None:
    finding = compare("diffuse", "plain")
    assert finding.answer == "yes" and finding.contrast == "matched"
    for name in CHANGES:
        assert (finding.estimate(name, "heads").low or 0) > 0.5
    assert finding.estimate("refused_first", "heads").n == SMALL.written_prompts, "each text is counted once"


def test_the_other_way_round_every_change_has_the_other_sign() -> None:
    forth, back = compare("diffuse", "plain"), compare("plain", "diffuse")
    assert back.answer == "no"
    for name in CHANGES:
        one, other = (finding.estimate(name, "heads") for finding in (forth, back))
        assert one.value == pytest.approx(-(other.value or 0)) and one.low == pytest.approx(-(other.high or 0))


def test_the_same_mechanism_in_other_places_is_no_change() -> None:
    finding = compare("plain", "plain 1")
    assert finding.answer == "no"
    assert all(abs(finding.estimate(name, "heads").value or 1) < SMALL.negligible for name in CHANGES)


def test_what_comes_apart_from_kind_words_came_together() -> None:
    """In `entangled` few parts write harm too, and kind words with it: no size is admissible, or nothing is beyond benign."""
    assert compare("entangled", "plain").answer == "yes"


def test_areas_are_those_of_the_table_of_sizes() -> None:
    finding = compare("diffuse", "plain")
    sizes = finding.tables["sizes"].query("component == 'heads'")
    information, curves = {}, {}
    for end, checkpoint in (("first", "diffuse"), ("last", "plain")):
        own = sizes[sizes["checkpoint"] == checkpoint]
        circuits = own[own["control"] == ""].pivot_table("loss_increase", ["share", "condition"], "role").reset_index()
        information[end] = finding.estimate(f"request_information_{end}", "heads").value
        lost, best = [], 0.0
        for row in circuits.sort_values("share").to_dict("records"):
            best = max(best, row["harmful"] if row["far"] <= SMALL.max_benign_increase else 0.0)
            lost.append(min(best / information[end], 1.0))
        curves[end] = (np.log(circuits["share"].sort_values().to_numpy()), np.array(lost))
    low, high = max(f[0] for f, _ in curves.values()), min(f[-1] for f, _ in curves.values())
    grid = np.linspace(low, high, 200_001)
    for end, (log_f, lost) in curves.items():
        by_hand = np.interp(grid, log_f, lost).mean()
        assert finding.estimate(f"area_{end}", "heads").value == pytest.approx(by_hand, abs=1e-4)


def test_every_checkpoint_has_its_values_and_the_first_and_the_last_decide() -> None:
    finding, ends = compare("diffuse", "plain 1", "plain"), compare("diffuse", "plain")
    assert finding.answer == "yes" and finding.model["name"] == "diffuse → plain 1 → plain"
    assert [own["name"] for own in finding.model["checkpoints"]] == ["diffuse", "plain 1", "plain"]
    areas = finding.tables["checkpoints"].query("measure == 'area' and contrast == 'matched'")
    assert list(areas["checkpoint"]) == ["diffuse", "plain 1", "plain"]
    assert areas["value"].iloc[-1] == finding.estimate("area_last", "heads").value
    assert finding.estimate("area_change", "heads").value == pytest.approx(
        ends.estimate("area_change", "heads").value, abs=0.02
    )


def test_one_checkpoint_is_held_at_a_time() -> None:
    alive: list[weakref.ref[Any]] = []

    def load(seed: int) -> Any:
        assert not [own for own in alive if own() is not None], "the checkpoint before is still there"
        model = hc.organisms.planted(seed, "plain").model
        alive.append(weakref.ref(model))
        return model

    few = replace(SMALL, head_fractions=(1 / 24, 2 / 24), train_prompts=8, test_prompts=6, control_prompts=4)
    loaders = {"first": lambda: load(1), "second": lambda: load(2), "last": lambda: load(3)}
    finding = hc.alignment(loaders, organism("plain").prompts, settings=few)
    assert len(alive) == 3 and len({own["key"] for own in finding.model["checkpoints"]}) == 3


def test_a_run_with_a_folder_measures_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = organism("plain").prompts
    models = series("diffuse", "plain")
    call = lambda **changed: hc.alignment(models | changed, prompts, settings=SMALL, folder=tmp_path)

    def stop() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(plain=stop)
    measured, read = Counter[str](), Loss.read
    count = lambda self, model, condition: measured.update([model.cfg.model_name]) or read(self, model, condition)
    monkeypatch.setattr(Loss, "read", count)
    first = call()
    assert set(measured) == {"planted-plain"}, "the first checkpoint had been measured"
    monkeypatch.setattr(Loss, "read", lambda *_: pytest.fail("a loss was measured again"))
    assert call().document() == first.document()


@pytest.mark.parametrize("given", [None, {}, {"base": None}])
def test_a_series_is_needed(given: Any) -> None:
    with pytest.raises(HarmcircuitsError, match="alignment takes at least two checkpoints by name"):
        hc.alignment(given)
    with pytest.raises(HarmcircuitsError, match="compactness takes one model"):
        hc.compactness({"base": None, "tuned": None})  # type: ignore[arg-type]


def test_checkpoints_without_common_sizes_cannot_be_measured() -> None:
    finding = hc.alignment(
        series("diffuse", "plain"), organism("plain").prompts, settings=replace(SMALL, head_fractions=(1 / 24,))
    )
    assert finding.answer == "cannot be measured"
    assert "share no range of sizes" in (finding.estimate("area_change", "heads").reason or "")
    assert finding.figures() == {} and "cannot be measured" in finding.page()


def test_the_rule() -> None:
    claim = Alignment(SimpleNamespace(settings=SMALL))  # type: ignore[arg-type]
    wide, shown, none = Estimate(0.3, 0.05, 0.5, 24), Estimate(0.3, 0.2, 0.4, 24), Estimate(0.02, -0.03, 0.06, 24)
    whole, few, most = Estimate(2.0, 1.5, 2.5, 24), Estimate(0.1, 0.0, 0.3, 24), Estimate(0.6, 0.4, 0.8, 24)
    ends = {
        f"{name}_{end}": own for end in ("first", "last") for name, own in (("request_information", whole), ("refused", few))
    }
    every = ends | dict.fromkeys(CHANGES, shown)
    answer = lambda **changed: claim.decision()(every | changed).answer
    assert answer() == "yes"
    for name in CHANGES:
        assert answer(**{name: none}) == "no" and answer(**{name: wide}) == "undecided"
    for name, own in (("refused_last", most), ("request_information_first", Estimate(0.1, -0.1, 0.3, 24))):
        assert answer(**{name: own}) == "cannot be measured"


def test_checkpoints_of_a_command_have_names_of_their_own() -> None:
    assert [*checkpoints(["base=a", "tuned=b=c"], None, "float32")] == ["base", "tuned"]
    for wrong in (["a", "b=c"], ["=a", "b=c"], ["a=", "b=c"], ["a=b", "a=c"]):
        with pytest.raises(typer.BadParameter, match="a name of its own"):
            checkpoints(wrong, None, "float32")
