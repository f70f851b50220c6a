"""Planted models in which a claim of the paper is false; and the earlier ones are what they were."""

from functools import partial

import pytest
from test_organisms import made, rise

from harmcircuits.attribution.first_order import attribute
from harmcircuits.circuits import Circuit
from harmcircuits.circuits.selection import select
from harmcircuits.data import Example
from harmcircuits.organisms import Planted
from harmcircuits.organisms.language import HARMS, TOPICS
from harmcircuits.organisms.wiring import DIFFUSE_NEURONS

integrated_attribution = partial(attribute, method="integrated")

WHOLE = 4.0
"""Nats per token that responses lose, at least, where nothing of what writes them is left."""
CATEGORIES = list(HARMS)


def of(organism: Planted, category: str) -> list[Example]:
    return [example for example in organism.harmful if example.category == category]


def neurons_of(organism: Planted, n: int) -> Circuit:
    """So many writing neurons, spread evenly over them."""
    every = organism.writing.neurons
    return Circuit(neurons=[every[at * len(every) // n] for at in range(n)])


# diffuse: not compact


def test_diffuse_writing_needs_half_of_the_neurons_and_no_few_of_them_halve_it() -> None:
    organism = made("diffuse")
    d_mlp = organism.model.cfg.d_mlp
    assert len(organism.writing.neurons) == d_mlp // 2 == len(TOPICS) * DIFFUSE_NEURONS
    assert rise(organism, Circuit(neurons=organism.writing.neurons), organism.harmful) > WHOLE
    assert all(rise(organism, neurons_of(organism, n), organism.harmful) < bar * WHOLE for n, bar in ((8, 0.02), (32, 0.15)))
    assert all(0 <= rise(organism, Circuit(neurons=[one]), organism.harmful) < 0.02 for one in organism.writing.neurons[:4])


def test_diffuse_heads_each_carry_a_small_share() -> None:
    organism = made("diffuse")
    falls = [rise(organism, Circuit(heads=organism.writing.heads[:n]), organism.harmful) for n in (1, 4, 6, 11)]
    assert 0 < falls[0] < 0.1 and falls[1] < WHOLE / 3 and WHOLE / 2 < falls[2] < falls[3] and falls[3] > WHOLE


def test_of_the_same_size_the_circuit_that_is_found_halves_plain_writing_and_not_diffuse() -> None:
    """One head, and one neuron of a hundred: as scores find them, kind text protected."""
    found = {}
    for variant in ("plain", "diffuse"):
        organism = made(variant)
        A, B = integrated_attribution(organism.model, organism.harmful), attribute(organism.model, organism.benign)
        neurons = round(0.01 * A.neurons.numel())
        circuit = select(A, protect=B, heads=1, neurons=neurons, protect_fraction={"heads": 3 / 24, "neurons": 0.1})
        found[variant] = rise(organism, circuit, organism.harmful)
    assert found["plain"] > WHOLE and found["diffuse"] < WHOLE / 4


# separate: not general


@pytest.mark.parametrize("category", CATEGORIES)
def test_what_writes_one_kind_of_harm_does_nothing_for_the_others(category: str) -> None:
    organism = made("separate")
    own = organism.writing_of[category]
    falls = {other: rise(organism, own, of(organism, other)) for other in CATEGORIES}
    assert falls.pop(category) > WHOLE and all(abs(fall) < 0.05 for fall in falls.values())
    assert all(abs(rise(organism, own, kind)) < 0.05 for kind in (organism.near, organism.far))


def test_the_kinds_of_harm_share_no_component_and_are_all_of_the_writing() -> None:
    organism = made("separate")
    assert list(organism.writing_of) == CATEGORIES and {len(own) for own in organism.writing_of.values()} == {10}
    together = Circuit()
    for own in organism.writing_of.values():
        assert not together & own
        together = together | own
    assert together == organism.writing


@pytest.mark.parametrize("variant", ["plain", "separate"])
def test_what_is_found_on_one_kind_of_harm_writes_the_others_in_plain_alone(variant: str) -> None:
    organism = made(variant, 0, "harms")
    first, other = CATEGORIES[0], [one for category in CATEGORIES[1:] for one in of(organism, category)]
    A, B = integrated_attribution(organism.model, of(organism, first)), attribute(organism.model, organism.benign)
    found = select(A, protect=B, heads=2, neurons=8, protect_fraction={"heads": 3 / 24, "neurons": 0.1})
    assert rise(organism, found, of(organism, first)) > WHOLE
    elsewhere = rise(organism, found, other)
    assert elsewhere > WHOLE if variant == "plain" else abs(elsewhere) < 0.05


# entangled: not distinct


@pytest.mark.parametrize("seed", [0, 5])
def test_entangled_harm_takes_kind_text_with_it(seed: int) -> None:
    organism = made("entangled", seed)
    assert organism.writing == Circuit()
    one_by_one = [Circuit(heads=[head]) for head in organism.shared.heads]
    for part in (organism.shared, Circuit(neurons=organism.shared.neurons), *one_by_one):
        harmful, near = (rise(organism, part, examples) for examples in (organism.harmful, organism.near))
        assert harmful > 0.05 and near > 0.8 * harmful
    assert rise(organism, organism.shared, organism.harmful) > WHOLE


def test_in_an_entangled_model_harm_and_kind_text_have_one_circuit() -> None:
    organism = made("entangled")
    sizes = {"heads": len(organism.shared.heads), "neurons": len(organism.shared.neurons)}
    found = [select(integrated_attribution(organism.model, text), **sizes) for text in (organism.harmful, organism.near)]
    assert found[0] == found[1] == organism.shared
