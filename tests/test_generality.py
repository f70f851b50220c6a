"""Generality on planted models, its formulas by hand, and the prompts that it takes."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from triples import make_effects, make_triples

import harmcircuits as hc
from harmcircuits.ablation.ablate import BASELINE, Condition
from harmcircuits.attribution.scores import Attribution
from harmcircuits.circuits.controls import CircuitRecipe, overlap_estimates
from harmcircuits.claims.generality import Generality, transfer
from harmcircuits.data import Prompt, PromptSet
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.material import Material
from harmcircuits.experiment.settings import GeneralitySettings

SMALL = GeneralitySettings(
    head_fractions=(2 / 24,), neuron_fractions=(4 / 192,), weight_fractions=((1e-3, 2e-3),), protect_heads=6 / 24,
    protect_neurons=0.05, train_prompts=10, test_prompts=32, control_prompts=16, development_prompts=4, max_new_tokens=4,
    bootstrap_draws=200, label_swaps=40,
)  # fmt: skip


@cache
def planted_run(variant: str, **sizes: Any) -> hc.Finding:
    organism = hc.organisms.planted(0, variant, categories="harms")  # type: ignore[arg-type]
    return hc.generality(organism.model, organism.prompts, settings=replace(SMALL, **sizes), name="planted")


def test_one_mechanism_for_all_kinds_of_harm_is_general() -> None:
    finding = planted_run("plain")
    assert finding.answer == "yes" and finding.contrast == "matched"
    transfer, overlap = (finding.estimate(name, "heads") for name in ("transfer", "overlap"))
    assert transfer.value == pytest.approx(1, abs=0.05) and overlap.value is not None and overlap.value > 0.5
    swapped = finding.estimate("overlap_beyond_label_swap", "heads")
    assert swapped.low is not None and swapped.low > 0


def test_one_mechanism_for_each_kind_is_not() -> None:
    finding = planted_run("separate")
    assert finding.answer == "no"
    for part in ("heads", "neurons"):
        assert finding.estimate("overlap", part).value == 0
    cells = finding.tables["matrix"].query("component == 'heads' and role == 'harmful' and selected != 'random'")
    own = cells["selected"] == cells["tested"]
    assert cells[own]["low"].min() > 1 > cells[~own]["high"].max(), "only the diagonal is hurt"


def test_where_nothing_writes_harm_nothing_can_transfer() -> None:
    assert planted_run("none").answer == "cannot be measured"


def test_estimates_by_hand() -> None:
    """Two harmful requests of each of three categories, a benign one of no category each; controls have the first three."""
    order = ["a", "b", "c", "a", "b", "c"]
    harmful = [Prompt(request=f"h{at}", role="harmful", category=name) for at, name in enumerate(order)]
    benign = [Prompt(request=f"f{at}", role="far") for at in range(6)]
    change = {
        "a": [6.0, 3, 1, 6, 3, 1, *[0.5] * 6],
        "b": [2.0, 4, 1, 2, 4, 1, *[1.0] * 6],
        "c": [4.0, 5, 8, 4, 5, 8, *[1.5] * 6],
        "a: random": [1.0, 0, 0],
        "b: random": [0.0, 2, 0],
        "c: random": [0.0, 0, 3],
    }
    effects = make_effects({"loss": change | {BASELINE: [0.0] * 12}}, harmful + benign)
    circuits, control = ({name: Condition(name + label) for name in "abc"} for label in ("", ": random"))
    found = transfer([circuits, control], effects, "far")
    own, others = np.mean([6, 4, 8]), np.mean([(2 + 4) / 2, (3 + 5) / 2, (1 + 1) / 2])
    expected = {
        "same_category_loss_increase": own,
        "loss_increase": others,
        "same_category_beyond_benign": own - 1,
        "transfer": others / own,
        "transfer_beyond_benign": (others - 1) / (own - 1),
        "transfer_beyond_random": others / (own - np.mean([1, 2, 3])),
        "specific_share": 1 - 1 / others,
    }
    assert {name: estimate.value for name, estimate in found.items()} == pytest.approx(expected)
    assert [found[name].n for name in ("transfer", "transfer_beyond_random")] == [6, 3]
    nothing = make_effects({"loss": dict.fromkeys([BASELINE, *"abc"], [0.0] * 12)}, harmful + benign)
    missing = transfer([circuits], nothing, "far")
    assert missing["transfer"].is_missing and missing["specific_share"].is_missing, "there is nothing to transfer"
    assert missing["transfer_beyond_random"].reason == "no random control was drawn"


def recipe(*heads: int) -> CircuitRecipe:
    """Harmful responses of six examples rest on some of ten heads, benign ones on none."""
    scores = torch.zeros(6, 1, 10)
    scores[:, 0, list(heads)] = 1.0
    of = lambda values: Attribution(values, torch.zeros(6, 1, 1))
    return CircuitRecipe(of(scores), of(torch.full_like(scores, 1e-3)), {"heads": 0.0, "neurons": 0.0})


def test_overlap_against_label_swaps() -> None:
    same, apart = [recipe(0, 1)] * 3, [recipe(0, 1), recipe(2, 3), recipe(4, 5)]
    shared, separate = (overlap_estimates(each, [part.circuit(heads=2) for part in each], 40) for each in (same, apart))
    assert (shared["overlap"].value, separate["overlap"].value) == (1, 0)
    beyond = [each["overlap_beyond_label_swap"].value for each in (shared, separate)]
    assert beyond == [0, 0], "no other head has a score: labels that are swapped select the same ones"
    assert list(overlap_estimates([], [hc.Circuit("L0H1"), hc.Circuit("L0H2")], 40)) == ["overlap"]


def material(prompts: PromptSet, **sizes: Any) -> Material:
    train, _, test = prompts.split(seed=0)
    return Material(None, test, train, None, replace(SMALL, **sizes))  # type: ignore[arg-type]


def test_categories_with_enough_requests_are_taken_harm_groups_in_turn() -> None:
    names = ("a1", "a2", "b1", "few")
    size = {"a1": 12, "a2": 12, "b1": 12, "few": 6}
    prompts = [
        Prompt(request=f"{word} {name} {at}" * 3, role=role, category=name, group=f"{name}{at}", harm_group=name[0])
        for name in names
        for at in range(size[name])
        for role, word in (("harmful", "smash"), ("near", "mend"), ("far", "praise"))
    ]
    loose = [Prompt(request=f"everyday matter number {at} of {at * 7}", role="far") for at in range(12)]
    whole = PromptSet((*prompts, *loose))  # type: ignore[arg-type]
    given = Material(None, whole, whole, None, replace(SMALL, categories=2))  # type: ignore[arg-type]
    taken = Generality.restrict(given)
    for own in (taken.train, taken.test):
        assert own is not None and {prompt.category for prompt in own} == {"a1", "b1", ""}
    by_category = Generality(taken).by_category
    assert list(by_category) == ["a1", "b1"]
    assert {prompt.category for prompt in by_category["a1"].train_prompts[0]} == {"a1"}
    assert Generality.restrict(replace(given, settings=replace(SMALL, categories=9))).test.categories == (
        "a1",
        "a2",
        "b1",
        "few",
    )


@pytest.mark.parametrize(
    ("kinds", "sizes"), [(("one",), {}), (("a", "b"), {"test_prompts": 7}), (("a", "b"), {"categories": 1})]
)
def test_one_category_alone_is_told(kinds: tuple[str, ...], sizes: dict[str, int]) -> None:
    with pytest.raises(HarmcircuitsError, match="transfer needs two"):
        Generality.restrict(material(make_triples(24, categories=kinds), **sizes))


def test_weights_and_a_run_that_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    organism = hc.organisms.planted(0, categories="harms")
    settings = replace(SMALL, components=("heads", "weights"), categories=2)
    call = lambda: hc.generality(organism.model, organism.prompts, settings=settings, folder=tmp_path, name="planted")
    first = call()
    assert first.estimate("same_category_loss_increase", "weights").value is not None
    assert first.estimate("overlap_beyond_label_swap", "weights").is_missing
    for made in ("readings.loss.loss", "claims.generality.attribute", "experiment.circuits.weight_masks"):
        monkeypatch.setattr(f"harmcircuits.{made}", lambda *_, **__: pytest.fail("made again"))
    assert call().document() == first.document()
    read = hc.Finding.load(first.save(tmp_path))
    assert read.document() == first.document() and read.page() == first.page()
    assert list(read.figures()) == ["heads", "weights"]
    assert len(read.figure().data[0].z) == 3, "two circuits and the random ones"
    monkeypatch.undo()
    with pytest.raises(HarmcircuitsError, match="no circuit of any component type"):
        nothing = replace(settings, components=("weights",), weight_fractions=((1e-9, 0.0),))
        hc.generality(organism.model, organism.prompts, settings=nothing)
