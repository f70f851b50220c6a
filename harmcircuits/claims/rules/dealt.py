"""One deal measured: paths of all rules from the choosing categories, read on the held-out ones, and brought to equal harm."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Float

from ...components import Circuit
from ...examples import Example
from ...models.protocol import geometry
from ..claim import ClaimError
from ..material import ROLES, Material
from .choosing import Chooser, Path, swept_paths
from .front import HARMFUL, at_rise
from .plan import FIRST, Deal, Plan

ByRole = Float[np.ndarray, "size triple role"]


@dataclass(frozen=True, eq=False)
class Dealt:
    """What one deal came to.

    Attributes:
        chooser: the rules at work.
        options: λ or ε of each rule that has one to tune.
        places: the held-out test triples.
        paths: by rule, a circuit of each size.
        rises: by rule, L ablated − L intact on the held-out triples, nats per token.
    """

    chooser: Chooser
    options: dict[str, float | None]
    places: list[int]
    paths: dict[str, Path]
    rises: dict[str, ByRole]

    @property
    def deal(self) -> Deal:
        return self.chooser.deal

    @cached_property
    def matched(self) -> dict[str, Circuit]:
        """By rule, the circuit whose size gives the set difference's harmful rise (linear between sizes); rules that do not
        reach it, or do not decide, are left out."""
        default = self.chooser.plan.default
        first = self.paths[FIRST][default]
        assert first is not None, "measured deals have one"
        target = self.rises[FIRST][default, :, HARMFUL].mean()
        found = {FIRST: first}
        for rule in self.chooser.plan.challengers:
            path = self.paths[rule]
            if (size := _size_at(target, self.rises[rule][..., HARMFUL].mean(-1), path)) is not None:
                circuit = self.chooser.path(rule, self.options[rule], [size])[0]
                found |= {} if circuit is None else {rule: circuit}
        return found

    def condition(self, rule: str) -> str:
        """The name under which a rule's circuit of this deal is read."""
        return f"{rule}, deal {self.deal.number}"

    def row(self) -> dict[str, Any]:
        """Of the table of deals; an option is nan for a rule that has none or was not tuned."""
        tuned = {f"{rule}_option": np.nan if option is None else option for rule, option in self.options.items()}
        parts = {"choosing": ", ".join(self.deal.choosing), "held_out": ", ".join(self.deal.held_out)}
        counts = {"training_triples": len(self.chooser.places), "test_triples": len(self.places)}
        return {"deal": self.deal.number, **parts, **counts, **tuned}


def measure_deal(material: Material, deal: Deal, plan: Plan, *, progress: bool = False) -> Dealt:
    """Paths, tuned options, and rises on the held-out triples.

    Raises:
        ClaimError: the set difference has no circuit of the default size.
    """
    chooser = Chooser(material, deal, plan)
    sizes = plan.sizes(material.settings, geometry(material.model))
    options = chooser.tuned((*plan.challengers, *plan.beside), sizes)
    paths = {FIRST: chooser.path(FIRST, None, sizes)} | {rule: chooser.path(rule, options[rule], sizes) for rule in options}
    if paths[FIRST][plan.default] is None:
        heads, neurons = sizes[plan.default]
        raise ClaimError(
            f"the set difference has no circuit of {heads} heads and {neurons} neurons to compare others with: lower "
            "head_fraction, neuron_fraction or what is protected, or take more attribution_triples"
        )
    places = [at for at, category in enumerate(material.categories) if category in deal.held_out]
    swept = swept_paths(material, paths, held_out_examples(material, places), progress=progress)
    rises = {rule: rearrange(own, "size (triple role) -> size triple role", role=ROLES) for rule, own in swept.items()}
    return Dealt(chooser, options, places, paths, rises)


def held_out_examples(material: Material, places: list[int]) -> list[Example]:
    """The responses of some test triples, whole triples in a row."""
    return [material.examples[ROLES * at + role] for at in places for role in range(ROLES)]


def _size_at(target: float, harmful: Float[np.ndarray, " size"], path: Path) -> tuple[int, int] | None:
    counts = [[np.nan] * 2 if circuit is None else [len(circuit.heads), len(circuit.neurons)] for circuit in path]
    heads, neurons = (float(at_rise(np.asarray(target), harmful, own)) for own in np.asarray(counts, dtype=float).T)
    if target <= 0 or not np.isfinite(heads):
        return None
    return round(heads), max(1, round(neurons))
