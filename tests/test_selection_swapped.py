"""The label swap: the rule on relabelled scores, and a fair coin for each triple. No model."""

from collections import Counter
from itertools import combinations
from random import Random

import pytest
import torch
from small_scores import D_MLP, HEADS, LAYERS, by_hand, drawn, of

from harmcircuits.selection.protected import SelectionError
from harmcircuits.selection.swapped import label_swapped


def test_a_label_swap_is_the_rule_on_relabelled_scores():
    n, settings = 7, {"heads": 2, "neurons": 4, "protect_fraction": 0.1}
    harmful, near, far = (drawn(seed, n) for seed in (1, 2, 3))
    for seed in range(8):
        coin = Random(seed)
        swapped = {index for index in range(n) if coin.random() < 0.5}
        called = [(near if index in swapped else harmful, harmful if index in swapped else near) for index in range(n)]
        harmful_now = torch.stack([one.per_example_neurons[index] for index, (one, _) in enumerate(called)])
        near_now = torch.stack([other.per_example_neurons[index] for index, (_, other) in enumerate(called)])
        benign = torch.cat([near_now, far.per_example_neurons]).abs().mean(0)
        circuit = label_swapped(harmful, near, far, seed=seed, **settings)
        assert list(circuit.neurons) == by_hand(harmful_now.mean(0), benign, 4, 0.1)
        assert len(circuit.heads) == 2


def test_each_triple_has_its_own_fair_coin():
    """Neuron i is promoted by triple i alone, and only under its true label: the circuit tells which triples were swapped."""
    n, seeds = 8, 128
    eye = torch.zeros(n, LAYERS, D_MLP)
    eye[range(n), 0, range(n)] = 1.0
    heads = torch.zeros(n, LAYERS, HEADS)
    harmful, near = of(heads, eye), of(heads, -eye)
    kept = []
    for seed in range(seeds):
        for size in range(n, -1, -1):  # the largest circuit that there is: every neuron that is promoted
            try:
                circuit = label_swapped(harmful, near, of(heads, eye), seed=seed, neurons=size, protect_fraction=0)
                break
            except SelectionError:
                continue
        kept.append({index for _, index in circuit.neurons})
    sizes = Counter(map(len, kept))
    assert len(sizes) >= 5, "not a fixed number of them"
    assert sum(size * times for size, times in sizes.items()) / seeds == pytest.approx(n / 2, abs=4 * (n / 4 / seeds) ** 0.5)
    for index in range(n):
        share = sum(index in one for one in kept) / seeds
        assert share == pytest.approx(0.5, abs=4 * 0.5 / seeds**0.5)
    for one, other in combinations(range(n), 2):
        both = sum((one in draw) == (other in draw) for draw in kept) / seeds
        assert both == pytest.approx(0.5, abs=4 * 0.5 / seeds**0.5), "independent coins"


@pytest.mark.parametrize("n", [1, 2])
def test_the_true_labelling_and_its_mirror_image_are_draws_too(n):
    harmful, near = (of(torch.tensor([[[own, 1 - own]]] * n), torch.zeros(n, 1, 1)) for own in (1.0, 0.0))
    draws = {label_swapped(harmful, near, near, seed=seed, heads=1, protect_fraction=0).heads for seed in range(20)}
    assert draws == {((0, 0),), ((0, 1),)}


def test_triples_that_do_not_match():
    with pytest.raises(SelectionError, match="6 harmful and 5 near examples: labels are swapped within triples"):
        label_swapped(drawn(0), drawn(1, 5), drawn(2), seed=0, heads=1)
