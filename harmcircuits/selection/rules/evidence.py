"""`Evidence`: what a selection rule may look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ...attribution.scores import Attribution
from ...components import Circuit, Component
from ..protected import Fraction, SelectionError, check_same_model

Pair: TypeAlias = tuple[Attribution, Attribution]
"""Scores on harmful and on benign text."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Per-example scores of the text that should be lost and of the text that should be kept, and what more can be asked.

    Attributes:
        harmful: A of each component on each harmful example, nats per token; positive: promotes the response.
        benign: the same on text that should be kept; U = mean over its examples of |A|.
        near: A on the near twin of each harmful example, in the same order; None where examples are not paired.
        protect_fraction: of each kind, the top fraction by U that rules with protection leave out.
        rescore: scores (harmful, benign) with a circuit off; `greedy` needs it.
        exact: exact scores (harmful, benign) of the heads and neurons that it is given; `exact` needs it.

    Raises:
        SelectionError: scores of different models, or not one near example a harmful one.
    """

    harmful: Attribution
    benign: Attribution
    near: Attribution | None = None
    protect_fraction: Fraction = 0.1
    rescore: Callable[[Circuit], Pair] | None = None
    exact: Callable[[Sequence[Component], Sequence[Component]], Pair] | None = None

    def __post_init__(self) -> None:
        check_same_model(self.harmful, self.benign)
        if self.near is None:
            return
        check_same_model(self.harmful, self.near)
        if self.near.n_examples != self.harmful.n_examples:
            raise SelectionError(
                f"{self.harmful.n_examples} harmful and {self.near.n_examples} near examples: give the near twin of each "
                "harmful example, in the same order, or near=None"
            )
