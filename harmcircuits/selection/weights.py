"""The paper's rule for single weights, matrix by matrix: the top q of A **minus** the top p of U.

    Q = the floor(q · size) largest A of the matrix, only A > 0;  P = the floor(p · size) largest U;  the mask is Q ∖ P.

The set difference comes after taking q, so that fewer than q of a matrix may be left. (Heads and neurons are counted after
protection, `select`.)

Source: arXiv 2604.09544 and its code (there with S = −A).
"""

from math import ceil, floor, log10

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attribution.weights import WeightAttribution
from ..components import WeightMask
from .protected import SelectionError

Flat = Int[Tensor, " n"]


def select_weights(W: WeightAttribution, *, q: float, p: float, protect: WeightAttribution | None = None) -> WeightMask:
    """Of each matrix, the top fraction `q` of A (only A > 0) minus the top fraction `p` of U.

    Equal scores are taken in the order of row and column.

    >>> A, U = torch.tensor([[0.4, 0.3], [0.2, -0.1]]), torch.tensor([[0.9, 0.1], [0.1, 0.1]])
    >>> W = WeightAttribution({"blocks.0.mlp.in": A}, {"blocks.0.mlp.in": U}, n_examples=1)
    >>> select_weights(W, q=0.5, p=0.25).indices["blocks.0.mlp.in"]  # weight 0 matters to benign text
    tensor([1])

    Args:
        W: scores of the text that should be lost (A), and of the text that should be kept (U).
        q: fraction of each matrix, between 0 and 1.
        p: fraction of each matrix, between 0 and 1; 0 protects nothing.
        protect: take U from these scores instead.

    Raises:
        SelectionError: q or p outside [0, 1], scores of different models or that are not numbers, or nothing is left (says from
            which q on something is).
    """
    for name, fraction in (("q", q), ("p", p)):
        if not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise SelectionError(f"{name} is a fraction of each matrix, between 0 and 1, not {fraction!r}")
    benign = W if protect is None else protect
    if not isinstance(W, WeightAttribution) or not isinstance(benign, WeightAttribution):
        raise SelectionError("weights are selected from hc.attribute_weights(...); hc.select takes scores of heads and neurons")
    if benign.shapes != W.shapes:
        raise SelectionError("the two attributions are of models of different shape: compute both with the same model")
    indices = {name: set_difference(name, A.flatten(), benign.absolute[name].flatten(), q, p) for name, A in W.signed.items()}
    mask = WeightMask(indices=indices, shapes=W.shapes)
    if not len(mask):
        raise SelectionError(_why_empty(W, benign, q=q, p=p))
    return mask


def set_difference(name: str, A: Float[Tensor, " n"], U: Float[Tensor, " n"], q: float, p: float) -> Flat:
    """Return the top q of A (only A > 0) minus the top p of U, of the matrix `name`. Raises SelectionError for NaN."""
    if bool(A.isnan().any() | U.isnan().any()):
        raise SelectionError(f"a score of {name} is not a number: compute the scores again")
    promotes = top_fraction(A, q)
    promotes = promotes[A[promotes] > 0]
    return promotes[~torch.isin(promotes, top_fraction(U, p))]


def top_fraction(scores: Float[Tensor, " n"], fraction: float) -> Flat:
    """Indices of the largest, in order; of equal ones the first. No sort: a threshold, and what is above it.

    >>> top_fraction(torch.tensor([1.0, 3.0, 2.0, 3.0]), 0.5)
    tensor([1, 3])
    """
    count = floor(fraction * len(scores) + 1e-9)  # as in protected_mask
    if count == 0:
        return torch.empty(0, dtype=torch.long)
    threshold = scores.topk(count, sorted=False).values.min()
    above = (scores > threshold).nonzero().flatten()
    equal = (scores == threshold).nonzero().flatten()[: count - len(above)]
    return torch.cat([above, equal]).sort().values


def _why_empty(W: WeightAttribution, benign: WeightAttribution, *, q: float, p: float) -> str:
    """The smallest q that selects something: the best unprotected weight with A > 0 must be in the top q of its matrix."""
    needed = []
    for name, A in W.signed.items():
        left = A.flatten().clone()
        left[top_fraction(benign.absolute[name].flatten(), p)] = -torch.inf
        best = left.max()
        if best > 0:
            first = int((left == best).nonzero()[0])
            before = int(A.gt(best).sum()) + int(A.flatten()[:first].eq(best).sum())
            needed.append((before + 1) / A.numel())
    if not needed:
        return f"q={q} and p={p} select no weight, nor would any q: every weight with A > 0 is protected. Lower p."
    return (
        f"q={q} and p={p} select no weight: the first is selected from q={_rounded_up(min(needed))} on, with this p. "
        "Raise q, or lower p."
    )


def _rounded_up(fraction: float) -> str:
    """Three significant digits, not below `fraction`."""
    unit = 10.0 ** (floor(log10(fraction)) - 2)
    return f"{ceil(fraction / unit) * unit:.3g}"
