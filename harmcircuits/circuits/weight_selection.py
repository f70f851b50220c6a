"""Selection of single weights, layer by layer: the scores of all weights are never held at once.

    released: of each matrix, the floor(q · size) largest A (only A > 0)  minus  the floor(p · size) largest U
    global:   the floor(q · N) largest A of all N weights (only A > 0)  minus  the floor(p · N) largest |A| on benign text
    unsigned: of each matrix, the floor(q · size) largest U on harmful text  minus  the floor(p · size) largest U

A: attribution on harmful text, U: mean of |A| per example on benign text. The difference comes after the taking, so that fewer
than q may be left.

Sources: arXiv 2604.09544; "released" is its code, "global" the other recipe that goes by its name. "unsigned" is the set
difference of SNIP scores of Wei et al. 2024, arXiv 2402.05162.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from math import inf, prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attribution.scores import count
from ..attribution.weight_gradients import ExampleSet, layer_sums, weight_scores
from ..errors import SelectionError
from ..models.matrices import matrices
from ..models.protocol import HookedModel
from .weight_mask import WeightMask

RECIPES = ("released", "global", "unsigned")
_STRIDE = 64


@dataclass(frozen=True)
class WeightSelection:
    """How one mask is selected.

    Attributes:
        q: fraction of the weights taken: of each matrix, or of all ("global").
        p: fraction of them left out for benign text; 0 protects nothing.
        recipe: see the module.
        target, protect: the sets of examples that give A, and those that are protected; several count as one set.
    """

    q: float
    p: float
    recipe: str = "released"
    target: tuple[int, ...] = (0,)
    protect: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise SelectionError(f"a recipe for weights is one of {', '.join(RECIPES)}, not {self.recipe!r}")
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
    *starts, total = accumulate(map(prod, shapes.values()), initial=0)
    masks: list[dict[str, Tensor]] = [{} for _ in selections]
    ranked = {
        index: (_Largest(count(selection.q, total), above=0.0), _Largest(count(selection.p, total)))
        for index, selection in enumerate(selections)
        if selection.recipe == "global"
    }
    unsigned = {each for each in selections if each.recipe == "unsigned"}
    signed = {each.target for each in {*selections} - unsigned}
    signed |= {each.protect for each in selections if each.recipe == "global" and each.p}
    absolute = {each.protect for each in selections if each.recipe != "global" and each.p} | {each.target for each in unsigned}
    wanted = {"signed": {*chain(*signed)}, "absolute": {*chain(*absolute)}}
    for block, sums in layer_sums(model, sets, **wanted, batch_size=batch_size):
        for matrix in block:
            A = {each: weight_scores(matrix, [sums[index] for index in each], kind="signed").flatten() for each in signed}
            U = {each: weight_scores(matrix, [sums[index] for index in each], kind="absolute").flatten() for each in absolute}
            start = starts[[*shapes].index(matrix.name)]
            for index, selection in enumerate(selections):
                target, protect = (U if selection in unsigned else A)[selection.target], selection.protect
                if index not in ranked:
                    masks[index][matrix.name] = set_difference(target, U.get(protect), selection.q, selection.p).cpu()
                    continue
                ranked[index][0].add(target, start)
                if protect in A:
                    ranked[index][1].add(A[protect].abs(), start)
    for index, (largest, protected) in ranked.items():
        positions = largest.positions[~torch.isin(largest.positions, protected.positions)]
        for start, (name, shape) in zip(starts, shapes.items(), strict=True):
            masks[index][name] = positions[(positions >= start) & (positions < start + prod(shape))] - start
    selected = [WeightMask(indices=indices, shapes=shapes) for indices in masks]
    return [mask if len(mask) else None for mask in selected]


@dataclass
class _Largest:
    """The n largest scores above a bound, with the weights' positions among all weights; they come matrix by matrix."""

    n: int
    above: float = -inf
    scores: Float[Tensor, " n"] = field(default_factory=lambda: torch.empty(0))
    positions: Int[Tensor, " n"] = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    def add(self, scores: Float[Tensor, " size"], start: int) -> None:
        """Add the scores of a matrix, whose first weight has the position `start`."""
        places = (scores > self.above).nonzero().flatten()
        merged = torch.cat([self.scores, scores[places].cpu()])
        positions = torch.cat([self.positions, places.cpu() + start])
        largest = merged.topk(min(self.n, len(merged)), sorted=False).indices
        self.scores, self.positions = merged[largest], positions[largest]
        if 0 < self.n == len(largest):
            self.above = float(self.scores.min())


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
