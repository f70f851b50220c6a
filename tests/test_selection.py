"""Selection and matched random controls: known answers from small scores, and requests that make no sense. No model."""

from collections import Counter
from math import floor

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from harmcircuits.attribution.scores import KINDS, PROTECT, Attribution, protected_mask
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.circuits import Circuit
from harmcircuits.circuits.controls import NEAREST, CircuitRecipe, matched
from harmcircuits.circuits.selection import SIZES, select
from harmcircuits.errors import SelectionError
from harmcircuits.experiment.settings import Settings

LAYERS, HEADS, D_MLP = 3, 4, 10


def drawn(seed: int, n: int = 6) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return Attribution(draw(n, LAYERS, HEADS), draw(n, LAYERS, D_MLP))


def by_hand(score: torch.Tensor, benign: torch.Tensor | None, count: int, fraction: float) -> list[tuple[int, int]]:
    """The rule in words: drop the top of benign, drop A ≤ 0, take the top."""
    places = [(layer, index) for layer in range(score.shape[0]) for index in range(score.shape[1])]
    n_protected = 0 if benign is None else floor(fraction * len(places) + 1e-9)
    protected = sorted(places, key=lambda at: -benign[at].item())[:n_protected] if n_protected else []
    left = [at for at in places if at not in protected and score[at] > 0]
    return sorted(sorted(left, key=lambda at: -score[at].item())[:count])


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


def test_sizes_and_protection_are_the_experiments_unless_given():
    A, B, settings = drawn(0), drawn(1), Settings()
    sizes = {"heads": max(1, round(0.04 * A.heads.numel())), "neurons": max(1, round(0.01 * A.neurons.numel()))}
    circuit = select(A, protect=B)
    assert circuit == select(A, protect=B, **sizes, protect_fraction=settings.protect)
    assert circuit.scores == {
        f"L{layer}{letter}{index}": float(scores[layer, index])
        for letter, scores, pairs in (("H", A.heads, circuit.heads), ("N", A.neurons, circuit.neurons))
        for layer, index in pairs
    }
    assert SIZES["heads"] in settings.head_fractions and SIZES["neurons"] in settings.neuron_fractions
    assert select(A, protect=B, heads=1).neurons == ()
    with pytest.raises(SelectionError, match="a circuit of nothing"):
        select(A, protect=B, heads=0)


@pytest.mark.parametrize(("fraction", "protected"), [(0.1, 3), (0.3, 9), (0.7, 21), (0.09, 2), (0.99, 29), (1, 30), (0, 0)])
def test_the_number_protected_is_the_fraction_of_all_rounded_down(fraction, protected):
    ones = Attribution(torch.ones(1, LAYERS, HEADS), torch.ones(1, LAYERS, D_MLP))
    left = LAYERS * D_MLP - protected
    assert (
        len(select(ones, protect=ones, heads=1, neurons=left, protect_fraction={"heads": 0, "neurons": fraction})) == 1 + left
    )
    message = f"{left + 1} neurons were asked for, but {left} are left of 30: {protected} are protected"
    with pytest.raises(SelectionError, match=message):
        select(ones, protect=ones, neurons=left + 1, protect_fraction=fraction)
    assert protected_mask(torch.ones(1, 100), 0.29).sum() == 29, "0.29 × 100 is 28.999999999999996"


def test_equal_scores_are_taken_and_protected_in_order():
    ones = Attribution(torch.ones(1, LAYERS, HEADS), torch.ones(1, LAYERS, D_MLP))
    assert select(ones, heads=5).heads == ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0))
    assert select(ones, protect=ones, heads=2, protect_fraction=0.25).heads == ((0, 3), (1, 0))


@pytest.mark.parametrize("fraction", [{"neurons": 0.1}, 1.5, float("nan")])
def test_fractions_that_make_no_sense(fraction):
    with pytest.raises(SelectionError, match="give a number between 0 and 1 for heads"):
        select(drawn(0), protect=drawn(1), heads=1, protect_fraction=fraction)


def test_a_kind_that_is_not_asked_for_needs_no_fraction():
    A, B = drawn(1), drawn(2)
    circuit = select(A, protect=B, heads=1, protect_fraction={"heads": 0.1})
    assert circuit == select(A, protect=B, heads=1, protect_fraction=0.1)


# weights


SHAPES = {"blocks.0.attn.q": (4, 5), "blocks.0.mlp.in": (3, 2)}
sizes = {name: rows * columns for name, (rows, columns) in SHAPES.items()}


def lists(low: int) -> st.SearchStrategy:
    """Small whole numbers, so that ties are common."""
    return st.fixed_dictionaries({name: st.lists(st.integers(low, 6), min_size=n, max_size=n) for name, n in sizes.items()})


def scores(signed: dict, absolute: dict) -> WeightAttribution:
    tensors = lambda part: {name: torch.tensor(part[name]).float().view(SHAPES[name]) for name in SHAPES}
    return WeightAttribution(tensors(signed), tensors(absolute), n_examples=1)


def in_words(A: list, U: list, q: float, p: float) -> list:
    """The first so many of the ranking by A; those with A > 0; those that are not among the first so many by U."""
    by_A = sorted(range(len(A)), key=lambda at: (-A[at], at))[: int(q * len(A) + 1e-9)]
    by_U = sorted(range(len(U)), key=lambda at: (-U[at], at))[: int(p * len(U) + 1e-9)]
    return sorted(at for at in by_A if A[at] > 0 and at not in by_U)


