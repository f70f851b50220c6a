"""Tests of circuits: what they must say of planted models, and that every number is the one that its definition gives."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from test_hypotheses_answers import small_examples

from harmcircuits.ablation.hooks import ablated
from harmcircuits.attribution.scores import Attribution
from harmcircuits.components import Circuit, outgoing
from harmcircuits.examples import Example, loss
from harmcircuits.experiments import hypotheses
from harmcircuits.experiments.hypotheses_components import added_components, components_to_test, minimality
from harmcircuits.experiments.hypotheses_random import random_ablation, size_of, sufficiency
from harmcircuits.experiments.hypotheses_results import CircuitTests
from harmcircuits.experiments.scores import Scores
from harmcircuits.organisms import Planted, planted
from harmcircuits.organisms.language import answered
from harmcircuits.tasks.information import swapped_requests

ROLES = ("harmful", "near", "far")
SMALL: dict[str, Any] = {"triples": 2, "draws": 3, "added": 5, "neurons": 2}
OWN = Circuit(heads=[(0, 1)], neurons=[(0, 3), (1, 7), (1, 40)])


@cache
def organism(variant: str = "plain") -> Planted:
    return planted(0, variant)  # type: ignore[arg-type]


@cache
def planted_examples(n: int = 16, *, variant: str = "plain") -> tuple[Example, ...]:
    """Whole triples, every topic among the first eight."""
    triples = organism(variant).prompts.triples[:n]
    by = [answered([getattr(one, role) for one in triples], seed=0, harm=variant != "none") for role in ROLES]
    return tuple(example for triple in zip(*by, strict=True) for example in triple)


@cache
def found_of(circuit: Circuit, *, variant: str = "plain") -> CircuitTests:
    return hypotheses.test_circuit(organism(variant).model, circuit, planted_examples(variant=variant))


def junk(organism: Planted) -> Circuit:
    """Neurons beside the planted ones that do nothing."""
    used = organism.writing | organism.shared | organism.recognising | organism.suppressing
    kind = [at for at in range(64) if rise(organism, Circuit(neurons=[(2, at)])) < 1e-4 and (2, at) not in used.neurons]
    return Circuit(neurons=[(2, at) for at in kind[:4]])


def rise(organism: Planted, circuit: Circuit) -> float:
    benign = [one for one in planted_examples() if one.role != "harmful"]
    with ablated(organism.model, circuit):
        changed = loss(organism.model, benign).mean()
    return float(changed - loss(organism.model, benign).mean())


def row(tests: CircuitTests, test: str, measure: str) -> Any:
    table = tests.table()
    return table[(table["test"] == test) & (table["measure"] == measure)].iloc[0]


# planted models


def test_the_planted_circuit_is_all_that_writes_harm():
    tests = found_of(organism().writing)
    harm, twin, kept = (row(tests, "independence", measure) for measure in ("harmful", "near", "retained"))
    assert harm["answer"] == "harm writing is gone: within ±0.1 nats per token of 0" and abs(harm["value"]) < 0.01
    assert twin["answer"] == "twin writing remains" and twin["value"] > 1 and twin["p_adjusted"] < 0.01
    assert kept["value"] == pytest.approx(-1, abs=0.05) and kept["high"] < 0
    assert kept["answer"] == "harmful text keeps less of its request than twin text"


def test_every_planted_component_matters_more_than_random_ones():
    tests = found_of(organism().writing)
    components = tests.components
    assert len(components) == len(organism().writing) == 10 and (components["effect_above"] == 0).all()
    neurons, heads = (components[components["kind"] == kind] for kind in ("neurons", "heads"))
    assert (neurons["effect_p_adjusted"] <= 0.05).all() and (neurons["selectivity_p_adjusted"] <= 0.05).all()
    assert heads["effect_p"].isna().all(), "a p-value from the 22 other heads of this model would say too much"
    assert set(heads["reason"]) == {"fewer than 39 random heads to compare with: 22"} and neurons["reason"].isna().all()
    share = row(tests, "minimality", "effect")
    assert share["value"] == 1 and share["n"] == 8 and share["answer"].startswith("all 8 matter more (tested: 2 of 2 heads, ")
    assert "2 without a p-value: fewer than 39 random heads" in share["answer"]


def test_a_chain_shows_when_it_is_whole_alone():
    """Each part of a chain switches all of it off: after the others, none adds anything."""
    components = found_of(organism().writing).components
    assert (components["first"] > 0.3).all() and (components["last"].abs() < 0.01).all()
    assert row(found_of(organism().writing), "minimality", "last")["value"] == 0


def test_junk_in_the_circuit_is_not_shown_to_matter():
    added = junk(organism())
    components = found_of(organism().writing | added).components
    is_junk = components["kind"].eq("neurons") & components["index"].isin([at for _, at in added.neurons])
    assert is_junk.sum() == len(added) == 4 and (components.loc[is_junk, "effect_p_adjusted"] > 0.2).all()
    real = components["kind"].eq("neurons") & ~is_junk
    assert real.sum() == 8 and (components.loc[real, "effect_p_adjusted"] <= 0.05).all()
    found = row(found_of(organism().writing | added), "minimality", "effect")
    assert found["answer"].startswith("4 of 12 are not shown to matter more") and found["value"] == pytest.approx(8 / 12)


def test_a_circuit_that_does_nothing_fails_each_test():
    nothing = junk(organism())
    tests = found_of(nothing)
    assert row(tests, "independence", "harmful")["answer"] == "harm writing remains"
    assert row(tests, "independence", "harmful")["p_adjusted"] < 0.01
    assert row(tests, "independence", "retained")["answer"] == "no difference is shown"
    suffices = row(tests, "sufficiency", "rise")
    assert suffices["p"] > 0.05 and suffices["answer"].startswith("not shown to do more than random ones of its size")
    assert "half of the random ones of its own size do as much" in suffices["answer"]
    assert row(tests, "minimality", "effect")["value"] == 0
    assert tests.sufficiency["multiple"].max() == 1, "larger ones have nothing to show"


def test_neurons_that_write_harm_do_more_than_random_ones():
    """All planted neurons of 64 in their layer, without the heads, which random circuits of so small a model hit too often."""
    neurons = Circuit(neurons=organism().writing.neurons)
    tests = found_of(neurons)
    for measure in ("rise", "selectivity"):
        found = row(tests, "sufficiency", measure)
        assert found["p"] == pytest.approx(1 / 40) and found["p_adjusted"] <= 0.05
        assert found["answer"].startswith("does more than random ones of its size")
    means = tests.sufficiency[tests.sufficiency["measure"] == "rise"]["value"]
    assert means.is_monotonic_increasing and means.iloc[0] < row(tests, "sufficiency", "rise")["value"] / 2


# every number is the one that its definition gives


def off(model, circuit, examples):
    with ablated(model, circuit):
        return loss(model, examples).numpy().astype(float).reshape(-1, 2)


@pytest.fixture
def twins():
    return [one for one in small_examples() if one.role != "far"]


def test_effects_are_differences_of_losses(tiny, twins):
    frame = minimality(tiny, OWN, twins, neurons=9, added=4)
    assert list(zip(frame["kind"], frame["layer"], frame["index"], strict=True)) == [
        ("heads", 0, 1), ("neurons", 0, 3), ("neurons", 1, 7), ("neurons", 1, 40)
    ]  # fmt: skip
    for one in frame.itertuples():
        part = Circuit(**{one.kind: [(one.layer, one.index)]})
        first = off(tiny, part, twins) - off(tiny, None, twins)
        last = off(tiny, OWN, twins) - off(tiny, OWN - part, twins)
        effect = (first + last) / 2
        expected = {"first": first[:, 0], "last": last[:, 0], "effect": effect[:, 0], "selectivity": effect @ [1, -1]}
        for measure, values in expected.items():
            assert getattr(one, measure) == pytest.approx(values.mean(), abs=2e-5), measure


def test_random_components_are_measured_beside_the_circuit(tiny, twins):
    frame = minimality(tiny, OWN, twins, added=50, seed=3)
    drawn = [Circuit(neurons=[at]) for at in added_components(tiny, OWN, "neurons", 50, seed=3)]
    first = [off(tiny, one, twins) - off(tiny, None, twins) for one in drawn]
    last = [off(tiny, OWN | one, twins) - off(tiny, OWN, twins) for one in drawn]
    null = np.array([(a + b)[:, 0].mean() / 2 for a, b in zip(first, last, strict=True)])
    for one in frame[frame["kind"] == "neurons"].itertuples():
        above = int((null >= one.effect).sum())
        assert one.n_null == 50 and abs(one.effect_above - above) <= (abs(null - one.effect) < 1e-5).sum()
        assert one.effect_p == pytest.approx((1 + one.effect_above) / 51)
    assert frame.loc[frame["kind"] == "heads", "n_null"].tolist() == [7], "of eight heads one is the circuit's"


def test_rises_of_random_circuits(tiny, twins):
    own, frame = sufficiency(tiny, OWN, twins, draws=3, seed=5)
    intact = off(tiny, None, twins)
    assert np.allclose(own, off(tiny, OWN, twins) - intact, atol=2e-5)
    for multiple in frame["multiple"].unique():
        n = 1 if size_of(tiny, OWN, multiple) == size_of(tiny, OWN, float("inf")) else 3
        rises = [off(tiny, random_ablation(tiny, OWN, multiple, seed=5000 + at), twins) - intact for at in range(n)]
        for measure, weights in (("rise", [1, 0]), ("selectivity", [1, -1])):
            found = frame[(frame["multiple"] == multiple) & (frame["measure"] == measure)].iloc[0]
            values = [(one @ weights).mean() for one in rises]
            assert found["value"] == pytest.approx(np.mean(values), abs=2e-5) and found["draws"] == n
            assert found["as_much"] == np.mean(np.array(values) >= (own @ weights).mean())
            assert found["reason"] == f"fewer than 39 draws: {n}" and np.isnan(found["p"] or np.nan)
    rising = frame[frame["measure"] == "rise"]
    assert rising["multiple"].tolist() == [2**at for at in range(len(rising))]


def test_information_is_loss_under_another_request_minus_its_own(tiny, twins):
    found = hypotheses.request_information(tiny, OWN, twins, seed=2)
    other = swapped_requests(twins, seed=2)
    for at, circuit in enumerate((None, OWN)):
        assert np.allclose(found[at], off(tiny, circuit, other) - off(tiny, circuit, twins), atol=2e-5)


def test_the_model_stays_as_it_is(tiny):
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    for circuit in (OWN, outgoing(tiny, OWN)):
        hypotheses.test_circuit(tiny, circuit, small_examples(), **SMALL)
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    assert not any(point.fwd_hooks for point in tiny.hook_dict.values())


# what is drawn


def test_random_components_lie_in_the_circuits_layers(tiny):
    drawn = added_components(tiny, Circuit(neurons=[(1, 7), (1, 8)]), "neurons", 60, seed=0)
    assert len({*drawn}) == 60 and {layer for layer, _ in drawn} == {1} and not {(1, 7), (1, 8)} & {*drawn}
    more = added_components(tiny, Circuit(neurons=[(1, 7), (1, 8)]), "neurons", 1000, seed=0)
    assert len({*more}) == len(more) == 126, "all others, those of the layer first"
    assert {layer for layer, _ in more[:62]} == {1} and {layer for layer, _ in more[62:]} == {0}
    assert added_components(tiny, OWN, "heads", 3, seed=0) != added_components(tiny, OWN, "heads", 3, seed=1)
    assert added_components(tiny, Circuit(neurons=[(0, 0)]), "heads", 3, seed=0) == []


def test_random_circuits_grow_by_the_circuits_layers(tiny):
    circuit = Circuit(heads=[(0, 1)], neurons=[(1, 0), (1, 1), (0, 5)])
    for multiple, heads, by_layer in ((1, 1, {1: 2, 0: 1}), (4, 4, {1: 8, 0: 4}), (16, 8, {1: 32, 0: 16})):
        found = random_ablation(tiny, circuit, multiple, seed=0)
        assert size_of(tiny, circuit, multiple) == {"heads": heads, "neurons": sum(by_layer.values()), "weights": 0}
        assert len(found.heads) == heads
        assert {layer: sum(at == layer for at, _ in found.neurons) for layer in by_layer} == by_layer
    spilt = random_ablation(tiny, circuit, 36, seed=0).neurons
    assert len(spilt) == 108 and sum(layer == 1 for layer, _ in spilt) == 64, "a layer that is full gives the rest to others"
    assert len(random_ablation(tiny, circuit, 64, seed=0)) == 8 + 128


def test_random_masks_have_as_many_weights_in_each_matrix(tiny):
    mask = outgoing(tiny, OWN)
    for multiple in (1, 2, 1024):
        found = random_ablation(tiny, mask, multiple, seed=0)
        assert size_of(tiny, mask, multiple)["weights"] == len(found)
        for name, flat in mask.indices.items():
            size = mask.shapes[name][0] * mask.shapes[name][1]
            assert len(found.indices[name]) == min(size, multiple * len(flat))
    assert random_ablation(tiny, mask, 2, seed=0) == random_ablation(tiny, mask, 2, seed=0) != mask


def test_neurons_are_spread_over_A():
    scores = Attribution(torch.zeros(2, 2, 4), torch.arange(128.0).view(1, 2, 64).expand(2, -1, -1))
    circuit = Circuit(heads=[(0, 0), (1, 3)], neurons=[(1, at) for at in range(10)])
    kept = components_to_test(circuit, Scores(scores, scores, scores, None), 4)
    assert kept == [("heads", (0, 0)), ("heads", (1, 3)), *(("neurons", (1, at)) for at in (9, 6, 3, 0))]
    assert [at for _, at in components_to_test(circuit, None, 4)[2:]] == [(1, 0), (1, 3), (1, 6), (1, 9)]
    assert len(components_to_test(circuit, None, 64)) == 12 and len(components_to_test(circuit, None, 1)) == 3
    assert components_to_test(Circuit(heads=[(0, 0)]), None, 4) == [("heads", (0, 0))]
