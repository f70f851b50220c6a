"""The matched random null: other components of the same layers that look as important, found without the harm label."""

from collections.abc import Mapping, Sequence
from random import Random

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..attribution.scores import Attribution
from ..components import Circuit, Component
from .protected import Fraction, SelectionError, check_same_model, protected_fractions, protected_mask

_Scores = tuple[Float[Tensor, "layer index"], Float[Tensor, "layer index"]]
"""|A| and U of every component of one kind."""


def matched_random(
    circuit: Circuit,
    A: Attribution,
    *,
    protect: Attribution,
    seed: int,
    protect_fraction: Fraction = 0.1,
    nearest_heads: int = 3,
    nearest_neurons: int = 8,
) -> Circuit:
    """As many heads and neurons as `circuit`, in the same layers, as protected and of like |A| and U, drawn outside `circuit`.

    For each component of the circuit, in random order: the components of the same layer *and the same protection status* that
    are neither in the circuit nor drawn already are eligible; the nearest few of them in (log |A|, log U) are candidates, and
    one is drawn. |A| is the size of the mean on the harmful text (the sign is left free), U the mean size on the benign text;
    protected are those that `select` protects. A layer without an eligible component (heads, as a rule) gives circuit
    components of the same status back to the draw.

    >>> scores = Attribution(torch.tensor([[[4.0, 2.0, 0.1, 5.0]]]), torch.zeros(1, 1, 1), (torch.zeros(1, 2),))
    >>> matched_random(Circuit(heads=[(0, 0)]), scores, protect=scores, seed=0, protect_fraction=0.25, nearest_heads=1)
    Circuit(heads=((0, 1),), neurons=())

    Args:
        circuit: what `select` found.
        A: attribution on the text that should be lost.
        protect: attribution on the text that should be kept.
        seed: other seeds, other draws.
        protect_fraction: what `select` was given.
        nearest_heads: candidates for each head. Few: a layer has few heads, and the further ones are unlike.
        nearest_neurons: candidates for each neuron.

    Raises:
        SelectionError: see `select` for fractions and models; a component that the scores do not have; no candidates.
    """
    scores = _scores(A, protect)
    parts = _parts(circuit, scores)
    fractions = protected_fractions(protect_fraction, asked=[kind for kind, items in parts.items() if items])
    nearest = {"heads": nearest_heads, "neurons": nearest_neurons}
    if min(nearest.values()) < 1:
        raise SelectionError(f"each component is drawn from at least 1 candidate, not {nearest}")
    random = Random(seed)
    drawn = {
        kind: _matched(items, scores[kind], protected_mask(scores[kind][1], fractions[kind]), random, nearest[kind])
        for kind, items in parts.items()
    }
    return Circuit(**drawn)


def _scores(A: Attribution, protect: Attribution) -> dict[str, _Scores]:
    check_same_model(A, protect)
    return {"heads": (A.heads.abs(), protect.heads_abs), "neurons": (A.neurons.abs(), protect.neurons_abs)}


def _parts(circuit: Circuit, scores: Mapping[str, _Scores]) -> dict[str, Sequence[Component]]:
    """Its components of each kind, all of which the scores have."""
    parts = {"heads": circuit.heads, "neurons": circuit.neurons}
    for kind, items in parts.items():
        layers, size = scores[kind][0].shape
        missing = [at for at in items if at[0] >= layers or at[1] >= size]
        if missing:
            raise SelectionError(
                f"{missing[0]} of the circuit's {kind} is not in these scores, which have {layers} layers of {size}: use the "
                "scores that the circuit was selected from"
            )
    return parts


def _matched(
    items: Sequence[Component],
    scores: _Scores,
    protected: Bool[Tensor, "layer index"],
    random: Random,
    nearest: int,
) -> list[Component]:
    # logarithms and not ranks: the circuit is at the top, where neighbours in rank can differ twofold
    place = torch.stack([_log(values) for values in scores], -1)
    own, taken = torch.zeros_like(protected), torch.zeros_like(protected)
    own[tuple(torch.tensor(items, dtype=torch.long).view(-1, 2).T)] = True
    drawn: list[Component] = []
    for layer, index in random.sample(items, len(items)):
        alike = (protected[layer] == protected[layer, index]) & ~taken[layer]
        outside = alike & ~own[layer]
        eligible = outside if outside.any() else alike  # never empty: fewer are drawn than the circuit has of this status
        distance = (place[layer] - place[layer, index]).square().sum(-1).where(eligible, torch.inf)
        near = distance.argsort(stable=True)[: min(nearest, int(eligible.sum()))]
        drawn.append((layer, random.choice(near.tolist())))
        taken[drawn[-1]] = True
    return drawn


def _log(values: Float[Tensor, "layer index"]) -> Float[Tensor, "layer index"]:
    """Finite also at 0, which is then far from everything but 0."""
    return values.clamp_min(torch.finfo(values.dtype).tiny).log()
