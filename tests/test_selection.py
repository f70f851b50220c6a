"""Selection: known answers from small scores, what is protected, and requests that make no sense. No model."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from small_scores import D_MLP, HEADS, LAYERS, by_hand, drawn, of

from harmcircuits.circuits.controls import matched_random
from harmcircuits.circuits.selection import SelectionError, protected_mask, select


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


@pytest.mark.parametrize("fraction", [{"neurons": 0.1}, 1.5, float("nan")])
def test_fractions_that_make_no_sense(fraction):
    with pytest.raises(SelectionError, match="give a number between 0 and 1 for heads"):
        select(drawn(0), protect=drawn(1), heads=1, protect_fraction=fraction)
    with pytest.raises(SelectionError, match="give a number between 0 and 1 for heads"):
        matched_random(select(drawn(0), heads=1), drawn(0), protect=drawn(1), seed=0, protect_fraction=fraction)


def test_a_kind_that_is_not_asked_for_needs_no_fraction():
    A, B = drawn(1), drawn(2)
    circuit = select(A, protect=B, heads=1, protect_fraction={"heads": 0.1})
    assert circuit == select(A, protect=B, heads=1, protect_fraction=0.1)
    assert len(matched_random(circuit, A, protect=B, seed=0, protect_fraction={"heads": 0.1})) == 1


def test_a_fraction_that_floating_point_rounds_down_still_protects_its_whole_number():
    """0.29 × 100 is 28.999999999999996: 29 components are protected, not 28, and so 71 are left."""
    heads, neurons = torch.ones(1, 1, 100), torch.ones(1, 1, 1)
    benign = of(torch.arange(1.0, 101.0).view(1, 1, 100), neurons)
    assert len(select(of(heads, neurons), protect=benign, heads=71, protect_fraction={"heads": 0.29})) == 71
    with pytest.raises(SelectionError, match="29 are protected"):
        select(of(heads, neurons), protect=benign, heads=72, protect_fraction={"heads": 0.29})
