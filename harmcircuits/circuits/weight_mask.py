"""Weight masks: named sets of single weights, stored as the indices of the few that are in them.

A weight is (matrix, row · columns + column) in the canonical names and orientation [out, in] of `models/matrices.py`, so that a
mask means the same weights in a `TransformerBridge` and in a `HookedTransformer`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from random import Random
from reprlib import repr as shortened
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from jaxtyping import Int
from scipy.stats import hypergeom
from torch import Tensor

from ..errors import HarmcircuitsError
from ..figures.matrix import heatmap, layer_by_kind
from ..models.matrices import matrices
from ..models.protocol import HookedModel, geometry
from ..results import Result
from ..store import read_tensors, save_tensors
from .circuit import Circuit, by_layer

if TYPE_CHECKING:
    import plotly.graph_objects as go

FORMAT = "harmcircuits weight mask 2"
Flat = Int[Tensor, " n"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WeightMask(Result):
    """A set of weights. Masks behave as sets: `|`, `&`, `-`, `==`, `len` (weights counted).

    >>> shapes = {"blocks.0.mlp.in": (2, 3)}
    >>> one, two = (WeightMask(indices={"blocks.0.mlp.in": flat}, shapes=shapes) for flat in ([5, 0], [5]))
    >>> len(one | two), (one - two).indices["blocks.0.mlp.in"], one.jaccard(two), round(one.fraction, 3)
    (2, tensor([0]), 0.5, 0.333)

    Attributes:
        indices: for each matrix, row · columns + column of the weights in the mask: int64, sorted, each once.
        shapes: (out, in) of **every** eligible matrix, those without a weight in the mask too.

    Raises:
        HarmcircuitsError: indices outside the matrix, or of a matrix without a shape.
    """

    indices: Mapping[str, Flat] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, int]]

    def __post_init__(self) -> None:
        shapes = {name: (int(shape[0]), int(shape[1])) for name, shape in self.shapes.items()}
        if unknown := [name for name in self.indices if name not in shapes]:
            raise HarmcircuitsError(f"the mask has weights in {shortened(unknown[0])}, of which no shape is given")
        indices = {name: _normalised(name, self.indices[name], shapes[name]) for name in shapes if name in self.indices}
        object.__setattr__(self, "shapes", MappingProxyType(shapes))
        object.__setattr__(self, "indices", MappingProxyType({name: flat for name, flat in indices.items() if len(flat)}))

    def __reduce__(self) -> tuple[Callable[[], "WeightMask"], tuple[()]]:
        """For pickle, which takes no read-only mapping."""
        return partial(WeightMask, indices=dict(self.indices), shapes=dict(self.shapes)), ()

    def __len__(self) -> int:
        return sum(map(len, self.indices.values()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightMask):
            return NotImplemented
        same = self.shapes == other.shapes and self.indices.keys() == other.indices.keys()
        return same and all(torch.equal(flat, other.indices[name]) for name, flat in self.indices.items())

    def __or__(self, other: "WeightMask") -> "WeightMask":
        return self._combined(other, lambda a, b: torch.cat([a, b]))

    def __and__(self, other: "WeightMask") -> "WeightMask":
        return self._combined(other, lambda a, b: a[torch.isin(a, b, assume_unique=True)])

    def __sub__(self, other: "WeightMask") -> "WeightMask":
        return self._combined(other, lambda a, b: a[~torch.isin(a, b, assume_unique=True)])

    def _combined(self, other: "WeightMask", rule: Callable[[Tensor, Tensor], Tensor]) -> "WeightMask":
        if not isinstance(other, WeightMask):
            raise HarmcircuitsError(f"a WeightMask can be combined with another one, not with a {type(other).__name__}")
        for name, a in self.shapes.items():
            if (b := other.shapes.get(name, a)) != a:
                raise HarmcircuitsError(f"the masks are of different models: {name} has the shape {a} in one, {b} in the other")
        nothing = torch.empty(0, dtype=torch.long)
        names = dict.fromkeys([*self.indices, *other.indices])
        indices = {name: rule(self.indices.get(name, nothing), other.indices.get(name, nothing)) for name in names}
        return WeightMask(indices=indices, shapes={**self.shapes, **other.shapes})

    def jaccard(self, other: "WeightMask") -> float:
        """Return |both| / |either|; two empty masks are equal: 1."""
        either = len(self | other)
        return len(self & other) / either if either else 1.0

    @property
    def fraction(self) -> float:
        """The share of all eligible weights, between 0 and 1."""
        return len(self) / max(1, sum(map(prod, self.shapes.values())))

    def random_like(self, *, seed: int) -> "WeightMask":
        """Return as many weights drawn at random *in the same matrices*; they may overlap with this mask."""
        random = Random(seed)
        drawn = {name: random.sample(range(prod(self.shapes[name])), len(flat)) for name, flat in self.indices.items()}
        return WeightMask(indices={name: torch.tensor(flat) for name, flat in drawn.items()}, shapes=self.shapes)

    def check(self, model: HookedModel) -> None:
        """Raise HarmcircuitsError unless the mask's matrices are those of `model`."""
        shapes = {matrix.name: matrix.shape for matrix in matrices(model)}
        for name in {**self.shapes, **shapes}:
            there, here = self.shapes.get(name, "missing"), shapes.get(name, "missing")
            if there != here:
                raise HarmcircuitsError(
                    f"{name} is {there} in the mask and {here} in this model. Was the mask selected in another model?"
                )

    def table(self) -> pd.DataFrame:
        """Return one row a matrix: matrix, layer, kind, weights (in the mask), size, fraction."""
        rows = []
        for name, shape in self.shapes.items():
            _, layer, kind = name.split(".", 2)
            weights = len(self.indices.get(name, ()))
            rows.append((name, int(layer), kind, weights, prod(shape), weights / prod(shape)))
        return pd.DataFrame(rows, columns=["matrix", "layer", "kind", "weights", "size", "fraction"])

    def figure(self) -> "go.Figure":
        """Return the mask's share of each matrix as a heat map, layers downwards, kinds to the right."""
        return heatmap(
            layer_by_kind(self.table(), "fraction") * 1e6,
            title="Where do the weights of the mask lie?",
            caption="How many weights the mask has in each matrix of the decoder blocks, per million weights of that matrix. "
            "A count: no interval.",
            x_title="matrix", y_title="layer", bar="weights of the mask per million of the matrix",
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically: 4 bytes a weight."""
        small = {name: flat.int() if prod(self.shapes[name]) < 2**31 else flat for name, flat in self.indices.items()}
        save_tensors(path, small, format=FORMAT, about={"shapes": dict(self.shapes)})

    @classmethod
    def load(cls, path: str | Path) -> "WeightMask":
        """Read what `save` wrote. Raises HarmcircuitsError where the file is missing, damaged, or holds something else."""
        with read_tensors(path, format=FORMAT, what="weight mask") as (indices, about):
            return cls(indices=indices, shapes=about["shapes"])

    def __repr__(self) -> str:
        return f"WeightMask({len(self)} of {sum(map(prod, self.shapes.values()))} weights, in {len(self.indices)} matrices)"


def outgoing(model: HookedModel, circuit: Circuit) -> WeightMask:
    """Return every weight that reads a head of `circuit` (its columns of `attn.o`) or a neuron (its column of `mlp.out`).

    `ablated(model, circuit)` and `ablated(model, outgoing(model, circuit))` are the same model.

    Raises:
        HarmcircuitsError: a component that the model does not have; the model's matrices cannot be found.
    """
    circuit.check(model)
    width = geometry(model).d_head
    columns: dict[str, list[int]] = {}
    for layer, heads in by_layer(circuit.heads).items():
        columns[f"blocks.{layer}.attn.o"] = [head * width + offset for head in heads for offset in range(width)]
    for layer, neurons in by_layer(circuit.neurons).items():
        columns[f"blocks.{layer}.mlp.out"] = neurons
    shapes = {matrix.name: matrix.shape for matrix in matrices(model)}
    flat = lambda name: torch.arange(shapes[name][0])[:, None] * shapes[name][1] + torch.tensor(columns[name])
    return WeightMask(indices={name: flat(name).flatten() for name in columns}, shapes=shapes)


def overlap(first: Circuit | WeightMask, second: Circuit | WeightMask, *, model: HookedModel | None = None) -> pd.DataFrame:
    """One row a kind of component ("heads", "neurons") or of matrix ("attn.q", …), the last for all of them.

    Columns: `first`, `second`, `both` count components; `expected` = first · second / n, what random sets of these sizes have
    in common, n being all of that kind; `jaccard` = both / either (NaN for two empty sets); `p_value`: P(at least as many in
    common), hypergeometric, sets drawn over all layers. Components that lie in the same layers have more in common than that
    by their place alone: `random_like` draws within layers.

    Args:
        model: how many heads and neurons there are; needed for circuits.

    Raises:
        HarmcircuitsError: a circuit and a mask, no model for circuits, or a component that the model does not have; masks of
            different models.
    """
    parts: dict[str, Any] = {"first": first, "second": second}
    if isinstance(first, WeightMask) and isinstance(second, WeightMask):
        parts["both"] = first & second
        tables = {name: mask.table().groupby("kind", sort=False)[["weights", "size"]].sum() for name, mask in parts.items()}
        table = pd.DataFrame({name: each["weights"] for name, each in tables.items()}).assign(n=tables["both"]["size"])
    elif isinstance(first, Circuit) and isinstance(second, Circuit) and model is not None:
        (first | second).check(model)
        parts["both"], shape = first & second, geometry(model)
        sizes = {name: [len(circuit.heads), len(circuit.neurons)] for name, circuit in parts.items()}
        table = pd.DataFrame(sizes | {"n": [shape.n_layers * shape.n_heads, shape.n_neurons]}, index=["heads", "neurons"])
    else:
        raise HarmcircuitsError(
            "give two circuits and model=, or two masks; hc.outgoing(model, circuit) makes a mask of a circuit"
        )
    table.loc["all"] = table.sum()
    expected = table["first"] * table["second"] / table["n"]
    jaccard = table["both"] / (table["first"] + table["second"] - table["both"])
    p_value = hypergeom.sf(table["both"] - 1, table["n"], table["first"], table["second"])
    table = table.assign(expected=expected, jaccard=jaccard, p_value=p_value).drop(columns="n")
    return table.rename_axis("kind").reset_index()


def _normalised(name: str, flat: object, shape: tuple[int, int]) -> Flat:
    given = torch.as_tensor(flat).detach().cpu().flatten()
    unique: Tensor = given.long().unique()
    whole = not (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool)
    if len(unique) and not (whole and 0 <= int(unique[0]) <= int(unique[-1]) < prod(shape)):
        raise HarmcircuitsError(
            f"{name}: weights are named by row · columns + column, whole numbers from 0 to {prod(shape) - 1}, not "
            f"{given.dtype} from {given.min()} to {given.max()}"
        )
    return unique
