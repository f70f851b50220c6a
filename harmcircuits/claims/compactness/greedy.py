"""Greedy selection: after each step all components are scored anew, without those that were chosen so far.

First-order scores are of the intact model: two components that stand in for one another both score low there. What is chosen
first changes what the others are worth; greedy selection sees that, one-shot selection does not.
"""

from collections.abc import Sequence

import pandas as pd

from ...ablation.hooks import ablated
from ...attribution.activations import attribute
from ...attribution.scores import Attribution
from ...components import Circuit
from ...experiments.names import name_of, name_of_examples
from ...experiments.scores import recipe
from ...selection.protected import SelectionError
from ..material import ROLES, Material
from .grid import Grain, Size


def greedy(material: Material, grain: Grain, sizes: Sequence[Size]) -> tuple[dict[Size, Circuit], str]:
    """By size, in growing order: each circuit holds the one before, and the top of what was scored without that one.

    Every step but the first costs one attribution of the training examples, kept in the journal. The first is the one-shot
    circuit of that size.

    Returns:
        The circuits up to the first size that cannot be filled, and why it cannot ("" where all are).
    """
    found: dict[Size, Circuit] = {}
    chosen = Circuit()
    for size in sizes:
        try:
            chosen = _grown(material, grain, chosen, size.count)
        except SelectionError as error:
            return found, str(error)
        found[size] = chosen
    return found, ""


def rescored(material: Material, circuit: Circuit) -> tuple[Attribution, Attribution]:
    """A of harmful and of benign training responses by the model without `circuit`, whose own components then score 0."""
    if not len(circuit):
        return material.scores.harmful, material.scores.benign
    with ablated(material.model, circuit):
        scores = attribute(material.model, material.training)
    role = lambda at: scores[list(range(at, len(material.training), ROLES))]
    return role(0), role(1) + role(2)


def _grown(material: Material, grain: Grain, chosen: Circuit, count: int) -> Circuit:
    def make() -> pd.DataFrame:
        target, protect = rescored(material, chosen)
        counts = {"heads": 0, "neurons": 0} | {grain: count - len(chosen)}
        grown = chosen | recipe(target, protect, material.settings, **counts)
        return pd.DataFrame([*grown.heads, *grown.neurons], columns=["layer", "index"])

    protect = material.settings.protect
    key = [material.key, name_of_examples(material.training), grain, protect, name_of(chosen), count]
    pairs = [(int(layer), int(index)) for layer, index in material.journal.frame("greedy", key, make).to_numpy()]
    return Circuit(heads=pairs) if grain == "heads" else Circuit(neurons=pairs)
