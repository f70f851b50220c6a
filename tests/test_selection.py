"""Selection, and the two nulls that repeat it: known answers from small scores. No model."""

import json
from collections import Counter
from itertools import combinations
from math import floor
from random import Random

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from harmcircuits.attribution.scores import Attribution
from harmcircuits.components import Circuit
from harmcircuits.selection.matched import balance, matched_random
from harmcircuits.selection.protected import SelectionError, protected_fractions, protected_mask, select
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


def test_what_was_not_measured_is_not_selected():
    A, B = drawn(0), drawn(1)
    for scores, at in ((A, (0, 1)), (B, (1, 2))):
        scores.per_example_heads[:, at[0], at[1]] = torch.nan
        scores.per_example_neurons[:, at[0], at[1]] = torch.nan
    most = int(((A.heads > 0) & ~B.heads.isnan()).sum())
    circuit = select(A, protect=B, heads=most, neurons=1, protect_fraction=0)
    assert not {(0, 1), (1, 2)} & {*circuit.heads}
    with pytest.raises(
        SelectionError, match=rf"{most + 1} heads were asked for, but {most} are left of 12.*2 were not measured"
    ):
        select(A, protect=B, heads=most + 1, protect_fraction=0)
    mask = protected_mask(B.heads_abs, 1 / 12)
    assert mask.sum() == 1 and not mask[1, 2], "what was not measured is not protected in the place of what was"


