"""Selection of single weights, layer by layer: the scores of all weights are never held at once.

    of each matrix, the floor(q · size) largest A (only A > 0)  minus  the floor(p · size) largest U

A: attribution on harmful text, U: mean of |A| per example on benign text. The difference comes after the taking, so that fewer
than q may be left.

Source: arXiv 2604.09544, as its code has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attribution.scores import count
from ..attribution.weight_gradients import ExampleSet, layer_sums, weight_scores
from ..errors import SelectionError
from ..models.matrices import matrices
from ..models.protocol import HookedModel
from .weight_mask import WeightMask

_STRIDE = 64


@dataclass(frozen=True)
class WeightSelection:
    """How one mask is selected.

    Attributes:
        q: fraction of each matrix that is taken by A.
        p: fraction that is left out for benign text; 0 protects nothing.
        target, protect: the sets of examples that give A, and those that are protected; several count as one set.
    """

    q: float
    p: float
    target: tuple[int, ...] = (0,)
    protect: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not (0 < self.q <= 1 and 0 <= self.p <= 1):
            raise SelectionError(f"q and p are fractions between 0 and 1, q above 0, not q={self.q} and p={self.p}")


def weight_masks(
    model: HookedModel, sets: Sequence[ExampleSet], selections: Sequence[WeightSelection], *, batch_size: int = 8
) -> list[WeightMask | None]:
    """Return one mask a selection from one data pass; None where a selection takes no weight.

    Args:
        sets: examples and their metrics (None: the loss of the response); `WeightSelection` counts them from 0.
        batch_size: rows a pass; masks do not depend on it, beyond rounding.

    Raises:
        HarmcircuitsError: see `attribute_weights`.
    """
    shapes = {matrix.name: matrix.shape for matrix in matrices(model)}
    masks: list[dict[str, Tensor]] = [{} for _ in selections]
    signed, absolute = {each.target for each in selections}, {each.protect for each in selections if each.p}
    wanted = {"signed": {*chain(*signed)}, "absolute": {*chain(*absolute)}}
    for block, sums in layer_sums(model, sets, **wanted, batch_size=batch_size):
        for matrix in block:
            A = {each: weight_scores(matrix, [sums[index] for index in each], kind="signed").flatten() for each in signed}
            U = {each: weight_scores(matrix, [sums[index] for index in each], kind="absolute").flatten() for each in absolute}
            for mask, each in zip(masks, selections, strict=True):
                mask[matrix.name] = set_difference(A[each.target], U.get(each.protect), each.q, each.p).cpu()
    selected = [WeightMask(indices=indices, shapes=shapes) for indices in masks]
    return [mask if len(mask) else None for mask in selected]


def set_difference(A: Float[Tensor, " n"], U: Float[Tensor, " n"] | None, q: float, p: float) -> Int[Tensor, " left"]:
    """Return the indices of the top q of A (only A > 0) minus the top p of U, in order."""
    promotes = top_fraction(A, q)
    promotes = promotes[A[promotes] > 0]
    return promotes if U is None or p == 0 else promotes[~torch.isin(promotes, top_fraction(U, p))]


def top_fraction(scores: Float[Tensor, " n"], fraction: float) -> Int[Tensor, " top"]:
    """Return the indices of the largest scores, in order; of equal ones the first.

    No sort of all: a sample bounds the threshold from below, and what lies above the bound is searched.

    >>> top_fraction(torch.tensor([1.0, 3.0, 2.0, 3.0]), 0.5)
    tensor([1, 3])
    """
    n = count(fraction, len(scores))
    if n == 0:
        return torch.empty(0, dtype=torch.long, device=scores.device)
    sample = scores[::_STRIDE]
    bound = sample.topk(min(len(sample), 2 * n // _STRIDE + 16), sorted=False).values.min()
    places = (scores >= bound).nonzero().flatten()
    if len(places) < n:  # an unlucky sample
        places = torch.arange(len(scores), device=scores.device)
    values = scores[places]
    threshold = values.topk(n, sorted=False).values.min()
    above, equal = places[values > threshold], places[values == threshold]
    return torch.cat([above, equal[: n - len(above)]]).sort().values
