"""What two circuits, or two masks, have in common, against chance."""

import pandas as pd
from scipy.stats import hypergeom

from ..models.protocol import HookedModel, geometry
from .circuit import Circuit, CircuitError
from .weight_mask import WeightMask


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
        both = one & other
        by_kind = lambda mask: mask.table().groupby("kind", sort=False)["weights"].sum()
        n = both.table().groupby("kind", sort=False)["size"].sum()
        counts = pd.DataFrame({"one": by_kind(one), "other": by_kind(other), "both": by_kind(both)}, index=n.index)
        table = counts.fillna(0).astype(int)
    elif isinstance(one, Circuit) and isinstance(other, Circuit) and model is not None:
        (one | other).check(model)
        shape = geometry(model)
        sizes = lambda circuit: [len(circuit.heads), len(circuit.neurons)]
        columns = {"one": sizes(one), "other": sizes(other), "both": sizes(one & other)}
        table = pd.DataFrame(columns, index=["heads", "neurons"])
        n = pd.Series([shape.n_layers * shape.n_heads, shape.n_neurons], index=table.index)
    else:
        raise CircuitError("give two circuits and model=, or two masks; hc.outgoing(model, circuit) makes a mask of a circuit")
    table = table.assign(n=n)
    table.loc["all"] = table.sum()
    return (
        table.assign(
            expected=table["one"] * table["other"] / table["n"],
            jaccard=table["both"] / (table["one"] + table["other"] - table["both"]),
            p_value=hypergeom.sf(table["both"] - 1, table["n"], table["one"], table["other"]),
        )
        .drop(columns="n")
        .rename_axis("kind")
        .reset_index()
    )
