"""Controls: circuits of the same size that were not selected for harm. One function a control, one line in `CONTROLS`."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from random import Random

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..attribution.scores import KINDS, Attribution, Kind, protected_mask
from ..data import Example
from ..errors import SelectionError
from ..statistics import Estimate
from .circuit import Circuit, Component, by_layer
from .selection import fraction_of, select
from .weight_selection import WeightSelection

HARMFUL, BENIGN = (0, 1), (2, 3)
"""Sets of training examples by which weights are scored: each kind in two halves, drawn at random."""
NEAREST: dict[Kind, int] = {"heads": 3, "neurons": 8}
"""Candidates for each component of a matched random circuit. Few heads: a layer has few, and the further ones are unlike."""


@dataclass(frozen=True, eq=False)
class CircuitRecipe:
    """Scores of heads and neurons, and how a circuit of them is selected.

    Attributes:
        harmful, benign: attributions of the loss of responses.
        protect: the protected fraction of heads and of neurons.
        recognition: attribution of the right answer to the balanced question, both polarities; None: no circuit is aimed at it.
    """

    harmful: Attribution
    benign: Attribution
    protect: dict[str, float]
    recognition: Attribution | None = None

    def circuit(self, *, heads: int = 0, neurons: int = 0) -> Circuit:
        """Return the circuit of that size aimed at harmful responses."""
        return select(self.harmful, protect=self.benign, heads=heads, neurons=neurons, protect_fraction=self.protect)

    @cached_property
    def both(self) -> Attribution:
        return self.harmful + self.benign


def random(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """As many heads and neurons of each layer, drawn from all others."""
    generator = Random(f"random {seed}")
    drawn: dict[Kind, list[Component]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        size = getattr(recipe.harmful, kind).shape[1]
        for layer, indices in by_layer(getattr(circuit, kind)).items():
            others = sorted(set(range(size)) - set(indices))
            drawn[kind] += [(layer, index) for index in generator.sample(others, min(len(indices), len(others)))]
    return Circuit(drawn["heads"], neurons=drawn["neurons"])


def matched(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """As many heads and neurons in the same layers, as protected and of like |A| and U, drawn outside the circuit.

    For each component of the circuit, in random order, one of the `NEAREST` in (log |A|, log U) is drawn from the components of
    the same layer *and the same protection status* that are neither in the circuit nor drawn already. A layer without any
    (heads, as a rule) gives circuit components back to the draw. The sign of A is left free.
    """
    generator, drawn = Random(seed), dict[Kind, list[Component]]()
    for kind in KINDS:
        benign = getattr(recipe.benign, f"{kind}_abs")
        place = torch.stack([_log(getattr(recipe.harmful, kind).abs()), _log(benign)], -1)
        protected = protected_mask(benign, fraction_of(recipe.protect, kind))
        drawn[kind] = _nearby(getattr(circuit, kind), place, protected, generator, NEAREST[kind])
    return Circuit(drawn["heads"], neurons=drawn["neurons"])


def aimed_at_benign(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """The same recipe, size and protection with harmful and benign responses exchanged."""
    aimed = replace(recipe, harmful=recipe.benign, benign=recipe.harmful)
    return aimed.circuit(heads=len(circuit.heads), neurons=len(circuit.neurons))


def aimed_at_recognition(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """The same size aimed at recognition, nothing protected: recognition has to fall, or no fall could have been seen."""
    if recipe.recognition is None:
        raise SelectionError("recognition was not attributed, so that no circuit can be aimed at it")
    return select(recipe.recognition, heads=len(circuit.heads), neurons=len(circuit.neurons))


def label_swap(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """The recipe with "harmful" and "benign" drawn at random over the training examples: the null of the selection."""
    n = recipe.harmful.n_examples
    order = Random(f"label swap {seed}").sample(range(recipe.both.n_examples), recipe.both.n_examples)
    swapped = replace(recipe, harmful=recipe.both[sorted(order[:n])], benign=recipe.both[sorted(order[n:])])
    return swapped.circuit(heads=len(circuit.heads), neurons=len(circuit.neurons))


CONTROLS: dict[str, Callable[[CircuitRecipe, Circuit, int], Circuit]] = {
    "random": random,
    "matched random": matched,
    "label swap": label_swap,
    "aimed at benign": aimed_at_benign,
    "aimed at recognition": aimed_at_recognition,
}
DRAWN = ("random", "matched random", "label swap")
"""Controls that are drawn, with a seed."""


def mean_overlap(circuits: Sequence[Circuit]) -> float:
    """Mean Jaccard index of every two.

    >>> mean_overlap([Circuit(heads=[(0, 1), (0, 2)]), Circuit(heads=[(0, 2), (0, 3)]), Circuit(heads=[(0, 2), (0, 3)])])
    0.5555555555555555
    """
    return float(np.mean([first.jaccard(second) for first, second in combinations(circuits, 2)]))


def overlap_estimates(recipes: Sequence[CircuitRecipe], circuits: Sequence[Circuit], draws: int) -> dict[str, Estimate]:
    """Mean overlap of circuits, one a recipe, and what exceeds that of circuits selected again under swapped labels.

    The ends of the interval are the overlap − the middle 95 % of the draws. Without recipes nothing is selected again.
    """
    overlap, k = mean_overlap(circuits), len(circuits)
    estimates = {"overlap": Estimate(overlap, n=k)}
    beyond = []
    for draw in range(draws if recipes else 0):
        with suppress(SelectionError):  # too few components promote the response under labels that were drawn
            swapped = [*map(label_swap, recipes, circuits, range(k * draw, k * (draw + 1)))]
            beyond.append(overlap - mean_overlap(swapped))
    if beyond and len(beyond) >= draws / 2:
        low, high = np.quantile(beyond, [0.025, 0.975])
        estimates["overlap_beyond_label_swap"] = Estimate(float(np.mean(beyond)), low, high, len(beyond))
    elif recipes:
        missing = Estimate.missing(f"{draws - len(beyond)} of {draws} draws select too few components")
        estimates["overlap_beyond_label_swap"] = missing
    return estimates


def halves(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Return two halves, drawn at random: with labels swapped, a set is one half of the harmful and one of the benign examples.

    A single example is both halves, which leaves its mean as it is.
    """
    order = Random(f"label swap {seed}").sample(examples, len(examples))
    return order[::2], order[1::2] or order


