"""What each circuit does to L of the test responses: swept a few at a time, each part kept when it is finished."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm

from ...ablation.sweep import sweep
from ...components import Circuit
from ...experiments.names import name_of, name_of_examples
from ..material import ROLES, Material

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


def _swept(material: Material, some: Sequence[Circuit]) -> pd.DataFrame:
    """A column a circuit, a row an example."""
    losses = sweep(material.model, [None, *some], material.examples)
    rises = (losses[1:] - losses[0]).double().T.numpy()
    return pd.DataFrame(rises, columns=[str(at) for at in range(len(some))])


def _by_role(column: "pd.Series[float]") -> Rises:
    return column.to_numpy(dtype=float).reshape(-1, ROLES)
