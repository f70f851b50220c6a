"""Masks of single weights, selected layer by layer: the scores of all weights are never held at once.

    released: of each matrix, the floor(q · size) largest A (only A > 0)  minus  the floor(p · size) largest U
    global:   the floor(q · N) largest A over all N weights (only A > 0)  minus  the floor(p · N) largest benign |A|

Source: arXiv 2604.09544; "released" is its code, "global" the other recipe that goes by its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import floor
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attribution.layer_major import ExampleSet, layer_sums, pooled
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel
from .weight_mask import WeightMask

Recipe = Literal["released", "global"]

_STRIDE = 64


class SelectionError(ValueError):
    """A circuit that cannot be selected; the message says what is left and what would help."""


def check_fractions(q: float, p: float) -> None:
    """Raise SelectionError unless both are fractions, q above 0."""
    if not (0 < q <= 1 and 0 <= p <= 1):
        raise SelectionError(f"q and p are fractions of the weights between 0 and 1, q above 0, not q={q} and p={p}")


def count(fraction: float, n: int) -> int:
    """Return floor(fraction · n): 0.1 × 270 is 27, also in floating point."""
    return floor(fraction * n + 1e-9)


def set_difference(A: Float[Tensor, " n"], U: Float[Tensor, " n"] | None, q: float, p: float) -> Int[Tensor, " kept"]:
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


@dataclass(frozen=True)
class WeightSelection:
    """How one mask is selected.

    Attributes:
        q: fraction of weights taken by A: of each matrix ("released"), or of all ("global").
        p: fraction left out by benign U; 0 protects nothing.
        recipe: see the module.
        target, protect: the sets of examples that give A, and those that give U; several count as one set.
    """

    q: float
    p: float
    recipe: Recipe = "released"
    target: tuple[int, ...] = (0,)
    protect: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        check_fractions(self.q, self.p)


def weight_masks(
    model: HookedModel, sets: Sequence[ExampleSet], selections: Sequence[WeightSelection], *, batch_size: int = 8
) -> list[WeightMask | None]:
    """Return one mask a selection, layer by layer from one data pass; None where a selection takes no weight.

    Args:
        sets: examples and their metrics (None: the loss of the response); `WeightSelection` counts them from 0.
        batch_size: rows a pass; masks do not depend on it, beyond rounding.

    Raises:
        AttributionError, ExampleError, ModelError: see `attribute_weights`.
    """
    every = matrices(model)
    total = sum(matrix.shape[0] * matrix.shape[1] for matrix in every)
    tops = [(_Top(floor(own.q * total)), _Top(floor(own.p * total))) for own in selections]
    indices: list[dict[str, Tensor]] = [{} for _ in selections]
    signed = {own.target for own in selections} | {own.protect for own in selections if own.recipe == "global"}
    absolute = {own.protect for own in selections if own.recipe == "released" and own.p}
    wanted = {"signed": {*chain(*signed)}, "absolute": {*chain(*absolute)}}
    for block, found in layer_sums(model, sets, batch_size=batch_size, **wanted):
        for matrix in block:
            pool = partial(pooled, found, matrix.name)
            A = {places: pool(places).signed(matrix).flatten() for places in signed}
            U = {places: pool(places).absolute(matrix).flatten() for places in absolute}
            for own, (taken, left_out), mask in zip(selections, tops, indices, strict=True):
                if own.recipe == "released":
                    mask[matrix.name] = set_difference(A[own.target], U.get(own.protect), own.q, own.p).cpu()
                else:
                    taken.add(matrix, A[own.target])
                    left_out.add(matrix, A[own.protect].abs())
    for own, (taken, left_out), mask in zip(selections, tops, indices, strict=True):
        if own.recipe == "global":
            mask |= taken.minus(left_out)
    masks = [WeightMask(indices=mask, shapes={matrix.name: matrix.shape for matrix in every}) for mask in indices]
    return [mask if len(mask) else None for mask in masks]


@dataclass(eq=False)
class _Top:
    """The largest scores of all matrices seen so far, with matrix and flat index."""

    n: int
    scores: Float[Tensor, " n"] = field(default_factory=lambda: torch.empty(0))
    places: Int[Tensor, "n 2"] = field(default_factory=lambda: torch.empty(0, 2, dtype=torch.long))
    names: list[str] = field(default_factory=list)

    def add(self, matrix: Matrix, scores: Float[Tensor, " size"]) -> None:
        best = scores.topk(min(self.n, scores.numel()))
        own = torch.stack([torch.full_like(best.indices, len(self.names)), best.indices], 1).cpu()
        self.names.append(matrix.name)
        whole, places = torch.cat([self.scores, best.values.cpu()]), torch.cat([self.places, own])
        order = whole.topk(min(self.n, len(whole))).indices
        self.scores, self.places = whole[order], places[order]

    def minus(self, other: "_Top") -> dict[str, Tensor]:
        left_out = {tuple(place) for place in other.places.tolist()}
        chosen: dict[str, list[int]] = {name: [] for name in self.names}
        for (number, index), score in zip(self.places.tolist(), self.scores.tolist(), strict=True):
            if score > 0 and (number, index) not in left_out:
                chosen[self.names[number]].append(index)
        return {name: torch.tensor(sorted(own), dtype=torch.long) for name, own in chosen.items()}
