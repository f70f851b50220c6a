"""Generality on models: the planted truth comes out, runs resume, nothing is changed, and the shell says what was found."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from shell import small, write
from tiny import tiny_model_folder
from triples import SETTINGS, make_triples
from typer.testing import CliRunner

from harmcircuits.claims.earlier import ClaimError
from harmcircuits.claims.generality import Generality, generality
from harmcircuits.claims.generality import rises as rises_module
from harmcircuits.claims.generality.plan import kinds_of, plan, selected
from harmcircuits.claims.material import Material, prepare
from harmcircuits.cli.generality import generality as command
from harmcircuits.data import Example
from harmcircuits.experiments.settings import ClaimSettings
from harmcircuits.models.protocol import HookedModel
from harmcircuits.organisms import planted
from harmcircuits.organisms.organism import Variant
from harmcircuits.tasks.teacher_forced import teacher_forced

KINDS = ("vandalism", "mischief", "pranks")
PROMPTS = make_triples(24, categories=KINDS)
SMALL = replace(SETTINGS, attribution_triples=9, test_triples=6, head_fraction=0.1)
PLANTED = ClaimSettings(
    attribution_triples=32, development_triples=8, test_triples=24, max_new_tokens=6, head_fraction=2 / 24,
    neuron_fraction=4 / 192, protect_heads=0.25, protect_neurons=0.05, shots=4, shot_draws=1, probe_triples=32, aim_triples=8,
    many_shot_triples=4, bootstrap_draws=200,
)  # fmt: skip


@pytest.fixture
def material(tiny: Any) -> Material:
    return prepare(tiny, PROMPTS, settings=SMALL)


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many circuits each sweep was given, the intact model apart."""
    seen: list[int] = []

    def recorded(model: HookedModel, circuits: Any, examples: list[Example]) -> torch.Tensor:
        seen.append(len(circuits) - 1)
        return sweep(model, circuits, examples)

    sweep = rises_module.sweep
    monkeypatch.setattr(rises_module, "sweep", recorded)
    return seen


def numbers(found: Generality) -> Any:
    return json.loads(json.dumps(found.document()))


def test_a_claim_is_saved_whole(tiny: Any, tmp_path: Path, swept: list[int]) -> None:
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    options: dict[str, Any] = {"settings": SMALL, "matched": 2, "swaps": 3, "folder": tmp_path, "reproduce": "again"}
    found = generality(tiny, PROMPTS, **options)
    assert sum(swept) == 3 + 3 * 2 and found.settings["swaps"] == 3
    assert len(found.table()) == (3 + 1) * 3
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    loaded = Generality.load(found.save(tmp_path))
    assert numbers(loaded) == numbers(found) and loaded.command == "again"
    for name, frame in found.tables.items():
        pd.testing.assert_frame_equal(frame, loaded.tables[name])
    assert [drawn.to_json() for drawn in loaded.figures().values()] == [one.to_json() for one in found.figures().values()]
    assert found.values["excess_overlap_p"].is_missing and "fewer than 39" in str(found.values["excess_overlap_p"].reason)
    assert found.found != "yes", "3 draws give no p value"
    again = generality(tiny, PROMPTS, **options)
    assert sum(swept) == 9, "nothing was read twice"
    assert numbers(again) == numbers(found)


def test_rises_are_those_of_each_circuit_alone(tiny: Any, material: Material) -> None:
    found = generality(tiny, material=material, matched=1)
    planned = plan(*kinds_of(material))
    group = planned.groups[1]
    circuit = selected(material, planned, "harmful", group)
    frame = teacher_forced(tiny, material.examples, {"intact": None, "own": circuit})
    loss = {str(name): part["nll"].to_numpy(dtype=float).reshape(-1, 3) for name, part in frame.groupby("condition")}
    rise = loss["own"] - loss["intact"]
    np.testing.assert_allclose(rises_module.rises_of(material, {"it": circuit})["it"], rise, atol=1e-5)
    table = found.table().query("selected == @group")
    for tested in planned.groups:
        mine = [label == tested for label in material.categories]
        cell = table[table["tested"] == tested].iloc[0]
        assert cell["harmful"] == pytest.approx(rise[mine, 0].mean(), abs=1e-5)
        assert cell["selectivity"] == pytest.approx((rise[mine, 0] - rise[mine, 1]).mean(), abs=1e-5)


@pytest.mark.parametrize("options", [{"matched": 0}, {"matched": True}, {"swaps": -1}, {"swaps": 0.5}])
def test_options_that_make_no_sense_are_refused_before_anything_is_read(tiny: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ClaimError, match=r"matched is how many .* at least 1|swaps is how many .* 0 or more"):
        generality(tiny, PROMPTS, settings=SMALL, **options)


def test_a_circuit_that_cannot_be_selected_is_named_and_its_cells_are_missing(tiny: Any, material: Material) -> None:
    few = replace(material, settings=replace(material.settings, head_fraction=0.6))
    found = generality(tiny, material=few)
    assert found.found == "cannot be measured" and found.values["off_diagonal"].is_missing
    assert any("heads were asked for" in limit for limit in found.limits)
    assert found.figures()


@cache
def organism(variant: Variant, divided: Any = None) -> Generality:
    own = planted(variant=variant, divided=divided)
    return generality(own.model, own.prompts, settings=PLANTED)


def test_one_planted_mechanism_is_found_to_be_one() -> None:
    found = organism("plain", "harms")
    assert found.found == "yes", found.sentence
    assert found.values["transfer_ratio"].value == pytest.approx(1, abs=0.05)
    assert found.values["beyond_matched"].value > 0.8 * found.values["off_diagonal"].value


def test_separate_planted_mechanisms_are_found_to_be_separate() -> None:
    found = organism("separate")
    assert found.found == "no", found.sentence
    assert found.values["diagonal"].low > 1 and found.values["transfer_ratio"].high < 0.1
    assert found.values["excess_overlap"].value == pytest.approx(0, abs=0.05)


def test_where_nothing_writes_harm_nothing_is_found_to_be_general() -> None:
    found = organism("none")
    assert found.found in ("cannot be measured", "undecided")
    assert found.values["diagonal"].value < 0.05


def test_the_command_writes_numbers_and_figures_and_no_request(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    model, prompts = tiny_model_folder(tmp_path / "model"), write(tmp_path / "prompts.csv", PROMPTS.prompts)
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        asked = ["--model", str(model), "--prompts", str(prompts), "--out", str(out), "--quick", "--device", "cpu"]
        result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    found = Generality.load(out)
    assert found.sentence.split(":")[0] in " ".join(result.output.split())
    assert found.settings["swaps"] == 499 and not found.values["excess_overlap_p"].is_missing, "a quick run can be a yes"
    assert (out / "generality.html").exists()
    assert not any(prompt.request in result.output for prompt in PROMPTS)
