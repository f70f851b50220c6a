"""Planted models: that what is said of them is true, and that methods find it."""

from functools import cache, partial
from typing import Any

import pytest
import torch
from conftest import needs_three

from harmcircuits.ablation.ablate import ablated
from harmcircuits.attribution.first_order import attribute
from harmcircuits.circuits import Circuit
from harmcircuits.circuits.selection import select
from harmcircuits.data import loss
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.organisms import VARIANTS, Planted, planted

exact_attribution = partial(attribute, method="exact")
integrated_attribution = partial(attribute, method="integrated")

PROTECT = {"heads": 3 / 24, "neurons": 0.1}
ALL_NEURONS = [(layer, neuron) for layer in range(3) for neuron in range(64)]


@cache
def made(variant: str, seed: int = 0, categories: str | None = None, *, hooked: bool = False) -> Planted:
    return planted(seed, variant, categories=categories, hooked=hooked)  # type: ignore[arg-type]


def rise(organism: Planted, circuit: Circuit, examples: list[Any]) -> float:
    intact = loss(organism.model, examples).mean()
    with ablated(organism.model, circuit):
        return float(loss(organism.model, examples).mean() - intact)


def found(organism: Planted, method: Any) -> Circuit:
    """What the method selects of the planted size, kind text protected."""
    A, B = method(organism.model, organism.harmful), attribute(organism.model, organism.benign)
    writing = organism.writing
    return select(A, protect=B, heads=len(writing.heads), neurons=len(writing.neurons), protect_fraction=PROTECT)


def exact(model: Any, examples: list[Any]) -> Any:
    heads = [(layer, head) for layer in range(3) for head in range(8)]
    return exact_attribution(model, examples, heads=heads, neurons=ALL_NEURONS)


# what is planted


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_truth_is_true(hooked: bool, variant: str) -> None:
    organism = made(variant, hooked=hooked)
    assert loss(organism.model, organism.harmful + organism.benign).mean() < 1.5
    if variant in ("none", "entangled"):
        assert organism.writing == Circuit()
    else:
        assert rise(organism, organism.writing, organism.harmful) > 3
        assert all(abs(rise(organism, organism.writing, kind)) < 0.05 for kind in (organism.near, organism.far))
    assert rise(organism, organism.recognising, organism.recognition) > 0.5
    assert bool(organism.writing & organism.recognising) == (variant == "shared")
    hurt = rise(organism, organism.recognising, organism.harmful)
    assert hurt > 3 if variant == "shared" else abs(hurt) < 0.1
    served = [organism.near, organism.far, *([organism.harmful] if variant != "redundant" else [])]
    assert all(rise(organism, organism.shared, kind) > 0.1 for kind in served)
    assert (rise(organism, organism.suppressing, organism.harmful) < -0.2) == (variant == "suppressor")


def test_a_seed_gives_one_model_and_another_seed_another() -> None:
    one, again, other = planted(3), planted(3), planted(4)
    weights = [dict(each.model.named_parameters()) for each in (one, again, other)]
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())
    assert one.harmful == again.harmful and one.prompts.prompts == again.prompts.prompts and one.writing == again.writing
    assert not all(torch.equal(weight, weights[2][name]) for name, weight in weights[0].items())
    assert one.writing != other.writing and one.prompts.prompts != other.prompts.prompts
    assert repr(one) == "Planted('plain', seed 3, 10 writing, 3 recognising)"


def test_unknown_variants() -> None:
    with pytest.raises(HarmcircuitsError, match="variant 'plane' is unknown: choose one of plain, both"):
        planted(variant="plane")  # type: ignore[arg-type]


@needs_three
def test_a_hooked_transformer_is_the_same_model() -> None:
    bridge, hooked = planted(0), planted(0, hooked=True)
    assert type(hooked.model).__name__ == "HookedTransformer"
    assert (loss(bridge.model, bridge.harmful) - loss(hooked.model, hooked.harmful)).abs().max() < 1e-4
    assert (attribute(bridge.model, bridge.harmful).heads - attribute(hooked.model, hooked.harmful).heads).abs().max() < 1e-4


# what methods find


@pytest.mark.parametrize("method", [attribute, integrated_attribution, exact])
def test_every_method_finds_what_was_planted(hooked: bool, method: Any) -> None:
    organism = made("plain", hooked=hooked)
    assert found(organism, method) == organism.writing


def test_what_promotes_harm_and_kind_text_is_dropped_by_protection_alone() -> None:
    organism = made("both")
    A, B = attribute(organism.model, organism.harmful), attribute(organism.model, organism.benign)
    naive = select(A, heads=2)
    careful = select(A, protect=B, heads=2, protect_fraction=PROTECT)
    assert naive & organism.shared and not careful & organism.shared
    assert not organism.writing - Circuit(heads=careful.heads, neurons=organism.writing.neurons)


def test_of_redundant_neurons_one_at_a_time_is_hardly_missed_and_first_order_scores_miss_them() -> None:
    organism, plain = made("redundant"), made("plain")
    single = {name: exact(each.model, each.harmful).neurons for name, each in (("plain", plain), ("redundant", organism))}
    at = {name: tuple(torch.tensor(each.writing.neurons).T) for name, each in (("plain", plain), ("redundant", organism))}
    together = rise(organism, Circuit(neurons=organism.writing.neurons), organism.harmful)
    assert single["redundant"][at["redundant"]].sum() < 0.05 * together, "the double stands in"
    assert single["plain"][at["plain"]].sum() > 0.5 * rise(plain, Circuit(neurons=plain.writing.neurons), plain.harmful)
    assert attribute(organism.model, organism.harmful).neurons[at["redundant"]].abs().max() < 0.01
    missed = [organism.writing - found(organism, method) for method in (attribute, integrated_attribution)]
    assert len(missed[0]) > len(organism.writing) / 2 and not missed[1]


@pytest.mark.parametrize("method", [attribute, exact])
def test_what_holds_harm_back_has_a_negative_score(method: Any) -> None:
    organism = made("suppressor")
    (place,) = organism.suppressing.neurons
    scores = method(organism.model, organism.harmful).neurons
    assert scores[place] < -0.1 and place == divmod(int(scores.argmin()), scores.shape[1])
    assert not found(organism, method) & organism.suppressing
