"""Controls: circuits of the same size that were not selected for harm. One function a control, one registry line."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import combinations
from operator import add
from random import Random

import numpy as np

from ..attribution.scores import Attribution
from ..components import Circuit
from ..data import Example
from ..selection.matched import matched_random
from ..selection.protected import SelectionError, select
from ..selection.weight_masks import WeightSelection
from ..statistics import Estimate

HARMFUL, BENIGN = (0, 1), (2, 3)
"""Sets of training examples by which weights are scored: each kind in two halves, drawn at random."""


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
        """The recipe aimed at harmful responses."""
        return select(self.harmful, protect=self.benign, heads=heads, neurons=neurons, protect_fraction=self.protect)

    @cached_property
    def both(self) -> Attribution:
        return self.harmful + self.benign


def random(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """As many heads and neurons of each layer, drawn from all others."""
    generator = Random(f"random {seed}")
    drawn: dict[str, list[tuple[int, int]]] = {}
    for kind, items, scores in (
        ("heads", circuit.heads, recipe.harmful.heads),
        ("neurons", circuit.neurons, recipe.harmful.neurons),
    ):
        drawn[kind] = []
        for layer in sorted({layer for layer, _ in items}):
            own = {index for at, index in items if at == layer}
            others = sorted(set(range(scores.shape[1])) - own)
            drawn[kind] += [(layer, index) for index in generator.sample(others, min(len(own), len(others)))]
    return Circuit(heads=drawn["heads"], neurons=drawn["neurons"])


def matched(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """Others of the same layers with like A and like benign U: what is left next to the circuit."""
    return matched_random(circuit, recipe.harmful, protect=recipe.benign, seed=seed, protect_fraction=recipe.protect)


def aimed_at_benign(recipe: CircuitRecipe, circuit: Circuit, seed: int) -> Circuit:
    """The same recipe, size and protection with harmful and benign responses exchanged."""
    return replace(recipe, harmful=recipe.benign, benign=recipe.harmful).circuit(
        heads=len(circuit.heads), neurons=len(circuit.neurons)
    )


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
    return float(np.mean([one.jaccard(other) for one, other in combinations(circuits, 2)]))


def shuffled(recipes: Sequence[CircuitRecipe], seed: int) -> list[CircuitRecipe]:
    """Deal the examples of several recipes out anew, as many to each: the null of a difference between them."""
    random, parts = np.random.default_rng(seed), []
    for kind in ("harmful", "benign"):
        scores = [getattr(recipe, kind) for recipe in recipes]
        whole, ends = reduce(add, scores), np.cumsum([own.n_examples for own in scores])
        parts.append([whole[own.tolist()] for own in np.split(random.permutation(ends[-1]), ends[:-1])])
    return [replace(recipe, harmful=harmful, benign=benign) for recipe, harmful, benign in zip(recipes, *parts, strict=True)]


def overlap_estimates(recipes: Sequence[CircuitRecipe], circuits: Sequence[Circuit], draws: int) -> dict[str, Estimate]:
    """Mean overlap of circuits, one a recipe, and what exceeds that of circuits selected again from the stored scores.

    "beyond_label_swap": with "harmful" and "benign" drawn at random within each recipe; "beyond_shuffled": see `shuffled`. The
    ends of these intervals are the overlap − the middle 95 % of the draws. Without recipes nothing is selected again.
    """
    found, k = {"overlap": Estimate(mean_overlap(circuits), n=len(circuits))}, len(circuits)

    def swapped(draw: int) -> list[Circuit]:
        return list(map(label_swap, recipes, circuits, range(k * draw, k * (draw + 1))))

    def dealt(draw: int) -> list[Circuit]:
        count = {"heads": len(circuits[0].heads), "neurons": len(circuits[0].neurons)}
        return [recipe.circuit(**count) for recipe in shuffled(recipes, draw)]

    for name, again in (("label_swap", swapped), ("shuffled", dealt)) if recipes else ():
        drawn = []
        for draw in range(draws):
            with suppress(SelectionError):  # too few components promote the response under labels that were drawn
                drawn.append(mean_overlap(again(draw)))
        if len(drawn) < draws / 2:
            found[f"overlap_beyond_{name}"] = Estimate.missing(
                f"{draws - len(drawn)} of {draws} draws select too few components"
            )
            continue
        ends = np.quantile(drawn, 0.975), np.mean(drawn), np.quantile(drawn, 0.025)
        low, mean, high = (float(mean_overlap(circuits) - end) for end in ends)
        found[f"overlap_beyond_{name}"] = Estimate(mean, low, high, len(drawn))
    return found


def halves(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Two halves, drawn at random: with labels swapped, a set is one half of the harmful and one of the benign examples.

    A single example is both halves, which leaves its mean as it is.
    """
    order = Random(f"label swap {seed}").sample(examples, len(examples))
    return order[::2], order[1::2] or order


def weight_controls(selection: WeightSelection) -> dict[str, WeightSelection]:
    """The same recipe for weights, aimed elsewhere."""
    first, second = zip(HARMFUL, BENIGN, strict=True)
    return {
        "label swap": replace(selection, target=first, protect=second),
        "aimed at benign": replace(selection, target=BENIGN, protect=HARMFUL),
    }
