"""Selection, and the two nulls that repeat it: known answers from small scores. No model."""

from math import floor
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.attribution.scores import Attribution
from harmcircuits.components import Circuit
from harmcircuits.selection.matched import matched_random
from harmcircuits.selection.protected import SelectionError, protected_fractions, select
from harmcircuits.selection.swapped import label_swapped

LAYERS, HEADS, D_MLP = 3, 4, 10


def of(heads: torch.Tensor, neurons: torch.Tensor) -> Attribution:
    return Attribution(heads, neurons, tuple(torch.zeros(1, 2) for _ in heads))


def drawn(seed: int, n: int = 6) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return of(draw(n, LAYERS, HEADS), draw(n, LAYERS, D_MLP))


def by_hand(score: torch.Tensor, benign: torch.Tensor | None, count: int, fraction: float) -> list[tuple[int, int]]:
    """The rule in words: drop the top of benign, drop A ≤ 0, take the top."""
    places = [(layer, index) for layer in range(score.shape[0]) for index in range(score.shape[1])]
    n_protected = 0 if benign is None else floor(fraction * len(places) + 1e-9)
    protected = sorted(places, key=lambda at: -benign[at].item())[:n_protected] if n_protected else []
    left = [at for at in places if at not in protected and score[at] > 0]
    return sorted(sorted(left, key=lambda at: -score[at].item())[:count])


# the rule


@given(st.integers(0, 1000), st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_select_is_the_rule_in_words(seed, heads, neurons, fraction):
    A, B = drawn(seed), drawn(seed + 5000)
    expected = [
        by_hand(A.heads, B.per_example_heads.abs().mean(0), heads, fraction),
        by_hand(A.neurons, B.per_example_neurons.abs().mean(0), neurons, fraction),
    ]
    if (len(expected[0]), len(expected[1])) != (heads, neurons):
        with pytest.raises(SelectionError, match="are left of"):
            select(A, protect=B, heads=heads, neurons=neurons, protect_fraction=fraction)
        return
    circuit = select(A, protect=B, heads=heads, neurons=neurons, protect_fraction=fraction)
    assert [list(circuit.heads), list(circuit.neurons)] == expected


def test_protection_drops_the_top_of_benign_scores_of_either_sign():
    score = torch.arange(LAYERS * D_MLP, dtype=torch.float32).view(1, LAYERS, D_MLP) + 1
    benign = torch.zeros(2, LAYERS, D_MLP)
    benign[:, 2, 9] = torch.tensor([5.0, -5.0])  # a mean of 0, a mean size of 5
    benign[:, 2, 7] = -1.0
    heads = torch.ones(1, LAYERS, HEADS)
    A, B = of(heads, score), of(heads.repeat(2, 1, 1), benign)
    assert select(A, protect=B, neurons=2, protect_fraction=1 / 30).neurons == ((2, 7), (2, 8))
    assert select(A, protect=B, neurons=2, protect_fraction=2 / 30).neurons == ((2, 6), (2, 8))
    assert select(A, protect=B, neurons=2, protect_fraction=0).neurons == ((2, 8), (2, 9))
    assert select(A, neurons=2).neurons == ((2, 8), (2, 9)), "without benign text nothing is protected"


@pytest.mark.parametrize(("fraction", "protected"), [(0.1, 3), (0.3, 9), (0.7, 21), (0.09, 2), (0.99, 29), (1, 30), (0, 0)])
def test_the_number_protected_is_the_fraction_of_all_rounded_down(fraction, protected):
    ones = of(torch.ones(1, LAYERS, HEADS), torch.ones(1, LAYERS, D_MLP))
    left = LAYERS * D_MLP - protected
    assert len(select(ones, protect=ones, neurons=left, protect_fraction=fraction)) == left
    message = f"{left + 1} neurons were asked for, but {left} are left of 30: {protected} are protected"
    with pytest.raises(SelectionError, match=message):
        select(ones, protect=ones, neurons=left + 1, protect_fraction=fraction)


def test_scores_that_are_not_positive_never_count():
    heads = torch.full((1, LAYERS, HEADS), -1.0)
    heads[0, 1, 2], heads[0, 2, 0], heads[0, 0, 0] = 0.5, 1e-9, 0.0
    A = of(heads, torch.ones(1, LAYERS, D_MLP))
    assert select(A, heads=2).heads == ((1, 2), (2, 0))
    with pytest.raises(SelectionError, match=r"3 heads were asked for, but 2 are left of 12.*A ≤ 0.*lower protect_fraction"):
        select(A, heads=3)


def test_equal_scores_are_taken_and_protected_in_order():
    ones = of(torch.ones(1, LAYERS, HEADS), torch.ones(1, LAYERS, D_MLP))
    assert select(ones, heads=5).heads == ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0))
    assert select(ones, protect=ones, heads=2, protect_fraction=0.25).heads == ((0, 3), (1, 0))
    assert select(ones) == Circuit()


