"""Selection of circuits: what promotes harmful responses and does not carry benign ones.

Heads and neurons, each kind over all layers:

    only A > 0;  leave out the floor(protect_fraction · all) largest U;  take the `heads` (`neurons`) largest A.

Single weights, matrix by matrix: recipe "released" of `circuits/weight_selection.py`, where a large model's masks are selected
without holding the scores of all weights.

A: attribution on harmful text. U: mean of |A| per example on benign text. Equal scores are taken in order of layer and index.

Source: arXiv 2604.09544 and its code (there with S = −A).
"""

from collections.abc import Mapping
from typing import overload

import torch
from torch import Tensor

from ..attribution.scores import KINDS, PROTECT, Attribution, Kind, protected_mask
from ..attribution.weights import WeightAttribution
from ..errors import SelectionError
from .circuit import Circuit, Component, component_name
from .weight_mask import WeightMask
from .weight_selection import WeightSelection, set_difference

Fraction = float | Mapping[str, float]
"""One fraction for both kinds, or `{"heads": .5, "neurons": .1}`."""
SIZES: Mapping[Kind, float] = {"heads": 0.04, "neurons": 0.01}
"""Share of all heads and of all neurons that is selected where no number is given."""


@overload
def select(
    scores: Attribution,
    *,
    protect: Attribution | None = None,
    heads: int | None = None,
    neurons: int | None = None,
    protect_fraction: Fraction = PROTECT,
) -> Circuit: ...
@overload
def select(scores: WeightAttribution, *, protect: WeightAttribution | None = None, q: float, p: float) -> WeightMask: ...
def select(
    scores: Attribution | WeightAttribution,
    *,
    protect: Attribution | WeightAttribution | None = None,
    heads: int | None = None,
    neurons: int | None = None,
    protect_fraction: Fraction = PROTECT,
    q: float = 0.0,
    p: float = 0.0,
) -> Circuit | WeightMask:
    """Return the components of largest A that benign text does not need: see the module for the rules.

        circuit = hc.select(A, protect=B)  # 4 % of heads and 1 % of neurons
        circuit = hc.select(A, protect=B, heads=8, neurons=128)
        mask = hc.select(W, q=1e-3, p=5e-3)

    >>> A = Attribution(torch.tensor([[[0.4, 0.3, 0.2, -0.1]]]), torch.zeros(1, 1, 1))
    >>> B = Attribution(torch.tensor([[[-0.9, 0.1, 0.1, 0.1]]]), torch.zeros(1, 1, 1))
    >>> select(A, protect=B, heads=1, protect_fraction=0.25)  # head 0 is protected: it matters to benign text
    Circuit(['L0H1'])

    Args:
        scores: of the text that should be lost; components that were not measured are never selected.
        protect: scores of the text that should be kept, which give U; None: nothing is protected, and of weights U is that of
            `scores`.
        heads: how many heads to take.
        neurons: how many neurons to take. Of the two one given: that kind alone; none: 4 % of heads and 1 % of neurons.
        protect_fraction: share of heads and neurons that is protected, by default half and a tenth as in `Settings`; a mapping
            must name every requested kind.
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
    counts: dict[Kind, int] = {"heads": heads or 0, "neurons": neurons or 0}
    if heads is None and neurons is None:
        counts = {kind: max(1, round(share * getattr(scores, kind).numel())) for kind, share in SIZES.items()}
    if not any(counts.values()):
        raise SelectionError("a circuit of nothing was asked for: ask for heads= or neurons=, or both")
    if protect is not None:
        check_same_model(scores, protect)
    pairs = {kind: _largest(scores, protect, kind, counts[kind], protect_fraction) for kind in KINDS if counts[kind]}
    values = {component_name(kind, *pair): getattr(scores, kind)[pair] for kind in pairs for pair in pairs[kind]}
    return Circuit(pairs.get("heads", ()), neurons=pairs.get("neurons", ()), scores=values)


def _largest(A: Attribution, B: Attribution | None, kind: Kind, n: int, fraction: Fraction) -> list[Component]:
    score: Tensor = getattr(A, kind)
    benign: Tensor = torch.zeros_like(score) if B is None else getattr(B, f"{kind}_abs")
    protected = protected_mask(benign, 0.0 if B is None else fraction_of(fraction, kind))
    unmeasured = score.isnan() | benign.isnan()
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


def check_same_model(A: Attribution | WeightAttribution, B: Attribution | WeightAttribution) -> None:
    """Raise SelectionError where the two are of models of different shape."""
    if A.shapes != B.shapes:
        raise SelectionError("the two attributions are of models of different shape: compute both with the same model")


def fraction_of(fraction: Fraction, kind: Kind) -> float:
    """Return the protected fraction of one kind. Raises SelectionError where there is none, or none between 0 and 1."""
    share = fraction.get(kind) if isinstance(fraction, Mapping) else fraction
    if share is None or not 0 <= share <= 1:
        raise SelectionError(
            f"protect_fraction={fraction!r}: give a number between 0 and 1 for {kind}; 0 protects none of them"
        )
    return float(share)


def _select_weights(W: WeightAttribution, benign: WeightAttribution, q: float, p: float) -> WeightMask:
    WeightSelection(q, p)
    check_same_model(W, benign)
    indices = {name: set_difference(A.flatten(), benign.absolute[name].flatten(), q, p) for name, A in W.signed.items()}
    mask = WeightMask(indices=indices, shapes=W.shapes)
    if not len(mask):
        raise SelectionError(
            f"q={q} and p={p} select no weight: all with A > 0 among the top q are protected. Raise q or lower p."
        )
    return mask
