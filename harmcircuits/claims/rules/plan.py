"""What a comparison of rules is asked for, and how its categories are dealt."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from ...experiments.settings import Settings
from ...models.protocol import Geometry
from ...selection.rules import RULES
from ..claim import ClaimError

FIRST = "set_difference"
FACTORS = (0.5, 1.0, 2.0, 4.0)
AS_EXACT = "difference_as_exact"
"""`exact` with stored first-order scores in place of exact ones: the same triples, roles and shortlist."""
Sizes = Sequence[tuple[int, int]]
"""(heads, neurons) of each circuit of a path."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Options of `rules`.

    Attributes:
        deals: random deals of the categories into those that rules choose from and those that they are judged on.
        factors: sizes of each rule's circuits, in units of the default size; 1 must be among them.
        names: of the rules, the set difference first.
        weights: whether rules for single weights are compared, too.
        exact_triples: training triples that exact scores are taken on; 0 leaves the rule out.
        tuning_triples: training triples that λ and ε are chosen on.

    Raises:
        ClaimError: options with which nothing can be compared.
    """

    deals: int
    factors: tuple[float, ...]
    names: tuple[str, ...]
    weights: bool
    exact_triples: int
    tuning_triples: int

    def __post_init__(self) -> None:
        if self.deals < 1 or self.tuning_triples < 1 or self.exact_triples < 0:
            raise ClaimError(
                "rules are compared in at least 1 deal, tuned on at least 1 triple, and exact_triples is 0 or more: not "
                f"deals={self.deals}, tuning_triples={self.tuning_triples}, exact_triples={self.exact_triples}"
            )
        if 1.0 not in self.factors or min(self.factors) <= 0 or list(self.factors) != sorted(set(self.factors)):
            raise ClaimError(
                f"factors are sizes in units of the default one, rising, with 1 among them, such as {FACTORS}, not "
                f"{self.factors}"
            )
        unknown = [name for name in self.names if name not in RULES]
        if unknown:
            raise ClaimError(f"there is no rule {unknown[0]!r}: choose of {', '.join(RULES)}")
        if len(self.names) < 2:
            raise ClaimError(
                f"the set difference is compared with other rules, and none is named: choose of {', '.join(RULES)}"
            )
        if "exact" in self.names and not self.exact_triples:
            raise ClaimError("the rule 'exact' needs exact_triples of at least 1: raise it, or leave the rule out")

    @property
    def default(self) -> int:
        """Where the default size lies among `factors`."""
        return self.factors.index(1.0)

    @property
    def challengers(self) -> tuple[str, ...]:
        return self.names[1:]

    @property
    def beside(self) -> tuple[str, ...]:
        """What is compared as the challengers are, and does not decide."""
        return beside(self.names)

    def sizes(self, settings: Settings, shape: Geometry) -> list[tuple[int, int]]:
        """(heads, neurons) at each factor, at least 1 of each."""
        full = settings.n_heads(shape), settings.n_neurons(shape)
        return [(max(1, round(factor * full[0])), max(1, round(factor * full[1]))) for factor in self.factors]

    def as_dict(self) -> dict[str, Any]:
        own = asdict(self)
        return {"rules": own.pop("names"), **own}


def named_rules(names: Sequence[str] | None, exact_triples: int) -> tuple[str, ...]:
    """The set difference and those named, each once; None: all that can be had.

    >>> named_rules(["contrast"], 0)
    ('set_difference', 'contrast')
    """
    chosen = [name for name in RULES if name != "exact" or exact_triples] if names is None else names
    return tuple(dict.fromkeys([FIRST, *chosen]))


def beside(names: Sequence[str]) -> tuple[str, ...]:
    """With `exact`, the same from first-order scores, so that like stands beside like."""
    return (AS_EXACT,) if "exact" in names else ()


@dataclass(frozen=True)
class Deal:
    """Categories in two halves: rules choose from one, and are judged on the other."""

    number: int
    choosing: tuple[str, ...]
    held_out: tuple[str, ...]


def deal_categories(training: Sequence[str], test: Sequence[str], *, deals: int, seed: int) -> list[Deal]:
    """So many different deals, or all that there are: of C categories, ⌊C/2⌋ drawn for choosing, the others held out.

    Only categories with training and test triples are dealt.

    >>> deal_categories(["a", "b"], ["b", "a", "c"], deals=5, seed=0)[1]
    Deal(number=1, choosing=('b',), held_out=('a',))

    Raises:
        ClaimError: fewer than two categories.
    """
    both = sorted(set(training) & set(test))
    if len(both) < 2:
        raise ClaimError(
            f"rules choose from some categories and are judged on others, and {len(both)} have both training and test triples: "
            "give prompts of at least 2 categories, or more training and test triples"
        )
    half, random, found = len(both) // 2, Random(f"deals {seed}"), dict[tuple[str, ...], None]()
    while len(found) < min(deals, math.comb(len(both), half)):
        found[tuple(sorted(random.sample(both, half)))] = None
    return [Deal(at, choosing, tuple(name for name in both if name not in choosing)) for at, choosing in enumerate(found)]
