"""The matched random null: other components of the same layers that look as important, found without the harm label."""

from collections.abc import Sequence
from random import Random

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attribution.scores import Attribution
from ..components import Circuit, Component


def matched_random(circuit: Circuit, A: Attribution, *, protect: Attribution, seed: int, strata: int = 8) -> Circuit:
    """As many heads and neurons as `circuit`, in the same layers and strata of |A| and U, drawn at random outside `circuit`.

    For each component of the circuit, in random order: among the components of the same layer that are neither in the circuit
    nor drawn already, the `strata` nearest in (rank of |A|, rank of U) within the layer are candidates, and one is drawn.
    |A| is the size of the mean on the harmful text (the sign is left free), U the mean size on the benign text.
    A layer with too few others (heads, as a rule) gives circuit components back to the draw.
    """
    random = Random(seed)
    heads = _matched(circuit.heads, A.heads.abs(), protect.heads_abs, random, strata)
    neurons = _matched(circuit.neurons, A.neurons.abs(), protect.neurons_abs, random, strata)
    return Circuit(heads, neurons)


def _matched(
    items: Sequence[Component],
    size: Float[Tensor, "layer index"],
    benign: Float[Tensor, "layer index"],
    random: Random,
    strata: int,
) -> list[Component]:
    ranks = torch.stack([_ranks(size), _ranks(benign)], -1).float()
    drawn: list[Component] = []
    for layer, index in random.sample(items, len(items)):
        distance = (ranks[layer] - ranks[layer, index]).square().sum(-1)
        taken = {at for of, at in (*items, *drawn) if of == layer}
        if len(taken) == len(distance):
            taken = {at for of, at in drawn if of == layer}
        near = [int(at) for at in distance.argsort(stable=True) if int(at) not in taken][:strata]
        drawn.append((layer, random.choice(near)))
    return drawn


def _ranks(values: Float[Tensor, "layer index"]) -> Int[Tensor, "layer index"]:
    """Ranks within each layer; equal values in the order of their indices."""
    return values.argsort(dim=1, stable=True).argsort(dim=1)
