"""Weight masks selected layer by layer, without ever holding the scores of all weights.

    released: of each matrix, the floor(q · size) largest A (only A > 0)  minus  the floor(p · size) largest U,
              U = mean |W ⊙ ∂L/∂W|, the absolute value taken per example
    global:   the floor(q · N) largest A over all N weights (only A > 0)  minus  the floor(p · N) largest |mean W ⊙ ∂L/∂W|

Source: arXiv 2604.09544; the first is its released code, the second the other recipe that goes by its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attribution.layer_major import ExampleSet, layer_sums, pooled
from ..components import WeightMask
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel
from .protected import SelectionError
from .weights import set_difference

Recipe = Literal["released", "global"]


@dataclass(frozen=True)
class WeightSelection:
    """What one mask is selected by.

    Attributes:
        q: fraction of weights taken by A; of each matrix ("released"), or of all ("global").
        p: fraction left out by benign U; 0 protects nothing.
        recipe: see the module.
        target, protect: which sets of examples give A, and which give U; several count as one set.
    """

    q: float
    p: float
    recipe: Recipe = "released"
    target: tuple[int, ...] = (0,)
    protect: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not (0 < self.q <= 1 and 0 <= self.p <= 1):
            raise SelectionError(f"q and p are fractions of the weights, q above 0, not q={self.q} and p={self.p}")


@dataclass(eq=False)
class _Top:
    """The largest scores seen so far, by matrix name and flat index."""

    count: int
    scores: Float[Tensor, " n"] = field(default_factory=lambda: torch.empty(0))
    places: Int[Tensor, "n 2"] = field(default_factory=lambda: torch.empty(0, 2, dtype=torch.long))

    def add(self, number: int, scores: Float[Tensor, " size"]) -> None:
        best = scores.topk(min(self.count, scores.numel()))
        places = torch.stack([torch.full_like(best.indices, number), best.indices], 1).cpu()
        whole, at = torch.cat([self.scores, best.values.cpu()]), torch.cat([self.places, places])
        order = whole.topk(min(self.count, len(whole))).indices
        self.scores, self.places = whole[order], at[order]


def weight_masks(
    model: HookedModel, sets: Sequence[ExampleSet], selections: Sequence[WeightSelection], *, batch_size: int = 8
) -> list[WeightMask | None]:
    """Return one mask a selection, from one data pass; None where a selection takes no weight.

    Args:
        sets: examples and their metrics (None: the loss of the response); `WeightSelection` counts them from 0.
        batch_size: rows a pass; masks do not depend on it, beyond rounding.

    Raises:
        SelectionError: a fraction outside [0, 1].
        AttributionError, ExampleError, ModelError: see `layer_sums`.
    """
    every = matrices(model)
    shapes = {matrix.name: matrix.shape for matrix in every}
    number = {matrix.name: at for at, matrix in enumerate(every)}
    total = sum(rows * columns for rows, columns in shapes.values())
    used = {places for one in selections for places in (one.target, one.protect)}
    indices: list[dict[str, Tensor]] = [{} for _ in selections]
    tops = [(_Top(floor(one.q * total)), _Top(floor(one.p * total))) if one.recipe == "global" else None for one in selections]
    for block, found in layer_sums(model, sets, batch_size=batch_size):
        for matrix in block:
            sums = {places: pooled([found[place] for place in places], matrix.name) for places in used}
            signed = {places: own.signed(matrix).flatten() for places, own in sums.items()}
            absolute = {places: own.absolute(matrix).flatten() for places, own in sums.items()}
            for selection, top, mask in zip(selections, tops, indices, strict=True):
                A = signed[selection.target]
                if top is None:
                    U = absolute[selection.protect]
                    mask[matrix.name] = set_difference(matrix.name, A, U, selection.q, selection.p).cpu()
                else:
                    top[0].add(number[matrix.name], A)
                    top[1].add(number[matrix.name], signed[selection.protect].abs())
    for at, top in enumerate(tops):
        if top is not None:
            indices[at] = _global_difference(every, *top)
    masks = [WeightMask(indices=own, shapes=shapes) for own in indices]
    return [mask if len(mask) else None for mask in masks]


def _global_difference(every: Sequence[Matrix], taken: _Top, left_out: _Top) -> dict[str, Tensor]:
    protected = {tuple(place) for place in left_out.places.tolist()}
    chosen: dict[str, list[int]] = {matrix.name: [] for matrix in every}
    for (number, index), score in zip(taken.places.tolist(), taken.scores.tolist(), strict=True):
        if score > 0 and (number, index) not in protected:
            chosen[every[number].name].append(index)
    return {name: torch.tensor(sorted(own), dtype=torch.long) for name, own in chosen.items()}
