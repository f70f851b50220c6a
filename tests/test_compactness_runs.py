"""The sweep on small models: same counts, same answers one by one, nothing twice."""

from dataclasses import replace
from itertools import pairwise
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
from harmcircuits.claims.compactness import greedy as greedy_module
from harmcircuits.claims.compactness.curves import touched
from harmcircuits.claims.compactness.greedy import greedy, rescored
from harmcircuits.claims.compactness.plan import Options, select_cells
from harmcircuits.claims.compactness.rules import CONTROLS, FAR_ALONE, GREEDY, ONE_SHOT, UNPROTECTED
from harmcircuits.claims.material import Material, prepare
from harmcircuits.components import Circuit, WeightMask
from harmcircuits.examples import loss
from harmcircuits.experiments.names import name_of
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import geometry
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.selection.protected import select

SPANS: Any = {"heads": (0.0, 0.4), "neurons": (0.01, 0.1), "weights": (0.005, 0.02)}
SMALL = Options(points=2, spans=SPANS)
FEW = replace(SETTINGS, written_triples=1, facts=2, passages=1)


@pytest.fixture(scope="module")
def material(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Material:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        return prepare(tiny, PromptSet(PROMPTS, "small"), settings=FEW, folder=tmp_path_factory.mktemp("run"))


@pytest.mark.model
def test_every_control_has_the_size_of_the_circuit(material: Material) -> None:
    found, unmade = select_cells(material, SMALL)
    assert {cell.rule for cell in found} >= {ONE_SHOT, GREEDY, *CONTROLS}, unmade
    circuits = {cell.size: off for cell, off in found.items() if cell.rule == ONE_SHOT}
    for cell, off in found.items():
        if isinstance(off, Circuit):
            assert len(getattr(off, cell.grain)) == len(off) == cell.size.count
        elif cell.kind != "protection":
            own = circuits[cell.size]
            assert isinstance(own, WeightMask) and touched(material.model, off)["weights"] == len(own)
            assert {name: len(flat) for name, flat in off.indices.items()} == {name: len(x) for name, x in own.indices.items()}


@pytest.mark.model
def test_rules_select_what_they_say(material: Material) -> None:
    found, _ = select_cells(material, replace(SMALL, grains=("neurons", "weights"), rescore=False))
    by_rule = {(cell.grain, cell.rule): off for cell, off in found.items() if cell.size.at == 1}
    A = material.scores.harmful.neurons
    flipped, free = by_rule["neurons", "sign flipped"], by_rule["neurons", UNPROTECTED]
    assert isinstance(flipped, Circuit) and isinstance(free, Circuit)
    assert all(A[at] < 0 for at in flipped.neurons)
    assert {float(A[at]) for at in free.neurons} == set(A.flatten().topk(len(free)).values.tolist())
    W, mask, largest = material.weight_scores, by_rule["weights", "sign flipped"], by_rule["weights", "magnitude"]
    assert isinstance(mask, WeightMask) and isinstance(largest, WeightMask)
    assert all(bool((W.signed[name].flatten()[flat] < 0).all()) for name, flat in mask.indices.items())
    for matrix in matrices(material.model):
        if matrix.name in largest.indices:
            size = matrix.values().detach().abs().flatten()
            off = size[largest.indices[matrix.name]]
            assert off.min() >= size.topk(len(off)).values.min()


@pytest.mark.model
def test_far_twins_protected_alone_is_the_recipe_without_near_ones(material: Material) -> None:
    found, _ = select_cells(material, replace(SMALL, controls=(FAR_ALONE,), rescore=False))
    by_rule = {(cell.grain, cell.rule): off for cell, off in found.items() if cell.size.at == 0}
    scores, own, mask = material.scores, by_rule["neurons", FAR_ALONE], by_rule["weights", FAR_ALONE]
    share = material.settings.protect
    assert isinstance(mask, WeightMask)
    assert own == select(scores.harmful, protect=scores.far, heads=0, neurons=len(own), protect_fraction=share)
    W = attribute_weights(material.model, material.training[::3], benign=material.training[2::3])
    for name, flat in mask.indices.items():
        U = W.absolute[name].flatten()
        protected = U.topk(int(next(c.size.p for c in found if c.grain == "weights") * U.numel() + 1e-9)).indices
        assert not set(flat.tolist()) & set(protected.tolist())
        left = W.signed[name].flatten().clone()
        left[protected] = 0
        assert left[flat].min() >= left.topk(len(flat)).values.min() > 0


@pytest.mark.model
def test_greedy_circuits_grow_and_what_is_off_scores_nothing(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(SMALL, points=3).sizes("neurons", geometry(material.model), material.settings)
    anew: list[int] = []
    attributed = greedy_module.attribute
    monkeypatch.setattr(greedy_module, "attribute", lambda *args: anew.append(1) or attributed(*args))
    circuits, stopped = greedy(material, "neurons", own)
    assert len(anew) == 2
    assert not stopped and [len(circuit) for circuit in circuits.values()] == [size.count for size in own]
    grown = list(circuits.values())
    assert all(not len(smaller - larger) for smaller, larger in pairwise(grown))
    A, _ = rescored(material, grown[0])
    assert all(A.neurons[at] == 0 for at in grown[0].neurons)
    assert not torch.equal(A.neurons, material.scores.harmful.neurons)
    monkeypatch.setattr(greedy_module, "rescored", lambda *_: pytest.fail("it was scored again"))
    assert greedy(material, "neurons", own)[0] == circuits, "the journal has every step"


@pytest.mark.model
def test_a_sweep_reads_each_condition_once_and_says_the_same_one_by_one(
    material: Material, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"points": 2, "spans": SPANS, "controls": ["random"], "ratios": [1.0]}
    options["grains"] = ["neurons", "weights"]
    calls: list[str] = []
    whole = reading_module._read

    def counted(material: Material, key: object, some: Any, **options: Any) -> Any:
        calls.extend(some)
        return whole(material, key, some, **options)

    monkeypatch.setattr(reading_module, "_read", counted)
    before = {name: parameter.clone() for name, parameter in material.model.named_parameters()}
    claim = compactness(material.model, material=material, reproduce="again", **options)
    assert all(torch.equal(before[name], now) for name, now in material.model.named_parameters())
    found, _ = select_cells(
        material, Options(**{name: tuple(own) if isinstance(own, list) else own for name, own in options.items()})
    )
    first = sum(cell.rule == GREEDY and cell.size.at == 0 for cell in found)
    assert sorted(calls) == sorted({name_of(off) for off in found.values()}) and len(calls) <= len(found) - first
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
    beside = ("rises", "recognition", "utility", "rates")
    assert list(claim.figures()) == ["retained", "greedy", "protection"] + [
        f"{name}_{grain}" for grain in ("neurons", "weights") for name in beside
    ]
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
    greedy_too = Options(grains=("heads",), points=3, spans={"heads": (0.0, 1.0)}, controls=(UNPROTECTED,))
    found, unmade = select_cells(material, greedy_too)
    assert unmade and all("Ask for fewer" in reason for reason in unmade.values())
    assert max(cell.size.at for cell in unmade) == 2 and any(cell.rule == ONE_SHOT for cell in found)
