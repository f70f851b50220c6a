"""From a score of each component to a circuit of an exact size: what all rules share."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...attribution.scores import Attribution
from ...components import Circuit, Component
from ..protected import SelectionError, protected_fractions, protected_mask
from .evidence import Evidence

By = Mapping[str, Float[Tensor, "layer index"]]
"""The score that a rule ranks by, of "heads" and "neurons"."""


def picked(evidence: Evidence, by: By, *, heads: int, neurons: int, protect: bool) -> Circuit:
    """The `heads` heads and `neurons` neurons with the largest `by`, over all layers; only components with A > 0.

    Equal scores are taken in the order of layer and index. What has no score (NaN) in `by`, in the harmful or in the benign
    evidence is never selected.

    Args:
        protect: whether the top `protect_fraction` by benign U is left out.

    Raises:
        SelectionError: nothing asked for, or fewer eligible components than asked for.
    """
    counts = asked_for(heads, neurons)
    return Circuit(**{kind: ranked(evidence, by, kind, count, protect=protect)[:count] for kind, count in counts.items()})


def asked_for(heads: int, neurons: int) -> dict[str, int]:
    """The kinds that are asked for, and how many of each.

    Raises:
        SelectionError: none, or fewer than none.
    """
    if (heads, neurons) == (0, 0):
        raise SelectionError("a circuit of nothing was asked for: ask for heads= or neurons=, or both")
    if min(heads, neurons) < 0:
        raise SelectionError(f"a circuit cannot have {min(heads, neurons)} components: ask for 0 or more of each kind")
    return {kind: count for kind, count in (("heads", heads), ("neurons", neurons)) if count}


def ranked(evidence: Evidence, by: By, kind: str, count: int, *, protect: bool) -> list[Component]:
    """All eligible components of a kind, the largest `by` first.

    Raises:
        SelectionError: fewer than `count`.
    """
    scores, A, U = by[kind], mean(evidence.harmful, kind), size(evidence.benign, kind)
    protected = _protected(evidence, kind, U) if protect else torch.zeros_like(A, dtype=torch.bool)
    unmeasured = A.isnan() | U.isnan() | scores.isnan()
    eligible = (A > 0) & ~protected & ~unmeasured
    left = int(eligible.sum())
    if count > left:
        without = f", {int(unmeasured.sum())} were not measured" if bool(unmeasured.any()) else ""
        raise SelectionError(
            f"{count} {kind} were asked for, but {left} are left of {A.numel()}: {int(protected.sum())} are protected{without} "
            f"and the others do not promote the response (A ≤ 0). Ask for fewer{', or lower protect_fraction' * protect}."
        )
    places = eligible.flatten().nonzero().flatten()
    order = places[scores.flatten()[places].argsort(descending=True, stable=True)]
    return [divmod(int(flat), A.shape[1]) for flat in order]


def by_kind(harmful: Attribution) -> dict[str, Float[Tensor, "example layer index"]]:
    """A of each example."""
    return {"heads": harmful.per_example_heads, "neurons": harmful.per_example_neurons}


def mean(scores: Attribution, kind: str) -> Float[Tensor, "layer index"]:
    """A: the mean over examples, as `Attribution` gives it."""
    return scores.heads if kind == "heads" else scores.neurons


def size(scores: Attribution, kind: str) -> Float[Tensor, "layer index"]:
    """U: the mean of |A| taken per example."""
    return scores.heads_abs if kind == "heads" else scores.neurons_abs


def t_statistic(
    values: Float[Tensor, "example layer index"], minus: Float[Tensor, "layer index"] | float = 0.0
) -> Float[Tensor, "layer index"]:
    """(mean − minus) / (standard deviation / √n) over examples; infinite where all examples agree, 0 for 0 / 0.

    Raises:
        SelectionError: fewer than 2 examples have no spread.
    """
    if len(values) < 2:
        raise SelectionError(f"consistency over examples needs at least 2 of them, not {len(values)}: give more examples")
    above = values.mean(0) - minus
    return torch.where(above == 0, above, above / (values.std(0) / len(values) ** 0.5))


def _protected(evidence: Evidence, kind: str, U: Float[Tensor, "layer index"]) -> Bool[Tensor, "layer index"]:
    return protected_mask(U, protected_fractions(evidence.protect_fraction, asked=[kind])[kind])
