"""One recipe, many aims: the same counts and the same protected fraction, whatever the target.

    aim            target (A)           protected (U over)
    harm           harmful responses    near and far twins
    near twins     near twins           harmful responses, far twins
    a capability   its own sentences    those of the other capabilities, far twins

The circuit aimed at harm is the one of every other claim.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...attribution.activations import attribute
from ...attribution.scores import Attribution
from ...components import Circuit
from ...experiments.scores import recipe
from ...experiments.settings import ClaimSettings
from ...selection.protected import SelectionError, select
from ...tasks.capabilities import Completion, as_example
from ..material import Material

log = logging.getLogger(__name__)
HARM, NEAR, FAR = "harm", "near twins", "far twins"
TRIPLE = (HARM, NEAR, FAR)

Weights = Mapping[str, Float[np.ndarray, " example"]]
"""How often each example counts, by source."""


@dataclass(frozen=True, eq=False)
class Sources:
    """Scores by source: of harmful, near and far responses of the same triples, and of the sentences of each capability."""

    parts: Mapping[str, Attribution]
    settings: ClaimSettings
    heads: int
    neurons: int

    @property
    def capabilities(self) -> list[str]:
        return [name for name in self.parts if name not in TRIPLE]

    @property
    def aims(self) -> list[str]:
        return [HARM, NEAR, *self.capabilities]

    def protected_for(self, aim: str) -> list[str]:
        """The sources that are protected, by the table above."""
        if aim in (HARM, NEAR):
            return [name for name in TRIPLE if name != aim]
        return [*(name for name in self.capabilities if name != aim), FAR]

    @property
    def sized(self) -> dict[str, int]:
        return {"heads": self.heads, "neurons": self.neurons}

    def circuit(self, aim: str, *, protection: bool = True) -> Circuit:
        """The recipe on all examples; without `protection`, the largest A alone.

        Raises:
            SelectionError: too few components promote the target and are unprotected.
        """
        first, *more = self.protected_for(aim)
        protect = self.parts[first]
        for name in more:
            protect = protect + self.parts[name]
        return self._selected(self.parts[aim], protect if protection else None)

    def reweighted(self, weights: Weights, *, protection: bool = True) -> dict[str, Circuit | None]:
        """The same circuits where each example counts `weights` times; None where none of that size can be selected."""
        means = {name: self._means(name, torch.from_numpy(weights[name]).float()) for name in self.parts}
        total = {name: float(weights[name].sum()) for name in self.parts}
        found: dict[str, Circuit | None] = {}
        for aim in self.aims:
            protected = self.protected_for(aim)
            size = sum(total[name] for name in protected)
            if not (size and total[aim]):  # a part of the examples without any of this kind has no circuit
                found[aim] = None
                continue
            U = torch.stack([means[name][1] * (total[name] / size) for name in protected]).sum(0)
            try:
                found[aim] = self._selected(self._shaped(means[aim][0]), self._shaped(U) if protection else None)
            except SelectionError:
                found[aim] = None
        return found

    def _selected(self, target: Attribution, protect: Attribution | None) -> Circuit:
        if protect is None:
            return select(target, heads=self.heads, neurons=self.neurons)
        return recipe(target, protect, self.settings, heads=self.heads, neurons=self.neurons)

    def _means(self, name: str, weights: Float[Tensor, " example"]) -> Float[Tensor, "2 component"]:
        """A and U."""
        return torch.stack([weights @ scores for scores in self._flat[name]]) / max(float(weights.sum()), 1e-12)

    @cached_property
    def _flat(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each source A and |A| [example, component], heads before neurons."""
        flat = {
            name: torch.cat([part.per_example_heads.flatten(1), part.per_example_neurons.flatten(1)], 1).float()
            for name, part in self.parts.items()
        }
        return {name: (scores, scores.abs()) for name, scores in flat.items()}

    def _shaped(self, values: Float[Tensor, " component"]) -> Attribution:
        """As scores of one example, whose A and |A| are its means."""
        like = next(iter(self.parts.values()))
        heads = like.heads.numel()
        return Attribution(values[:heads].view(1, *like.heads.shape), values[heads:].view(1, *like.neurons.shape))


def scored(
    material: Material, sentences: Mapping[str, Sequence[Completion]], *, heads: int, neurons: int, progress: bool = False
) -> Sources:
    """The material's scores, and those of the right completions of `sentences`, by capability."""
    own = material.scores
    parts = {HARM: own.harmful, NEAR: own.near, FAR: own.far}
    for name, items in sentences.items():
        parts[name] = attribute(material.model, [as_example(item) for item in items], progress=progress)
    return Sources(parts, material.settings, heads, neurons)


def circuits(sources: Sources) -> tuple[dict[str, Circuit], dict[str, str]]:
    """By aim; and for which there is none, with the reason.

    Raises:
        SelectionError: none that writes harm: there is nothing to compare with.
    """
    found, missing = {HARM: sources.circuit(HARM)}, {}
    for aim in sources.aims[1:]:
        try:
            found[aim] = sources.circuit(aim)
        except SelectionError as error:
            log.warning("no circuit of the same size aimed at %s: %s", aim, error)
            missing[aim] = str(error)
    return found, missing
