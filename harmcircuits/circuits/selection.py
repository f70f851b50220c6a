"""Selection of circuits: what promotes harmful responses and does not carry benign ones.

Heads and neurons, each kind over all layers:

    only A > 0;  leave out the floor(protect_fraction · all) largest U;  take the `heads` (`neurons`) largest A.

Single weights, matrix by matrix, the difference after taking, so that fewer than q may be left:

    the floor(q · size) largest A (only A > 0)  minus  the floor(p · size) largest U.

A: attribution on harmful text. U: mean of |A| per example on benign text. Equal scores are taken in order of layer and index.
`weight_masks` selects weights layer by layer: the scores of all weights are never held at once.

Source: arXiv 2604.09544 and its code (there with S = −A).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import floor
from typing import overload

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..attribution.scores import KINDS, Attribution, Kind
from ..attribution.weight_gradients import ExampleSet, absolute_scores, layer_sums, signed_scores
from ..attribution.weights import WeightAttribution
from ..models.matrices import matrices
from ..models.protocol import HookedModel
from .circuit import Circuit, Component
from .weight_mask import WeightMask

_STRIDE = 64
Fraction = float | Mapping[str, float]
"""One fraction for both kinds, or `{"heads": .5, "neurons": .1}`."""


class SelectionError(ValueError):
    """A circuit that cannot be selected; the message says what is left and what would help."""


@overload
def select(
    scores: Attribution,
    *,
    protect: Attribution | None = None,
    heads: int = 0,
    neurons: int = 0,
    protect_fraction: Fraction = 0.1,
) -> Circuit: ...
@overload
def select(scores: WeightAttribution, *, protect: WeightAttribution | None = None, q: float, p: float) -> WeightMask: ...
def select(
    scores: Attribution | WeightAttribution,
    *,
    protect: Attribution | WeightAttribution | None = None,
    heads: int = 0,
    neurons: int = 0,
    protect_fraction: Fraction = 0.1,
    q: float = 0.0,
    p: float = 0.0,
) -> Circuit | WeightMask:
    """Return the components of largest A that benign text does not need: see the module for the rules.

        circuit = hc.select(A, protect=B, heads=8, neurons=128)
        mask = hc.select(W, q=1e-3, p=5e-3)

    >>> A = Attribution(torch.tensor([[[0.4, 0.3, 0.2, -0.1]]]), torch.zeros(1, 1, 1))
    >>> B = Attribution(torch.tensor([[[-0.9, 0.1, 0.1, 0.1]]]), torch.zeros(1, 1, 1))
    >>> select(A, protect=B, heads=1, protect_fraction=0.25)  # head 0 is protected: it matters to benign text
    Circuit(heads=((0, 1),), neurons=())

    Args:
        scores: of the text that should be lost; components that were not measured are never selected.
        protect: scores of the text that should be kept, which give U; None: nothing is protected, and of weights U is that of
            `scores`.
        heads: how many heads to take.
        neurons: how many neurons to take.
        protect_fraction: share of heads and neurons that is protected; a mapping must name every requested kind.
        q: share of each matrix to take, of weights.
        p: share of each matrix to protect, of weights.

    Raises:
        SelectionError: fewer components are left than asked for, fractions outside [0, 1], nothing asked for, or scores of
            models of different shape.
    """
    if isinstance(scores, WeightAttribution):
        if heads or neurons or isinstance(protect, Attribution):
            raise SelectionError("single weights are selected by q= and p=, and protected by scores of weights")
        return _select_weights(scores, protect or scores, q, p)
    if q or p or isinstance(protect, WeightAttribution):
        raise SelectionError("heads and neurons are selected by heads=, neurons= and protect_fraction=, not by q= and p=")
    counts: dict[Kind, int] = {"heads": heads, "neurons": neurons}
    if not any(counts.values()):
        raise SelectionError("a circuit of nothing was asked for: ask for heads= or neurons=, or both")
    if protect is not None:
        check_same_model(scores, protect)
    found = {kind: _largest(scores, protect, kind, counts[kind], protect_fraction) for kind in KINDS if counts[kind]}
    return Circuit(heads=found.get("heads", ()), neurons=found.get("neurons", ()))


def _largest(A: Attribution, B: Attribution | None, kind: Kind, n: int, fraction: Fraction) -> list[Component]:
    score: Tensor = getattr(A, kind)
    protected, unmeasured = torch.zeros_like(score, dtype=torch.bool), score.isnan()
    if B is not None:
        benign = getattr(B, f"{kind}_abs")
        protected, unmeasured = protected_mask(benign, fraction_of(fraction, kind)), unmeasured | benign.isnan()
    eligible = (score > 0) & ~protected & ~unmeasured
    left = int(eligible.sum())
    if not 0 <= n <= left:
        raise SelectionError(
            f"{n} {kind} were asked for, but {left} are left of {score.numel()}: {int(protected.sum())} are protected, "
            f"{int(unmeasured.sum())} were not measured, and the others do not promote the response (A ≤ 0). Ask for fewer, or "
            "lower protect_fraction."
        )
    order = torch.where(eligible, score, -torch.inf).flatten().argsort(descending=True, stable=True)[:n]
    return [divmod(int(flat), score.shape[1]) for flat in order]


def check_same_model(A: Attribution, B: Attribution) -> None:
    """Raise SelectionError where the two are of models of different shape."""
    if (B.heads.shape, B.neurons.shape) != (A.heads.shape, A.neurons.shape):
        raise SelectionError("the two attributions are of models of different shape: compute both with the same model")


def fraction_of(fraction: Fraction, kind: Kind) -> float:
    """Return the protected fraction of one kind. Raises SelectionError where there is none, or none between 0 and 1."""
    found = fraction.get(kind) if isinstance(fraction, Mapping) else fraction
    if found is None or not 0 <= found <= 1:
        raise SelectionError(
            f"protect_fraction={fraction!r}: give a number between 0 and 1 for {kind}; 0 protects none of them"
        )
    return float(found)


def protected_mask(benign: Float[Tensor, "layer index"], fraction: float) -> Bool[Tensor, "layer index"]:
    """Return True for the floor(fraction × all) components of largest U; those that were not measured come last."""
    mask = torch.zeros(benign.numel(), dtype=torch.bool)
    order = benign.nan_to_num(nan=-torch.inf).flatten().argsort(descending=True, stable=True)
    mask[order[: count(fraction, benign.numel())]] = True
    return mask.view_as(benign)


def count(fraction: float, n: int) -> int:
    """Return floor(fraction · n): 0.1 × 270 is 27, also in floating point."""
    return floor(fraction * n + 1e-9)


def _select_weights(W: WeightAttribution, benign: WeightAttribution, q: float, p: float) -> WeightMask:
    WeightSelection(q, p)
    if benign.shapes != W.shapes:
        raise SelectionError("the two attributions are of models of different shape: compute both with the same model")
    indices = {name: set_difference(A.flatten(), benign.absolute[name].flatten(), q, p) for name, A in W.signed.items()}
    mask = WeightMask(indices=indices, shapes=W.shapes)
    if not len(mask):
        raise SelectionError(
            f"q={q} and p={p} select no weight: all with A > 0 among the top q are protected. Raise q or lower p."
        )
    return mask


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
        q: fraction of each matrix taken by A.
        p: fraction of each matrix left out by benign U; 0 protects nothing.
        target, protect: the sets of examples that give A, and those that give U; several count as one set.
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
    """Return one mask a selection, layer by layer from one data pass; None where a selection takes no weight.

    Args:
        sets: examples and their metrics (None: the loss of the response); `WeightSelection` counts them from 0.
        batch_size: rows a pass; masks do not depend on it, beyond rounding.

    Raises:
        AttributionError, ExampleError, ModelError: see `attribute_weights`.
    """
    indices: list[dict[str, Tensor]] = [{} for _ in selections]
    targets = {own.target for own in selections}
    protected = {own.protect for own in selections if own.p}
    wanted = {"signed": {*chain(*targets)}, "absolute": {*chain(*protected)}}
    for block, sums in layer_sums(model, sets, **wanted, batch_size=batch_size):
        for matrix in block:
            A = {own: signed_scores(matrix, [sums[index] for index in own]).flatten() for own in targets}
            U = {own: absolute_scores(matrix, [sums[index] for index in own]).flatten() for own in protected}
            for own, mask in zip(selections, indices, strict=True):
                mask[matrix.name] = set_difference(A[own.target], U.get(own.protect), own.q, own.p).cpu()
    shapes = {matrix.name: matrix.shape for matrix in matrices(model)}
    masks = [WeightMask(indices=mask, shapes=shapes) for mask in indices]
    return [mask if len(mask) else None for mask in masks]
