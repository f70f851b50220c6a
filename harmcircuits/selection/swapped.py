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
    """`select` run again with harmful and near twin swapped wherever a fair coin says so, one coin a triple.

    `harmful`, `near` and `far` hold one example a triple, in the same order. A_swapped is the mean over the examples now
    called harmful, and U_swapped the mean |A| over those now called near and over the far twins: from the stored scores, so
    it costs no model run. Where the label means nothing, every one of the 2ⁿ labellings, the true one among them, is as
    likely: the draws and the true circuit are then exchangeable, which a p value over the draws rests on.

    >>> import torch
    >>> rest = torch.zeros(3, 1, 1), (torch.zeros(1, 2),) * 3
    >>> harmful, near = (Attribution(torch.tensor([[A]] * 3), *rest) for A in ([1.0, 0.0], [0.0, 1.0]))
    >>> [label_swapped(harmful, near, near, seed=seed, heads=1, protect_fraction=0).heads for seed in range(4)]
    [((0, 0),), ((0, 0),), ((0, 0),), ((0, 1),)]

    Raises:
        SelectionError: too few components are left under the swapped labels, not as many harmful as near examples, or
            neither heads nor neurons asked for.
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
    """One fair coin a triple. Exactly half would never give the true labelling: no draw from the null's distribution."""
    coin = Random(seed)
    return [coin.random() < 0.5 for _ in range(n)]


def _mixed(where_true: Attribution, where_false: Attribution, mask: Sequence[bool]) -> Attribution:
    both = where_false + where_true
    return both[[index + where_false.n_examples * swapped for index, swapped in enumerate(mask)]]
