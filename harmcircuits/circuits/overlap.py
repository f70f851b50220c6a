"""What two circuits, or two masks, have in common, against chance."""

from collections.abc import Iterator
from math import prod

import pandas as pd
from scipy.stats import hypergeom

from ..models.protocol import HookedModel, geometry
from .circuit import Circuit, CircuitError
from .weight_mask import WeightMask

_COLUMNS = ["kind", "one", "other", "both", "expected", "jaccard", "p_value"]


def overlap(one: Circuit | WeightMask, other: Circuit | WeightMask, *, model: HookedModel | None = None) -> pd.DataFrame:
    """One row a kind of component ("heads", "neurons") or of matrix ("attn.q", …), the last for all of them.

    Columns: `one`, `other`, `both` count components; `expected` = one · other / n, what random sets of these sizes have in
    common, n being all of that kind; `jaccard` = both / either (NaN for two empty sets); `p_value`: P(at least as many in
    common), hypergeometric, sets drawn over all layers. Components that lie in the same layers have more in common than that
    by their place alone: `random_like` draws within layers.

    Args:
        model: how many heads and neurons there are; needed for circuits.

    Raises:
        CircuitError: a circuit and a mask, no model for circuits, or a component that the model does not have.
        MaskError: masks of different models.
    """
    if isinstance(one, WeightMask) and isinstance(other, WeightMask):
        counted = list(_of_masks(one, other))
    elif isinstance(one, Circuit) and isinstance(other, Circuit) and model is not None:
        counted = list(_of_circuits(one, other, model))
    else:
        raise CircuitError("give two circuits and model=, or two masks; hc.outgoing(model, circuit) makes a mask of a circuit")
    totals = [sum(column) for column in zip(*(row[1:] for row in counted), strict=True)]
    counted.append(("all", totals[0], totals[1], totals[2], totals[3]))
    return pd.DataFrame([_row(*row) for row in counted], columns=_COLUMNS)


_Counted = tuple[str, int, int, int, int]
"""kind, how many in one, in the other, in both, in all."""


def _of_circuits(one: Circuit, other: Circuit, model: HookedModel) -> Iterator[_Counted]:
    (one | other).check(model)
    shape, both = geometry(model), one & other
    yield "heads", len(one.heads), len(other.heads), len(both.heads), shape.n_layers * shape.n_heads
    yield "neurons", len(one.neurons), len(other.neurons), len(both.neurons), shape.n_neurons


def _of_masks(one: WeightMask, other: WeightMask) -> Iterator[_Counted]:
    both = one & other
    kinds = dict.fromkeys(name.split(".", 2)[2] for name in both.shapes)
    for kind in kinds:
        own = [name for name in both.shapes if name.split(".", 2)[2] == kind]
        count = lambda mask, own=own: sum(len(mask.indices.get(name, ())) for name in own)
        yield kind, count(one), count(other), count(both), sum(prod(both.shapes[name]) for name in own)


def _row(kind: str, one: int, other: int, both: int, n: int) -> tuple[str, int, int, int, float, float, float]:
    either = one + other - both
    jaccard = both / either if either else float("nan")
    p_value = float(hypergeom.sf(both - 1, n, one, other))
    return kind, one, other, both, one * other / n, jaccard, p_value
