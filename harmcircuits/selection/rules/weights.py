"""The same for single weights, matrix by matrix: as many of each matrix as the set difference takes, by another order."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from ...attribution.weight_scores import WeightAttribution
from ...components import WeightMask
from ..weights import select_weights
from .ratio import over_benign

WeightRule: TypeAlias = Callable[..., WeightMask]
Scores = Float[Tensor, " n"]


def set_difference(W: WeightAttribution, *, q: float, p: float) -> WeightMask:
    """`select_weights`: of each matrix, the top fraction `q` of A minus the top fraction `p` of U.

    Raises:
        SelectionError: see `select_weights`.

    Source: arXiv 2604.09544.
    """
    return select_weights(W, q=q, p=p)


def difference(W: WeightAttribution, *, q: float, p: float, penalty: float = 1.0) -> WeightMask:
    """Of each matrix, the largest A − λ · U, only A > 0; as many as the set difference takes there.

    >>> A, U = torch.tensor([[0.4, 0.3], [0.2, -0.1]]), torch.tensor([[0.9, 0.2], [0.0, 0.1]])
    >>> W = WeightAttribution({"blocks.0.mlp.in": A}, {"blocks.0.mlp.in": U}, n_examples=1)
    >>> difference(W, q=0.5, p=0.25).indices["blocks.0.mlp.in"]
    tensor([2])

    Args:
        penalty: λ, at least 0.

    Raises:
        SelectionError: see `select_weights`.
    """
    return _of_same_size(W, q, p, lambda A, U: A - penalty * U)


def ratio(W: WeightAttribution, *, q: float, p: float, floor: float = 1.0) -> WeightMask:
    """Of each matrix, the largest A / (U + `floor` · its median U), only A > 0; as many as the set difference takes there.

    Args:
        floor: in units of the matrix' median U, at least 0.

    Raises:
        SelectionError: see `select_weights`.
    """
    return _of_same_size(W, q, p, lambda A, U: over_benign(A, U, floor=floor))


WEIGHT_RULES: dict[str, WeightRule] = {"set_difference": set_difference, "difference": difference, "ratio": ratio}
"""By name, the paper's first."""


def _of_same_size(W: WeightAttribution, q: float, p: float, by: Callable[[Scores, Scores], Scores]) -> WeightMask:
    """The set difference leaves as many with A > 0 as it takes, so that there always are enough."""
    indices = {}
    for name, taken in set_difference(W, q=q, p=p).indices.items():
        A, U = W.signed[name].flatten(), W.absolute[name].flatten()
        indices[name] = torch.where(A > 0, by(A, U), -torch.inf).topk(len(taken)).indices
    return WeightMask(indices=indices, shapes=W.shapes)