@given(st.integers(0, 1000), st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_select_is_the_rule_in_words(seed, heads, neurons, fraction):
    assume(heads + neurons > 0)
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
    assert (
        len(select(ones, protect=ones, heads=1, neurons=left, protect_fraction={"heads": 0, "neurons": fraction})) == 1 + left
    )
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


def test_each_kind_can_have_its_own_fraction():
    A, B = drawn(1), drawn(2)
    heads = select(A, protect=B, heads=2, protect_fraction=0.5).heads
    neurons = select(A, protect=B, neurons=5, protect_fraction=0.1).neurons
    own = select(A, protect=B, heads=2, neurons=5, protect_fraction={"heads": 0.5, "neurons": 0.1})
    assert own == Circuit(heads=heads, neurons=neurons)
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


@pytest.mark.parametrize(("left_out", "other"), [("neurons", "heads"), ("heads", "neurons")])
def test_a_kind_that_is_asked_for_has_its_fraction(left_out, other):
    A, B, asked = drawn(1), drawn(2), {"heads": 1, "neurons": 1}
    message = rf"says nothing about the {left_out} that were asked for: give '{left_out}' a fraction too \(0 protects none"
    with pytest.raises(SelectionError, match=message):
        select(A, protect=B, **asked, protect_fraction={other: 0.1})
    with pytest.raises(SelectionError, match=message):
        matched_random(select(A, **asked), A, protect=B, seed=0, protect_fraction={other: 0.1})
    with pytest.raises(SelectionError, match=message):
        label_swapped(A, drawn(3), B, seed=0, **asked, protect_fraction={other: 0.1})
    one = {other: 1}
    circuit = select(A, protect=B, **one, protect_fraction={other: 0.1})
    assert circuit == select(A, protect=B, **one, protect_fraction=0.1), "a kind of which none is asked for may be left out"
    assert len(matched_random(circuit, A, protect=B, seed=0, protect_fraction={other: 0.1})) == 1
    assert select(A, **asked, protect_fraction={other: 0.1}) == select(A, **asked), "without benign text nothing is protected"
    none_protected = select(A, protect=B, **asked, protect_fraction={other: 0.1, left_out: 0})
    assert getattr(none_protected, left_out) == getattr(select(A, **asked), left_out)


def test_counts_and_models_that_make_no_sense():
    with pytest.raises(SelectionError, match="-1 heads were asked for"):
        select(drawn(0), heads=-1)
    with pytest.raises(SelectionError, match="ask for heads= or neurons="):
        select(drawn(0), protect=drawn(1))
    with pytest.raises(SelectionError, match="ask for heads= or neurons="):
        label_swapped(drawn(0), drawn(1), drawn(2), seed=0)
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


def test_seeds_give_other_draws():
    circuit = Circuit(neurons=[(0, 1), (2, 3)])
    draws = {matched_random(circuit, drawn(0), protect=drawn(1), seed=seed) for seed in range(12)}
    assert len(draws) >= 6


def test_a_layer_that_is_used_up_gives_circuit_components_back():
    circuit = Circuit(heads=[(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)])
    for seed in range(10):
        matched = matched_random(circuit, drawn(0), protect=drawn(1), seed=seed, protect_fraction=0)
        assert layers(matched) == layers(circuit)
        assert (0, 3) in matched.heads, "what lies outside the circuit is drawn first"


def test_candidates_are_the_nearest_in_both_scores():
    size = torch.arange(D_MLP, dtype=torch.float32).repeat(1, LAYERS, 1)
    size[..., ::2] *= -1  # the size counts, not the sign
    one, same = of(torch.ones(1, LAYERS, HEADS), size), of(torch.ones(1, LAYERS, HEADS), size.abs())
    circuit = Circuit(neurons=[(1, 5)])
    draws = [matched_random(circuit, one, protect=same, seed=seed, nearest_neurons=2) for seed in range(30)]
    assert {draw.neurons for draw in draws} == {((1, 4),), ((1, 6),)}
    opposite = of(torch.ones(1, LAYERS, HEADS), size.abs().flip(-1))
    end = matched_random(Circuit(neurons=[(1, 0)]), one, protect=opposite, seed=0, protect_fraction=0, nearest_neurons=1)
    assert end.neurons == ((1, 1),)


def test_distance_is_in_ratios_and_not_in_ranks():
    size = torch.tensor([100.0, 4.0, 5.0, 1.0]).expand(1, 2, 4)  # 5 lies between 4 and 100, in rank equally far
    one, circuit = of(size, torch.ones(1, 2, 1)), Circuit(heads=[(0, 2)])
    flat = of(torch.ones(1, 2, 4), torch.ones(1, 2, 1))
    for scores, protect in ((one, flat), (flat, one)):
        drawn_heads = {
            matched_random(circuit, scores, protect=protect, seed=seed, protect_fraction=0, nearest_heads=nearest).heads[0][1]
            for seed in range(9)
            for nearest in (1, 2)
        }
        assert drawn_heads == {1, 3}


def test_heads_have_fewer_candidates_than_neurons():
    """Of 20 equal others: 3 are ever drawn for a head, 8 for a neuron."""
    ones = of(torch.ones(1, 1, 21), torch.ones(1, 1, 21))
    draws = [matched_random(Circuit(heads=[(0, 20)], neurons=[(0, 20)]), ones, protect=ones, seed=at) for at in range(99)]
    assert (len({draw.heads for draw in draws}), len({draw.neurons for draw in draws})) == (3, 8)


def test_a_match_that_cannot_be_made():
    A, B, circuit = drawn(0), drawn(1), Circuit(heads=[(0, 1)])
    with pytest.raises(SelectionError, match="from at least 1 candidate"):
        matched_random(circuit, A, protect=B, seed=0, nearest_heads=0)
    with pytest.raises(SelectionError, match="models of different shape"):
        matched_random(circuit, A, protect=of(torch.ones(1, LAYERS, HEADS + 1), A.per_example_neurons[:1]), seed=0)
    for outside in (Circuit(neurons=[(LAYERS, 0)]), Circuit(neurons=[(0, D_MLP)])):
        message = rf"of the circuit's neurons is not in these scores, which have {LAYERS} layers of {D_MLP}"
        with pytest.raises(SelectionError, match=message):
            matched_random(outside, A, protect=B, seed=0)
        with pytest.raises(SelectionError, match=message):
            balance(circuit, [outside], A, protect=B)


def test_balance_is_the_sums_by_hand():
    A, B = drawn(0), drawn(1)
    circuit, others = Circuit(heads=[(0, 1), (2, 3)]), [Circuit(heads=[(0, 0)], neurons=[(1, 4)]), Circuit(heads=[(1, 1)])]
    found = balance(circuit, others, A, protect=B)
    assert json.loads(json.dumps(found)) == found
    size, benign = A.per_example_heads.mean(0).abs(), B.per_example_heads.abs().mean(0)
    for name, score in (("abs_A", size), ("U", benign)):
        assert found["heads"][name]["circuit"] == pytest.approx((score[0, 1] + score[2, 3]).item())
        assert found["heads"][name]["drawn"] == pytest.approx((score[0, 0] + score[1, 1]).item() / 2)
    assert found["neurons"]["U"]["circuit"] == 0
    assert found["neurons"]["abs_A"]["drawn"] == pytest.approx(A.neurons[1, 4].abs().item() / 2)
    same = balance(circuit, [circuit], A, protect=B)
    assert all(value["circuit"] == value["drawn"] for sums in same.values() for value in sums.values())
    with pytest.raises(SelectionError, match="no drawn circuits"):
        balance(circuit, [], A, protect=B)


# label swap


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


def test_a_fraction_that_floating_point_rounds_down_still_protects_its_whole_number():
    """0.29 × 100 is 28.999999999999996: 29 components are protected, not 28, and so 71 are left."""
    heads, neurons = torch.ones(1, 1, 100), torch.ones(1, 1, 1)
    benign = of(torch.arange(1.0, 101.0).view(1, 1, 100), neurons)
    assert len(select(of(heads, neurons), protect=benign, heads=71, protect_fraction={"heads": 0.29})) == 71
    with pytest.raises(SelectionError, match="29 are protected"):
        select(of(heads, neurons), protect=benign, heads=72, protect_fraction={"heads": 0.29})
