"""`Bench`: the material with what rules need of it beyond the usual scores, each made when it is first used."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ...attribution.scores import Attribution
from ...attribution.weight_scores import WeightAttribution
from ...attribution.weights import attribute_weights
from ...components import Circuit, WeightMask
from ...experiments.scores import recipe
from ...models.matrices import matrices
from ...models.protocol import geometry
from ...selection.weights import select_weights
from ..material import ROLES, Material
from .grid import Grain, Size


@dataclass(frozen=True, eq=False)
class Bench:
    """What rules select from. `circuit` keeps the circuits that controls are matched to."""

    material: Material
    _circuits: dict[tuple[Grain, Size], Circuit | WeightMask] = field(default_factory=dict)

    def circuit(self, grain: Grain, size: Size) -> Circuit | WeightMask:
        """The set difference of this size, as `dissociate` selects it.

        Raises:
            SelectionError: too few components are left.
        """
        if (grain, size) not in self._circuits:
            scores = self.material.scores
            self._circuits[grain, size] = (
                select_weights(self.material.weight_scores, q=size.q, p=size.p)
                if grain == "weights"
                else self.by_recipe(scores.harmful, scores.benign, grain, size)
            )
        return self._circuits[grain, size]

    def by_recipe(self, target: Attribution, protect: Attribution, grain: Grain, size: Size) -> Circuit:
        """Heads or neurons by the one recipe of every aim."""
        counts = {"heads": 0, "neurons": 0} | {grain: size.count}
        return recipe(target, protect, self.material.settings, **counts)

    @cached_property
    def magnitudes(self) -> Attribution:
        """In place of scores: of a head the Frobenius norm of its columns of `attn.o`, of a neuron the norm of its column of
        `mlp.out`, that is of its row of W_out."""
        shape = geometry(self.material.model)
        norms: dict[str, list[Float[Tensor, " index"]]] = {"attn.o": [], "mlp.out": []}
        for matrix in matrices(self.material.model):
            if matrix.kind in norms:
                columns = matrix.values().detach().float().cpu().norm(dim=0)
                norms[matrix.kind].append(columns.view(-1, shape.d_head).norm(dim=1) if matrix.kind == "attn.o" else columns)
        return Attribution(torch.stack(norms["attn.o"])[None], torch.stack(norms["mlp.out"])[None])

    @cached_property
    def twin_weights(self) -> WeightAttribution:
        """A of near twins' responses, U of harmful and far ones': one more pass over the training examples."""
        training = self.material.training
        rest = [one for at, one in enumerate(training) if at % ROLES != 1]
        return attribute_weights(self.material.model, training[1::ROLES], benign=rest)

    @cached_property
    def far_weights(self) -> WeightAttribution:
        """A of harmful responses, U of far twins' alone: one more pass over two thirds of the training examples."""
        training = self.material.training
        return attribute_weights(self.material.model, training[::ROLES], benign=training[2::ROLES])
