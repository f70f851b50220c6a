"""Which circuits stay: how much the default circuits of two stages have in common, against chance and near twins' circuits.

    excess = J(harm at one stage, harm at the other) − J(near twins at one, near twins at the other)      J = |both| / |either|

Both are found by one recipe with the same sizes. Above 0: what writes harm stays more than what writes any such answer does.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from ...components import Circuit
from ...models.protocol import Geometry
from ...statistics import fdr_named
from ..distinct.overlaps import common_p
from .compared import Results
from .stage import Measured
from .writing import READINGS, Reading

COLUMNS = ["reading", "one", "other", "both", "jaccard", "chance", "p", "p_adjusted", "twins", "excess", "missing"]


def overlaps(results: Results) -> pd.DataFrame:
    """One row a pair of stages and set of responses: reading, one, other, both (components), jaccard, chance (of random
    circuits of these sizes), p (of at least as many in common by chance, hypergeometric), p_adjusted, twins (Jaccard of the
    near twins' circuits), excess, missing (why there is nothing)."""
    rows = [
        {"reading": reading, "one": one.name, "other": other.name, **_row(results, one.name, other.name, reading)}
        for reading in READINGS
        for one, other in combinations(results.stages, 2)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS).fillna({"missing": ""})
    frame["p_adjusted"] = fdr_named(frame["p"].astype(float))
    numbers = [name for name in COLUMNS[3:] if name != "missing"]
    return frame.astype(dict.fromkeys(numbers, float))


def chance_jaccard(one: Circuit, other: Circuit, shape: Geometry) -> float:
    """What random circuits of these sizes have in common on average, divided by what is then in either of them.

    >>> shape = Geometry(n_layers=2, n_heads=2, d_head=4, d_mlp=8)
    >>> chance_jaccard(Circuit(heads=[(0, 0), (0, 1)]), Circuit(heads=[(0, 0), (0, 1)]), shape)
    0.3333333333333333
    """
    common = len(one.heads) * len(other.heads) / (shape.n_layers * shape.n_heads)
    common += len(one.neurons) * len(other.neurons) / shape.n_neurons
    return common / (len(one) + len(other) - common)


def _row(results: Results, one: str, other: str, reading: Reading) -> dict[str, object]:
    first, second = results.found[one, reading], results.found[other, reading]
    if not (isinstance(first, Measured) and isinstance(second, Measured)):
        return {"missing": next(str(own) for own in (first, second) if isinstance(own, str))}
    if first.shape != second.shape:
        return {"missing": "models of different shapes have no components in common"}
    if first.harm is None or second.harm is None:
        return {"missing": "no circuit of the default size could be selected"}
    shape, jaccard = first.shape, first.harm.jaccard(second.harm)
    twins = np.nan if first.twins is None or second.twins is None else first.twins.jaccard(second.twins)
    return {
        "both": len(first.harm & second.harm),
        "jaccard": jaccard,
        "chance": chance_jaccard(first.harm, second.harm, shape),
        "p": common_p(first.harm, second.harm, heads=shape.n_layers * shape.n_heads, neurons=shape.n_neurons),
        "twins": twins,
        "excess": jaccard - twins,
    }