def test_each_kind_can_have_its_own_fraction():
    A, B = drawn(1), drawn(2)
    heads = select(A, protect=B, heads=2, protect_fraction=0.5).heads
    neurons = select(A, protect=B, neurons=5, protect_fraction=0.1).neurons
    own = select(A, protect=B, heads=2, neurons=5, protect_fraction={"heads": 0.5, "neurons": 0.1})
    assert own == Circuit(heads, neurons)
    assert own != select(A, protect=B, heads=2, neurons=5, protect_fraction=0.5)
    assert protected_fractions(0.2) == {"heads": 0.2, "neurons": 0.2}


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        ({"heads": 0.1, "weights": 0.2}, r"knows 'heads' and 'neurons', not \['weights'\]"),
        (1.5, "must lie between 0 and 1, not 1.5"),
        (-0.1, "must lie between 0 and 1, not -0.1"),
        (float("nan"), "must lie between 0 and 1, not nan"),
        ({"heads": 2}, "must lie between 0 and 1"),
    ],
)
def test_fractions_that_make_no_sense(fraction, message):
    with pytest.raises(SelectionError, match=message):
        select(drawn(0), protect=drawn(1), heads=1, protect_fraction=fraction)


def test_counts_and_models_that_make_no_sense():
    with pytest.raises(SelectionError, match="-1 heads were asked for"):
        select(drawn(0), heads=-1)
    with pytest.raises(SelectionError, match="models of different shape"):
        select(drawn(0), protect=of(torch.ones(1, LAYERS, HEADS), torch.ones(1, LAYERS, D_MLP + 1)), heads=1)


# matched random


def layers(circuit: Circuit) -> list[list[int]]:
    return [[layer for layer, _ in part] for part in (circuit.heads, circuit.neurons)]


@given(st.integers(0, 1000))
def test_matched_circuits_have_the_same_layers_and_no_component_in_common(seed):
    A, B = drawn(seed), drawn(seed + 5000)
    random = Random(seed)
    heads = [(layer, head) for layer in range(LAYERS) for head in random.sample(range(HEADS), 2)]
    neurons = [(layer, neuron) for layer in range(LAYERS) for neuron in random.sample(range(D_MLP), 4)]
    circuit = Circuit(heads, neurons)
    matched = matched_random(circuit, A, protect=B, seed=seed)
    assert layers(matched) == layers(circuit)
    assert not matched & circuit
    assert matched == matched_random(circuit, A, protect=B, seed=seed)


def test_seeds_give_other_draws():
    circuit = Circuit(neurons=[(0, 1), (2, 3)])
    draws = {matched_random(circuit, drawn(0), protect=drawn(1), seed=seed) for seed in range(12)}
    assert len(draws) >= 6


