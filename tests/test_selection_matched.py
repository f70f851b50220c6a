"""Matched random circuits: the same layers, as much protected, the nearest scores. No model."""

from collections import Counter
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_scores import D_MLP, HEADS, LAYERS, drawn, of

from harmcircuits.circuits import Circuit
from harmcircuits.circuits.controls import NEAREST, matched_random
from harmcircuits.circuits.selection import SelectionError, protected_mask, select


def layers(circuit: Circuit) -> list[list[int]]:
    return [[layer for layer, _ in part] for part in (circuit.heads, circuit.neurons)]


@given(st.integers(0, 1000))
def test_matched_circuits_have_the_same_layers_and_no_component_in_common(seed):
    A, B = drawn(seed), drawn(seed + 5000)
    random = Random(seed)
    heads = [(layer, head) for layer in range(LAYERS) for head in random.sample(range(HEADS), 2)]
    neurons = [(layer, neuron) for layer in range(LAYERS) for neuron in random.sample(range(D_MLP), 4)]
    circuit = Circuit(heads=heads, neurons=neurons)
    matched = matched_random(circuit, A, protect=B, seed=seed, protect_fraction=0)
    assert layers(matched) == layers(circuit)
    assert not matched & circuit
    assert matched == matched_random(circuit, A, protect=B, seed=seed, protect_fraction=0)


parts = st.sets(st.tuples(st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)))
wider = st.sets(st.tuples(st.integers(0, LAYERS - 1), st.integers(0, D_MLP - 1)))
fractions = st.floats(0, 1)


@given(parts, wider, fractions, fractions, st.integers(0, 1000))
def test_matched_circuits_hold_as_many_protected_components_of_each_layer(heads, neurons, of_heads, of_neurons, seed):
    """Whatever the circuit; and circuit components are given back only where nothing else of the layer is left."""
    A, B, circuit = drawn(seed), drawn(seed + 5000), Circuit(heads=heads, neurons=neurons)
    fraction = {"heads": of_heads, "neurons": of_neurons}
    matched = matched_random(circuit, A, protect=B, seed=seed, protect_fraction=fraction)
    for kind, benign in (("heads", B.heads_abs), ("neurons", B.neurons_abs)):
        protected = protected_mask(benign, fraction[kind])
        own, new = (Counter((at[0], bool(protected[at])) for at in getattr(of, kind)) for of in (circuit, matched))
        assert own == new
        for (layer, status), count in own.items():
            alike = int((protected[layer] == status).sum())
            back = [at for at in getattr(matched & circuit, kind) if (at[0], bool(protected[at])) == (layer, status)]
            assert len(back) == max(0, 2 * count - alike)


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.25, 0.5]))
def test_what_select_protects_is_never_drawn(seed, fraction):
    A, B = drawn(seed), drawn(seed + 5000)
    A = of(A.per_example_heads.abs(), A.per_example_neurons.abs())  # all promote the response: A ≤ 0 leaves none out
    circuit = select(A, protect=B, heads=1, neurons=3, protect_fraction=fraction)
    matched = matched_random(circuit, A, protect=B, seed=seed, protect_fraction=fraction)
    protected = [protected_mask(benign, fraction) for benign in (B.heads_abs, B.neurons_abs)]
    assert not any(mask[at] for mask, items in zip(protected, (matched.heads, matched.neurons), strict=True) for at in items)
    sized = {"heads": int((~protected[0]).sum()), "neurons": int((~protected[1]).sum())}
    assert not matched - select(A, protect=B, **sized, protect_fraction=fraction), "the mask is select's own"


def test_a_layer_that_is_used_up_gives_circuit_components_back():
    circuit = Circuit(heads=[(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)])
    for seed in range(10):
        matched = matched_random(circuit, drawn(0), protect=drawn(1), seed=seed, protect_fraction=0)
        assert layers(matched) == layers(circuit)
        assert (0, 3) in matched.heads, "what lies outside the circuit is drawn first"


def test_candidates_are_the_nearest_in_both_scores(monkeypatch):
    monkeypatch.setitem(NEAREST, "neurons", 2)
    size = torch.arange(D_MLP, dtype=torch.float32).repeat(1, LAYERS, 1)
    size[..., ::2] *= -1  # the size counts, not the sign
    one, same = of(torch.ones(1, LAYERS, HEADS), size), of(torch.ones(1, LAYERS, HEADS), size.abs())
    circuit = Circuit(neurons=[(1, 5)])
    draws = [matched_random(circuit, one, protect=same, seed=seed) for seed in range(30)]
    assert {draw.neurons for draw in draws} == {((1, 4),), ((1, 6),)}
    monkeypatch.setitem(NEAREST, "neurons", 1)
    opposite = of(torch.ones(1, LAYERS, HEADS), size.abs().flip(-1))
    end = matched_random(Circuit(neurons=[(1, 0)]), one, protect=opposite, seed=0, protect_fraction=0)
    assert end.neurons == ((1, 1),)


def test_a_match_that_cannot_be_made():
    A, B, circuit = drawn(0), drawn(1), Circuit(heads=[(0, 1)])
    with pytest.raises(SelectionError, match="models of different shape"):
        matched_random(circuit, A, protect=of(torch.ones(1, LAYERS, HEADS + 1), A.per_example_neurons[:1]), seed=0)
    for outside in (Circuit(neurons=[(LAYERS, 0)]), Circuit(neurons=[(0, D_MLP)])):
        message = rf"of the circuit's neurons is not in these scores, which have {LAYERS} layers of {D_MLP}"
        with pytest.raises(SelectionError, match=message):
            matched_random(outside, A, protect=B, seed=0)
