"""The paper's rule: what promotes harm and does not carry benign text.

Only A > 0; drop the top of benign U = mean |A|; then take the top of harmful A. Heads and neurons are ranked over all layers.

Source: arXiv 2604.09544 (set difference of the top of the two scores), here with exact counts after protection.
"""

from collections.abc import Collection, Mapping
from math import floor

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..attribution.scores import Attribution
from ..components import Circuit, Component

Fraction = float | Mapping[str, float]
"""One fraction for both kinds, or `{"heads": .5, "neurons": .1}`."""


class SelectionError(ValueError):
    """A circuit of that size cannot be selected; the message says how many components are left and what would help."""


def select(
    A: Attribution,
    *,
    protect: Attribution | None = None,
    heads: int = 0,
    neurons: int = 0,
    protect_fraction: Fraction = 0.1,
) -> Circuit:
    """The `heads` heads and `neurons` neurons with the largest A, protected components left out.

    Protected: the top floor(protect_fraction × all of that kind in the model) by U_c = mean over `protect`'s examples of
    |A_c|. Exactly as many components as asked for; equal scores are taken in the order of layer and index. A component that
    was not measured, in `A` or in `protect`, is never selected.

    >>> neurons, tokens = torch.zeros(1, 1, 1), (torch.zeros(1, 2),)
    >>> A = Attribution(torch.tensor([[[0.4, 0.3, 0.2, -0.1]]]), neurons, tokens)
    >>> B = Attribution(torch.tensor([[[-0.9, 0.1, 0.1, 0.1]]]), neurons, tokens)
    >>> select(A, protect=B, heads=1, protect_fraction=0.25)  # head 0 is protected: it matters to benign text
    Circuit(heads=((0, 1),), neurons=())

    Args:
        A: attribution on the text that should be lost.
        protect: attribution on the text that should be kept; None protects nothing.
        protect_fraction: one number, or one for each kind: `{"heads": .5, "neurons": .1}`. With `protect`, a mapping must
            name every kind that is asked for.

    Raises:
        SelectionError: neither heads nor neurons asked for, fewer eligible components (A > 0 and unprotected) than asked
            for, a fraction outside [0, 1], a mapping without a kind that is asked for, or two attributions of different
            models.
    """
    if heads == 0 and neurons == 0:
        raise SelectionError("a circuit of nothing was asked for: ask for heads= or neurons=, or both")
    asked = [kind for kind, count in (("heads", heads), ("neurons", neurons)) if protect is not None and count > 0]
    fractions = protected_fractions(protect_fraction, asked=asked)
    if protect is not None:
        check_same_model(A, protect)
    benign = {kind: None if protect is None else getattr(protect, f"{kind}_abs") for kind in fractions}
    best = {
        kind: _top(score, benign[kind], fractions[kind], count, kind=kind)
        for kind, score, count in (("heads", A.heads, heads), ("neurons", A.neurons, neurons))
    }
    return Circuit(**best)


def check_same_model(A: Attribution, protect: Attribution) -> None:
    """Raises SelectionError where the two are of models of different shape."""
    if (protect.heads.shape, protect.neurons.shape) != (A.heads.shape, A.neurons.shape):
        raise SelectionError("the two attributions are of models of different shape: compute both with the same model")


def protected_fractions(protect_fraction: Fraction, *, asked: Collection[str] = ()) -> dict[str, float]:
    """The fraction of each kind; a kind that a mapping leaves out is not protected, and so may not be among those `asked` for.

    Raises:
        SelectionError: an unknown kind, a fraction outside [0, 1], or a mapping without a kind that is asked for.
    """
    given = dict(protect_fraction) if isinstance(protect_fraction, Mapping) else None
    fractions = {kind: given.get(kind, 0.0) if given is not None else protect_fraction for kind in ("heads", "neurons")}
    if given is not None and set(given) - set(fractions):
        raise SelectionError(f"protect_fraction knows 'heads' and 'neurons', not {sorted(set(given) - set(fractions))}")
    if not all(0 <= float(fraction) <= 1 for fraction in fractions.values()):  # type: ignore[arg-type]
        raise SelectionError(f"protect_fraction must lie between 0 and 1, not {protect_fraction!r}")
    left_out = [kind for kind in fractions if given is not None and kind in asked and kind not in given]
    if left_out:
        raise SelectionError(
            f"protect_fraction={given!r} says nothing about the {left_out[0]} that were asked for: give {left_out[0]!r} a "
            "fraction too (0 protects none of them), or one number for both kinds"
        )
    return {kind: float(fraction) for kind, fraction in fractions.items()}  # type: ignore[arg-type]


def protected_mask(benign: Float[Tensor, "layer index"], fraction: float) -> Bool[Tensor, "layer index"]:
    """True for the floor(fraction × all of them) components with the largest U, over all layers; equal U in order, those that
    were not measured last."""
    count = floor(fraction * benign.numel() + 1e-9)  # 0.1 × 270 is 27, also in floating point
    mask = torch.zeros(benign.numel(), dtype=torch.bool)
    mask[benign.nan_to_num(nan=-torch.inf).flatten().argsort(descending=True, stable=True)[:count]] = True
    return mask.view_as(benign)


def _top(
    score: Float[Tensor, "layer index"], benign: Float[Tensor, "layer index"] | None, fraction: float, count: int, *, kind: str
) -> list[Component]:
    nothing = torch.zeros_like(score, dtype=torch.bool)
    protected = nothing if benign is None else protected_mask(benign, fraction)
    unmeasured = score.isnan() if benign is None else score.isnan() | benign.isnan()
    eligible = (score > 0) & ~protected & ~unmeasured
    left = int(eligible.sum())
    if count < 0 or count > left:
        not_measured = f", {int(unmeasured.sum())} were not measured" if bool(unmeasured.any()) else ""
        raise SelectionError(
            f"{count} {kind} were asked for, but {left} are left of {score.numel()}: {int(protected.sum())} are protected"
            f"{not_measured} and the others do not promote the response (A ≤ 0). Ask for fewer, or lower protect_fraction."
        )
    order = torch.where(eligible, score, -torch.inf).flatten().argsort(descending=True, stable=True)[:count]
    return [divmod(int(flat), score.shape[1]) for flat in order]