def test_a_layer_that_is_used_up_gives_circuit_components_back():
    circuit = Circuit(heads=[(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)])
    for seed in range(10):
        matched = matched_random(circuit, drawn(0), protect=drawn(1), seed=seed)
        assert layers(matched) == layers(circuit)
        assert (0, 3) in matched.heads, "what lies outside the circuit is drawn first"


def test_candidates_are_the_nearest_in_both_ranks():
    size = torch.arange(D_MLP, dtype=torch.float32).repeat(1, LAYERS, 1)
    size[..., ::2] *= -1  # ranks are of |A|
    one, same = of(torch.ones(1, LAYERS, HEADS), size), of(torch.ones(1, LAYERS, HEADS), size.abs())
    circuit = Circuit(neurons=[(1, 5)])
    draws = [matched_random(circuit, one, protect=same, seed=seed, strata=2).neurons[0] for seed in range(30)]
    assert {*draws} == {(1, 4), (1, 6)}
    opposite = of(torch.ones(1, LAYERS, HEADS), size.abs().flip(-1))
    ends = [matched_random(Circuit(neurons=[(1, 0)]), one, protect=opposite, seed=seed, strata=1).neurons for seed in range(3)]
    assert {*ends} == {((1, 1),)}


# label swap


def test_a_label_swap_is_the_rule_on_relabelled_scores():
    n, settings = 7, {"heads": 2, "neurons": 4, "protect_fraction": 0.1}
    harmful, near, far = (drawn(seed, n) for seed in (1, 2, 3))
    for seed in range(8):
        swapped = {*Random(seed).sample(range(n), n // 2)}
        called = [(near if index in swapped else harmful, harmful if index in swapped else near) for index in range(n)]
        harmful_now = torch.stack([one.per_example_neurons[index] for index, (one, _) in enumerate(called)])
        near_now = torch.stack([other.per_example_neurons[index] for index, (_, other) in enumerate(called)])
        benign = torch.cat([near_now, far.per_example_neurons]).abs().mean(0)
        circuit = label_swapped(harmful, near, far, seed=seed, **settings)
        assert list(circuit.neurons) == by_hand(harmful_now.mean(0), benign, 4, 0.1)
        assert len(circuit.heads) == 2


def test_half_of_the_triples_are_swapped_and_seeds_differ():
    """Only triple i promotes neuron i when it is called harmful: the circuit tells which triples were swapped."""
    n = 8
    eye = torch.zeros(n, LAYERS, D_MLP)
    eye[range(n), 0, range(n)] = 1.0
    heads = torch.zeros(n, LAYERS, HEADS)
    harmful, near = of(heads, eye), of(heads, -eye)
    draws = {label_swapped(harmful, near, of(heads, eye), seed=seed, neurons=n // 2, protect_fraction=0) for seed in range(10)}
    assert len(draws) >= 8 and all(len(circuit) == n // 2 for circuit in draws)
    with pytest.raises(SelectionError, match=f"but {n // 2} are left"):
        label_swapped(harmful, near, of(heads, eye), seed=0, neurons=n // 2 + 1, protect_fraction=0)


def test_triples_that_do_not_match():
    with pytest.raises(SelectionError, match="6 harmful and 5 near examples: labels are swapped within triples"):
        label_swapped(drawn(0), drawn(1, 5), drawn(2), seed=0, heads=1)


def test_a_fraction_that_floating_point_rounds_down_still_protects_its_whole_number():
    """0.29 × 100 is 28.999999999999996: 29 components are protected, not 28, and so 71 are left."""
    heads, neurons = torch.ones(1, 1, 100), torch.ones(1, 1, 1)
    benign = of(torch.arange(1.0, 101.0).view(1, 1, 100), neurons)
    assert len(select(of(heads, neurons), protect=benign, heads=71, protect_fraction={"heads": 0.29})) == 71
    with pytest.raises(SelectionError, match="29 are protected"):
        select(of(heads, neurons), protect=benign, heads=72, protect_fraction={"heads": 0.29})
