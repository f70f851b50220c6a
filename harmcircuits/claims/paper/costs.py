"""What each claim reads on given material, from its own `cost` and what it reads beside that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...models.protocol import geometry
from ..compactness import cost as compactness_cost
from ..compactness.plan import Options as Sweep
from ..compactness.plan import rescorings
from ..distinct import cost as distinct_cost
from ..generality.plan import MATCHED, kinds_of, plan
from ..material import Material

Options: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """Conditions that a claim reads, the intact model apart.

    Attributes:
        whole: with every task (`reading.read`).
        light: for their L alone (`ablation.sweep`), or as much of another reading as takes that long.
        scored: how often all training responses are attributed anew, by the model without a part of a circuit.
    """

    whole: int = 0
    light: int = 0
    scored: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.whole + other.whole, self.light + other.light, self.scored + other.scored)


def of_compactness(material: Material, options: Options) -> Cost:
    """Every grain, rule and size; and scores anew for greedy circuits."""
    anew = rescorings(Sweep(**options), geometry(material.model), material.settings)
    return Cost(compactness_cost(material.settings, model=material.model, **options), scored=anew)


def of_generality(material: Material, options: Options) -> Cost:
    """Every circuit for its L alone."""
    weights = options.get("weights", True) and material.settings.weight_q > 0
    read = plan(*kinds_of(material)).n_read(matched=options.get("matched", MATCHED), weights=weights)
    return Cost(light=read)


def of_distinct(material: Material, options: Options) -> Cost:
    """A circuit an aim, whole; and the sentences of each capability under each."""
    whole = distinct_cost(options.get("sentences"), material.settings)
    return Cost(whole, whole * (whole - 2))