weight_fractions = st.integers(0, 20).map(lambda n: n / 20) | st.floats(0, 1)


@given(lists(-3), lists(0), weight_fractions, weight_fractions)
def test_the_rule_in_words(signed, absolute, q, p):
    expected = {name: in_words(signed[name], absolute[name], q, p) for name in SHAPES}
    W = scores(signed, absolute)
    if any(expected.values()):
        mask = select(W, q=q, p=p)
        assert {name: mask.indices[name].tolist() for name in mask.indices} == {name: e for name, e in expected.items() if e}
        assert dict(mask.shapes) == SHAPES
        return
    with pytest.raises(SelectionError, match=r"select no weight|q above 0"):
        select(W, q=q, p=p)


def test_protection_may_come_from_other_scores():
    one = scores(dict.fromkeys(SHAPES, range(20)) | {"blocks.0.mlp.in": range(6)}, {name: [0] * sizes[name] for name in SHAPES})
    other = scores({name: [0] * sizes[name] for name in SHAPES}, {name: list(range(sizes[name])) for name in SHAPES})
    mask = select(one, q=0.5, p=0.25, protect=other)
    assert mask.indices["blocks.0.attn.q"].tolist() == [10, 11, 12, 13, 14]
    assert mask.indices["blocks.0.mlp.in"].tolist() == [3, 4]


def test_scores_that_do_not_fit_or_are_no_numbers():
    ones = {name: [1] * sizes[name] for name in SHAPES}
    part = WeightAttribution({"blocks.0.attn.q": torch.ones(4, 5)}, {"blocks.0.attn.q": torch.ones(4, 5)}, 1)
    with pytest.raises(SelectionError, match="of models of different shape"):
        select(scores(ones, ones), q=0.5, p=0, protect=part)


# matched random circuits


parts = st.sets(st.tuples(st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)))
wider = st.sets(st.tuples(st.integers(0, LAYERS - 1), st.integers(0, D_MLP - 1)))
fractions = st.floats(0, 1)


@given(parts, wider, fractions, fractions, st.integers(0, 1000))
def test_matched_circuits_hold_as_many_protected_components_of_each_layer(heads, neurons, of_heads, of_neurons, seed):
    """Whatever the circuit; and circuit components are given back only where nothing else of the layer is left."""
    A, B, circuit = drawn(seed), drawn(seed + 5000), Circuit(heads=heads, neurons=neurons)
    fraction = {"heads": of_heads, "neurons": of_neurons}
    other = matched(CircuitRecipe(A, B, fraction), circuit, seed)
    for kind, benign in (("heads", B.heads_abs), ("neurons", B.neurons_abs)):
        protected = protected_mask(benign, fraction[kind])
        own, new = (Counter((at[0], bool(protected[at])) for at in getattr(of, kind)) for of in (circuit, other))
        assert own == new
        for (layer, status), count in own.items():
            alike = int((protected[layer] == status).sum())
            back = [at for at in getattr(other & circuit, kind) if (at[0], bool(protected[at])) == (layer, status)]
            assert len(back) == max(0, 2 * count - alike)


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.25, 0.5]))
def test_what_select_protects_is_never_drawn(seed, fraction):
    A, B = drawn(seed), drawn(seed + 5000)
    A = Attribution(A.per_example_heads.abs(), A.per_example_neurons.abs())  # all promote the response: A ≤ 0 leaves none out
    circuit = select(A, protect=B, heads=1, neurons=3, protect_fraction=fraction)
    other = matched(CircuitRecipe(A, B, dict.fromkeys(KINDS, fraction)), circuit, seed)
    protected = [protected_mask(benign, fraction) for benign in (B.heads_abs, B.neurons_abs)]
    assert not any(mask[at] for mask, items in zip(protected, (other.heads, other.neurons), strict=True) for at in items)
    sized = {"heads": int((~protected[0]).sum()), "neurons": int((~protected[1]).sum())}
    assert not other - select(A, protect=B, **sized, protect_fraction=fraction), "the mask is select's own"


def test_candidates_are_the_nearest_in_both_scores(monkeypatch):
    monkeypatch.setitem(NEAREST, "neurons", 2)
    size = torch.arange(D_MLP, dtype=torch.float32).repeat(1, LAYERS, 1)
    size[..., ::2] *= -1  # the size counts, not the sign
    one, same = Attribution(torch.ones(1, LAYERS, HEADS), size), Attribution(torch.ones(1, LAYERS, HEADS), size.abs())
    circuit = Circuit(neurons=[(1, 5)])
    draws = [matched(CircuitRecipe(one, same, PROTECT), circuit, seed) for seed in range(30)]
    assert {draw.neurons for draw in draws} == {((1, 4),), ((1, 6),)}
    monkeypatch.setitem(NEAREST, "neurons", 1)
    opposite = Attribution(torch.ones(1, LAYERS, HEADS), size.abs().flip(-1))
    end = matched(CircuitRecipe(one, opposite, dict.fromkeys(KINDS, 0.0)), Circuit(neurons=[(1, 0)]), 0)
    assert end.neurons == ((1, 1),)
