"""What each circuit does to L of the test responses: swept a few at a time, each part kept when it is finished."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm

from ...ablation.sweep import sweep
from ...attribution.weights import attribute_weights
from ...components import Circuit, WeightMask
from ...experiments.names import name_of, name_of_examples
from ...selection.matched_weights import matched_weights
from ...selection.weights import select_weights
from ..material import ROLES, Material
from .plan import Plan, kinds_of

AT_ONCE = 8
"""Circuits of one sweep: they share batches, and no more than these are lost when a run is stopped."""
Name = TypeVar("Name")
Rises = Float[np.ndarray, "triple role"]


def rises_of(material: Material, circuits: Mapping[Name, Circuit], *, progress: bool = False) -> dict[Name, Rises]:
    """L ablated − L intact of each test response under each circuit, nats per token; positive: the ablation hurts.

    Roles lie in the order harmful, near, far.
    """
    names, found = list(circuits), dict[Name, Rises]()
    key = [material.key, name_of_examples(material.examples)]
    with tqdm(total=len(names), desc="generality", unit="circuit", disable=not progress) as bar:
        for start in range(0, len(names), AT_ONCE):
            some = [circuits[name] for name in names[start : start + AT_ONCE]]
            frame = material.journal.frame("rises", [*key, *map(name_of, some)], partial(_swept, material, some))
            found |= {name: _by_role(frame[f"{at}"]) for at, name in enumerate(names[start : start + AT_ONCE])}
            bar.update(len(some))
    return found


def rises_of_weights(material: Material, plan: Plan, group: str) -> tuple[Rises, Rises]:
    """Under the mask of single weights selected on one group, and under a matched random one: as many weights of the same
    matrices, outside it, unprotected and of like |A|.

    Raises:
        SelectionError: the fractions select no weight, or leave too few to match it with.
    """
    settings = material.settings
    rows = [at for at, kind in enumerate(kinds_of(material)[0]) if kind in plan.own(group).kinds]
    training = [material.training[ROLES * at + role] for at in rows for role in range(ROLES)]
    key = [material.key, name_of_examples(material.examples), name_of_examples(training)]
    sizes = [settings.weight_q, settings.weight_p, settings.seed]

    def made() -> pd.DataFrame:
        harmful, benign = training[::ROLES], [one for at, one in enumerate(training) if at % ROLES]
        scores = attribute_weights(material.model, harmful, benign=benign)
        mask = select_weights(scores, q=settings.weight_q, p=settings.weight_p)
        return _swept(material, [mask, matched_weights(mask, scores, p=settings.weight_p, seed=settings.seed)])

    frame = material.journal.frame("weightrises", [*key, *sizes, "matched"], made)
    return _by_role(frame["0"]), _by_role(frame["1"])


def _swept(material: Material, some: Sequence[Circuit | WeightMask]) -> pd.DataFrame:
    """A column a circuit, a row an example."""
    losses = sweep(material.model, [None, *some], material.examples)
    rises = (losses[1:] - losses[0]).double().T.numpy()
    return pd.DataFrame(rises, columns=[str(at) for at in range(len(some))])


def _by_role(column: "pd.Series[float]") -> Rises:
    return column.to_numpy(dtype=float).reshape(-1, ROLES)
