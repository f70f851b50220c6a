"""The rule for weights, against the same rule in words."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.circuits.selection import SelectionError, select

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


fractions = st.integers(0, 20).map(lambda n: n / 20) | st.floats(0, 1)


@given(lists(-3), lists(0), fractions, fractions)
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