def weight_controls(selection: WeightSelection) -> dict[str, WeightSelection]:
    """Return the same recipe for weights, aimed elsewhere."""
    first, second = zip(HARMFUL, BENIGN, strict=True)
    return {
        "label swap": replace(selection, target=first, protect=second),
        "aimed at benign": replace(selection, target=BENIGN, protect=HARMFUL),
    }


def _nearby(
    items: Sequence[Component],
    place: Float[Tensor, "layer index 2"],
    protected: Bool[Tensor, "layer index"],
    generator: Random,
    nearest: int,
) -> list[Component]:
    inside, taken = (torch.zeros(place.shape[:2], dtype=torch.bool) for _ in range(2))
    inside[tuple(torch.tensor(items, dtype=torch.long).view(-1, 2).T)] = True
    drawn: list[Component] = []
    for layer, index in generator.sample(items, len(items)):
        alike = (protected[layer] == protected[layer, index]) & ~taken[layer]
        outside = alike & ~inside[layer]
        eligible = outside if outside.any() else alike  # never empty: fewer are drawn than the circuit has of this status
        distance = (place[layer] - place[layer, index]).square().sum(-1).where(eligible, torch.inf)
        near = distance.argsort(stable=True)[: min(nearest, int(eligible.sum()))]
        drawn.append((layer, generator.choice(near.tolist())))
        taken[drawn[-1]] = True
    return drawn


def _log(values: Float[Tensor, "layer index"]) -> Float[Tensor, "layer index"]:
    """Logarithms, not ranks: at the top neighbours in rank can differ twofold. Finite at 0, which is far from all but 0."""
    return values.clamp_min(torch.finfo(values.dtype).tiny).log()
