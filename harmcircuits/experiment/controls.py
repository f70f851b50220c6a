"""Controls: circuits of the same size that were not selected for harm. One function a control, one registry line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from ..attribution.scores import Attribution
from ..components import Circuit
from ..data import Example
from ..selection.matched import matched_random
from ..selection.protected import select
from ..selection.weight_masks import WeightSelection

HARMFUL, BENIGN = (0, 1), (2, 3)
"""Sets of training examples by which weights are scored: each kind in two halves, drawn at random."""


@dataclass(frozen=True, eq=False)
class CircuitRecipe:
    """Scores of heads and neurons, and how a circuit of them is selected.

    Attributes:
        harmful, benign: attributions of the loss of responses.
        recognition: attribution of the right answer to the balanced question, both polarities.
        protect: the protected fraction of heads and of neurons.
    """

    harmful: Attribution
    benign: Attribution
    recognition: Attribution
    protect: dict[str, float]

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
