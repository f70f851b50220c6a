"""Random masks of weights that look as important: which are drawn, and that many can be."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.circuits import WeightMask
from harmcircuits.circuits import matched_weights as matched
from harmcircuits.circuits.matched_weights import matched_weights
from harmcircuits.circuits.selection import SelectionError

IN, OUT = "blocks.0.mlp.in", "blocks.1.mlp.in"
W = WeightAttribution(
    {IN: torch.linspace(-1, 1, 200).view(10, 20), OUT: torch.linspace(-2, 2, 60).view(6, 10)},
    {IN: torch.arange(200.0).flip(0).view(10, 20), OUT: torch.arange(60.0).view(6, 10)},
    n_examples=1,
)
MASK = WeightMask(indices={IN: [199, 198, 150]}, shapes=W.shapes)


def test_as_many_of_each_matrix_outside_unprotected_and_of_like_size() -> None:
    sizes = W.signed[IN].flatten().abs()
    for seed in range(5):
        drawn = matched_weights(MASK, W, p=0.05, seed=seed)
        assert {name: len(own) for name, own in drawn.indices.items()} == {IN: 3} and not len(drawn & MASK)
        own = drawn.indices[IN]
        assert not set(own.tolist()) & set(range(10)), "the top 5 % of U"
        assert (sizes[own].sort().values - sizes[MASK.indices[IN]].sort().values).abs().max() < 0.15


def test_one_of_the_nearest_that_are_left_is_drawn() -> None:
    sizes = W.signed[IN].flatten().abs()
    for seed in range(20):
        (own,) = matched_weights(WeightMask(indices={IN: [150]}, shapes=W.shapes), W, p=0, seed=seed, nearest=4).indices[IN]
        distance = (sizes - sizes[150]).abs()
        distance[150] = torch.inf
        assert distance[own] <= distance.topk(4, largest=False).values.max()


def test_all_others_can_be_drawn_each_once() -> None:
    half = WeightMask(indices={IN: range(100, 200)}, shapes=W.shapes)
    assert matched_weights(half, W, p=0, seed=0).indices[IN].tolist() == list(range(100))


def test_too_few_others_are_told() -> None:
    most = WeightMask(indices={OUT: range(40)}, shapes=W.shapes)
    with pytest.raises(SelectionError, match=r"blocks\.1\.mlp\.in has 20 other weights .* lower q or p"):
        matched_weights(most, W, p=0, seed=0)


@given(
    sizes=st.lists(st.integers(-6, 6), min_size=12, max_size=40),
    own=st.sets(st.integers(0, 11), min_size=1, max_size=5),
    nearest=st.integers(1, 4),
    seed=st.integers(0, 3),
)
def test_what_is_out_of_reach_changes_nothing(sizes: list[int], own: set[int], nearest: int, seed: int) -> None:
    """The same draws as where all others are looked at, also of equal sizes and of a mask of small ones."""
    A = torch.tensor([sizes], dtype=torch.float32)
    scores = WeightAttribution({IN: A}, {IN: A.abs()}, n_examples=1)
    mask = WeightMask(indices={IN: sorted(own)}, shapes=scores.shapes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matched, "_within_reach", lambda values, *_: torch.ones(len(values), dtype=torch.bool))
        whole = matched_weights(mask, scores, p=0, seed=seed, nearest=nearest)
    assert matched_weights(mask, scores, p=0, seed=seed, nearest=nearest) == whole
