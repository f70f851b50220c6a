"""Ladders of tiny random models: the same stage twice changes nothing, nothing is read twice, and models come one at a time."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from shell import call, text, told, write
from tiny import tiny_bridge, tiny_model_folder
from triples import SETTINGS, make_triples

import harmcircuits.claims.reading as reading_module
from harmcircuits import store
from harmcircuits.ablation.hooks import ablated
from harmcircuits.claims.alignment import Alignment, compare_alignment
from harmcircuits.claims.alignment import run as run_module
from harmcircuits.claims.alignment.curve.plan import select_cells
from harmcircuits.claims.alignment.stage import sweep_of
from harmcircuits.data import loss
from harmcircuits.models.load import load_model
from harmcircuits.organisms import planted

FEW = replace(
    SETTINGS, test_triples=6, max_new_tokens=3, written_triples=1, facts=1, passages=1, probe_triples=4, protect_heads=0.0
)
PROMPTS = make_triples(24)
SIZES: dict[str, Any] = {"grains": ["neurons"], "points": 2, "spans": {"neurons": (0.02, 0.06)}, "settings": FEW}
HOW: dict[str, Any] = {"prompts": PROMPTS, **SIZES}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return [tiny_bridge(tmp_path_factory.mktemp(f"tiny{seed}"), seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def two(models: list[Any], folder: Path) -> Alignment:
    before = [parameter.clone() for model in models for parameter in model.parameters()]
    found = compare_alignment(models, names=["base", "SFT"], folder=folder, reproduce="again", **HOW)
    after = [parameter for model in models for parameter in model.parameters()]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    return found


def rows(claim: Alignment, table: str, **where: Any) -> pd.DataFrame:
    frame = claim.tables[table]
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame


@pytest.mark.model
def test_each_stage_is_read_on_its_own_responses_and_on_those_of_the_first(two: Alignment, models: list[Any]) -> None:
    stages = rows(two, "stages")
    assert list(zip(stages["stage"], stages["reading"], strict=True)) == [
        (name, reading) for name in ("base", "SFT") for reading in ("own", "fixed")
    ]
    base, later = (rows(two, "areas", stage=stage).set_index("reading")["area"] for stage in ("base", "SFT"))
    assert base["own"] == base["fixed"], "the base wrote both"
    assert later["own"] != later["fixed"]
    assert two.model["name"] == "base → SFT" and len(two.model["stages"]) == 2
    assert two.settings["fixed"] == "base" and two.settings["ladders"] == {"ladder": ["base", "SFT"]}


@pytest.mark.model
def test_what_is_read_of_the_fixed_responses_is_what_loss_says(two: Alignment, models: list[Any]) -> None:
    """A circuit of the second stage, found and tested on what the first one wrote."""
    how: dict[str, Any] = {"settings": FEW, "folder": None}
    base, other = (run_module.prepare(model, PROMPTS, **how) for model in models)
    both = run_module.read_by(other, run_module.written(base, "base"))
    assert both.examples == base.examples and both.model is models[1]
    found, _ = select_cells(both, sweep_of(["neurons"], points=2, spans=SIZES["spans"], ratio=2.0))
    cell, circuit = next(iter(found.items()))
    rises = []
    for examples in (list(base.examples[::3]), list(base.examples[1::3])):
        intact = loss(models[1], examples)
        with ablated(models[1], circuit):
            rises.append(loss(models[1], examples) - intact)
    curve = run_module.measure(both, sweep_of(["neurons"], points=2, spans=SIZES["spans"], ratio=2.0)).curve("neurons")
    assert curve is not None and cell.size.at == curve.at[0]
    np.testing.assert_allclose(curve.selectivity[:, 0], (rises[0] - rises[1]).numpy(), atol=1e-5)


@pytest.mark.model
def test_a_change_of_two_stages_is_the_difference_of_their_areas(two: Alignment) -> None:
    for reading in ("own", "fixed"):
        first, second = rows(two, "areas", reading=reading)["area"]
        change = two.values[f"area_change_neurons_{reading}"].value
        assert change == pytest.approx(second - first, abs=1e-9)
        asked = rows(two, "trends", measure="area", reading=reading, beyond="nothing").iloc[0]
        assert asked["change"] == change and asked["n"] == two.n == FEW.test_triples
    assert any("no trend" in limit for limit in two.limits) and any("no control ladder" in limit for limit in two.limits)


@pytest.mark.model
def test_it_loads_as_it_was_saved_and_draws_the_same(two: Alignment, tmp_path: Path) -> None:
    again = Alignment.load(two.save(tmp_path))
    assert again.document() == two.document() and again.command == "again"
    assert list(again.figures()) == ["separability"]
    for name, figure in two.figures().items():
        assert again.figures()[name].to_json() == figure.to_json()


@pytest.mark.model
def test_what_was_read_is_not_read_again(
    two: Alignment, models: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "_read", lambda *_, **__: pytest.fail("it was read again"))
    again = compare_alignment(models, names=["base", "SFT"], folder=folder, reproduce="again", **HOW)
    assert again.document() == two.document()


@pytest.mark.model
def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    two: Alignment, models: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = reading_module._read, []

    def stopping(*given: Any, **options: Any) -> Any:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*given, **options)

    monkeypatch.setattr(reading_module, "_read", stopping)
    how = {"names": ["base", "SFT"], "folder": tmp_path, "reproduce": "again"} | HOW
    with pytest.raises(KeyboardInterrupt):
        compare_alignment(models, **how)
    assert compare_alignment(models, **how).document() == two.document()


@pytest.mark.model
def test_models_are_loaded_one_at_a_time_the_writer_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tiny_model_folder(tmp_path / name, seed=at) for at, name in enumerate(["base", "sft", "style"])]
    alive: list[weakref.ref[Any]] = []
    loaded: list[str] = []

    def load(place: str | Path) -> Any:
        assert not [one for one in alive if one() is not None], "the one before is still there"
        model = load_model(place, device="cpu")
        alive.append(weakref.ref(model))
        loaded.append(Path(place).name)
        return model

    small = replace(FEW, test_triples=2, attribution_triples=2, development_triples=1, probe_triples=2, aim_triples=1)
    found = compare_alignment(
        places[:2], PROMPTS, controls={"style only": places[2:]}, fixed=1, load=load, **SIZES | {"settings": small}
    )
    gc.collect()
    assert loaded == ["sft", "base", "style"] and not [one for one in alive if one() is not None]
    assert found.settings["ladders"] == {"ladder": ["1: base", "2: sft"], "style only": ["1: base", "style only, 2: style"]}
    assert found.found == "cannot be measured" and "2 test triples are too few" in found.sentence
    assert found.model["controls"]["style only"][0]["name"] == "style only, 2: style"


@pytest.mark.model
def test_responses_of_another_tokenizer_are_not_read(models: list[Any]) -> None:
    found = compare_alignment([models[0], planted(0).model], names=["tiny", "planted"], **HOW)
    row = rows(found, "stages", stage="planted", reading="fixed").iloc[0]
    assert "its tokenizer is not that of tiny" in row["missing"] and np.isnan(row["request_information"])
    assert found.found == "cannot be measured" and any("planted was not measured on the fixed" in one for one in found.limits)
    fixed, own = (found.values[f"area_change_neurons_{reading}"] for reading in ("fixed", "own"))
    assert fixed.reason is not None and "Compare checkpoints of one tokenizer" in fixed.reason
    assert own.value is not None or "tokenizer" not in str(own.reason)


def test_the_command_names_stages_and_controls_and_tells_what_was_found(
    two: Alignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def measured(models: Any, prompts: Any, **how: Any) -> Alignment:
        asked.update(how, models=models, prompts=prompts)
        return two

    monkeypatch.setattr("harmcircuits.claims.alignment.compare_alignment", measured)
    out = tmp_path / "o"
    flags = ("--names", "base,SFT", "--control", "style only=c", "--fixed", 1, "--prompts", write(tmp_path / "p.csv"))
    flags += (
        "--grains",
        "weights, heads",
        "--points",
        5,
        "--ratio",
        10,
        "--span",
        "weights=1e-6,1e-4",
        "--span",
        "heads=0,0.1",
    )
    result = call("alignment", "a", "b", *flags, "--out", out, "--quick", "--seed", 3)
    assert result.exit_code == 0, result.output
    assert asked["models"] == ["a", "b"] and asked["names"] == ["base", "SFT"] and asked["fixed"] == 1
    assert asked["controls"] == {"style only": ["c"]} and asked["settings"].seed == 3
    assert (asked["grains"], asked["points"], asked["ratio"]) == (["weights", "heads"], 5, 10)
    assert asked["spans"] == {"weights": (1e-6, 1e-4), "heads": (0.0, 0.1)}
    assert Alignment.load(out).document() == two.document()
    assert [path.name for path in out.glob("*.html")] == ["alignment.html"]
    printed = text(result)
    assert f"{two.found}: {two.sentence[:40]}" in printed and two.limits[-1][:40] in printed


def test_what_the_command_cannot_do_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harmcircuits.cli.shared.load", lambda *_: pytest.fail("a model was loaded"))
    monkeypatch.setenv("COLUMNS", "200")
    out = "--out", tmp_path / "o"
    told(call("alignment", "a", *out), "error: a ladder is a list of at least two models")
    told(call("alignment", "a", "b", "--control", "style only", *out), "is not a name of its own and checkpoints", code=2)
    told(
        call("alignment", "a", "b", "--span", "weights=1", *out), "is not a grain, once, with its smallest and largest", code=2
    )
    told(call("alignment", "a", "b", "--span", "layers=0.1,0.2", *out), "error: grains are heads, neurons, weights")
    wrong = call("alignment", "a", "b", "--span", "weights=1", *out)
    told(wrong, "is not a grain, once, with its smallest and largest", code=2)
