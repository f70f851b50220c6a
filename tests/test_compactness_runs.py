"""The sweep on small models: same counts, same answers one by one, nothing twice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from triples import PROMPTS, SETTINGS

import harmcircuits.claims.reading as reading_module
from harmcircuits import store
from harmcircuits.ablation.hooks import ablated
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.claims.compactness import Compactness, compactness
from harmcircuits.claims.compactness.curves import touched
from harmcircuits.claims.compactness.plan import CONTROLS, ONE_SHOT, Options, select_cells
from harmcircuits.claims.material import Material, prepare
from harmcircuits.components import Circuit, WeightMask
from harmcircuits.examples import loss
from harmcircuits.experiments.checks import TWINS
from harmcircuits.experiments.names import name_of
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.selection.protected import select

SPANS: Any = {"heads": (0.0, 0.4), "neurons": (0.01, 0.1), "weights": (0.005, 0.02)}
SMALL = Options(points=2, spans=SPANS)
FEW = replace(SETTINGS, written_triples=1, facts=2, passages=3)


@pytest.fixture(scope="module")
def material(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Material:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        return prepare(tiny, PromptSet(PROMPTS, "small"), settings=FEW, folder=tmp_path_factory.mktemp("run"))


@pytest.mark.model
def test_every_control_has_the_size_of_the_circuit(material: Material) -> None:
    found, unmade = select_cells(material, SMALL)
    assert {cell.rule for cell in found} >= {ONE_SHOT, *CONTROLS}, unmade
    circuits = {cell.size: off for cell, off in found.items() if cell.rule == ONE_SHOT}
    for cell, off in found.items():
        if isinstance(off, Circuit):
            assert len(getattr(off, cell.grain)) == len(off) == cell.size.count
        else:
            own = circuits[cell.size]
            assert isinstance(own, WeightMask) and touched(material.model, off)["weights"] == len(own)
            assert {name: len(flat) for name, flat in off.indices.items()} == {name: len(x) for name, x in own.indices.items()}


@pytest.mark.model
def test_aimed_at_twins_is_the_recipe_with_the_roles_swapped(material: Material) -> None:
    found, _ = select_cells(material, replace(SMALL, controls=(TWINS,)))
    by_rule = {(cell.grain, cell.rule): (cell.size, off) for cell, off in found.items() if cell.size.at == 0}
    scores, (_, own), (size, mask) = material.scores, by_rule["neurons", TWINS], by_rule["weights", TWINS]
    assert isinstance(mask, WeightMask)
    share, protect = material.settings.protect, scores.harmful + scores.far
    assert own == select(scores.near, protect=protect, heads=0, neurons=len(own), protect_fraction=share)
    rest = [one for at, one in enumerate(material.training) if at % 3 != 1]
    W = attribute_weights(material.model, material.training[1::3], benign=rest)
    for name, flat in mask.indices.items():
        U, left = W.absolute[name].flatten(), W.signed[name].flatten().clone()
        left[U.topk(int(size.p * U.numel() + 1e-9)).indices] = 0
        assert left[flat].min() >= left.topk(len(flat)).values.min() > 0


@pytest.mark.model
def test_a_sweep_reads_each_condition_once_and_says_the_same_one_by_one(
    material: Material, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"points": 2, "spans": SPANS, "grains": ("neurons", "weights")}
    calls: list[str] = []
    whole = reading_module._read

    def counted(material: Material, key: object, some: Any, **options: Any) -> Any:
        calls.extend(some)
        return whole(material, key, some, **options)

    monkeypatch.setattr(reading_module, "_read", counted)
    before = {name: parameter.clone() for name, parameter in material.model.named_parameters()}
    claim = compactness(material.model, material=material, reproduce="again", **options)
    assert all(torch.equal(before[name], now) for name, now in material.model.named_parameters())
    found, _ = select_cells(material, Options(**options))
    assert sorted(calls) == sorted({name_of(off) for off in found.values()})
    calls.clear()
    again = compactness(material.model, material=material, reproduce="again", **options)
    assert not calls, "the journal has every condition"
    assert again.document() == claim.document()
    _rows_agree_with_losses(material, claim, found)
    loaded = Compactness.load(claim.save(tmp_path))
    assert loaded.document() == claim.document()
    assert {name: drawn.to_json() for name, drawn in loaded.figures().items()} == {
        name: drawn.to_json() for name, drawn in claim.figures().items()
    }
    assert list(claim.figures()) == ["retained", "rises_neurons", "utility_neurons", "rises_weights", "utility_weights"]
    assert any("one draw at each size" in limit for limit in claim.limits)


def _rows_agree_with_losses(material: Material, claim: Compactness, found: Any) -> None:
    """Each condition's harmful rise is what `loss` gives under it alone."""
    curves = claim.tables["curves"].set_index(["grain", "rule", "size"])
    harmful = list(material.examples[::3])
    intact = loss(material.model, harmful)
    for cell, off in found.items():
        with ablated(material.model, off):
            rise = float((loss(material.model, harmful) - intact).mean())
        assert curves.loc[(cell.grain, cell.rule, str(cell.size)), "harmful_nll_rise"] == pytest.approx(rise, abs=1e-5)


@pytest.mark.model
def test_sizes_that_cannot_be_selected_end_a_curve_with_the_reason(material: Material) -> None:
    found, unmade = select_cells(material, Options(grains=("heads",), points=3, spans={"heads": (0.0, 1.0)}, controls=()))
    assert unmade and all("Ask for fewer" in reason for reason in unmade.values())
    assert max(cell.size.at for cell in unmade) == 2 and any(cell.rule == ONE_SHOT for cell in found)
