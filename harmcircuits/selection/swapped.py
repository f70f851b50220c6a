"""The label-swap null: the same recipe when the harm label means nothing."""

from collections.abc import Sequence
from random import Random

from ..attribution.scores import Attribution
from ..components import Circuit
from .protected import Fraction, SelectionError, select


def label_swapped(
    harmful: Attribution,
    near: Attribution,
    far: Attribution,
    *,
    seed: int,
    heads: int = 0,
    neurons: int = 0,
    protect_fraction: Fraction = 0.1,
) -> Circuit:
    """`select` run again with harmful and near twin swapped within a random half of the triples, from the stored scores.

    `harmful`, `near` and `far` hold one example a triple, in the same order. A_swapped is the mean over the examples now
    called harmful, and U_swapped the mean |A| over those now called near and over the far twins. It costs no model run.

    Raises:
        SelectionError: too few components are left under the swapped labels, or not as many harmful as near examples.
    """
    if harmful.n_examples != near.n_examples:
        raise SelectionError(
            f"{harmful.n_examples} harmful and {near.n_examples} near examples: labels are swapped within triples, so give "
            "one example a triple, in the same order"
        )
    swap = _swaps(harmful.n_examples, seed)
    called_harmful = _mixed(near, harmful, swap)
    called_near = _mixed(harmful, near, swap)
    return select(called_harmful, protect=called_near + far, heads=heads, neurons=neurons, protect_fraction=protect_fraction)


def _swaps(n: int, seed: int) -> list[bool]:
    """Exactly half of the triples, so that no draw is the true labelling or its mirror image."""
    chosen = set(Random(seed).sample(range(n), n // 2))
    return [index in chosen for index in range(n)]


def _mixed(where_true: Attribution, where_false: Attribution, mask: Sequence[bool]) -> Attribution:
    both = where_false + where_true
    return both[[index + where_false.n_examples * swapped for index, swapped in enumerate(mask)]]
