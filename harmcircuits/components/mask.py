"""Weight masks: named sets of single weights, kept as the indices of the few that are in them.

A weight is (matrix, row · columns + column) in the canonical names and orientation [out, in] of `models/matrices.py`, so that a
mask means the same weights in a `TransformerBridge` and in a `HookedTransformer`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from random import Random
from reprlib import repr as shortened
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from ..figures.weights import weights_by_matrix
from ..models.matrices import matrices
from ..models.protocol import HookedModel
from ..notebook import notebook_html
from ..store.tensors import read_tensors, save_tensors
from .provenance import Provenance

if TYPE_CHECKING:
    import plotly.graph_objects as go

FORMAT = "harmcircuits weight mask 2"
Flat = Int[Tensor, " n"]
_MOST = 2**63 - 1
"""Weights of a matrix that an index of 64 bits can name."""


class MaskError(ValueError):
    """A mask that does not fit, or cannot be read: the message names the matrix and what would work."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WeightMask:
    """A set of weights. Masks behave as sets: `|`, `&`, `-`, `==`, `len` (weights counted).

    >>> shapes = {"blocks.0.mlp.in": (2, 3)}
    >>> one, two = (WeightMask(indices={"blocks.0.mlp.in": at}, shapes=shapes) for at in ([5, 0], [5]))
    >>> len(one | two), (one - two).indices["blocks.0.mlp.in"], one.jaccard(two), round(one.fraction, 3)
    (2, tensor([0]), 0.5, 0.333)

    Attributes:
        indices: for each matrix, row · columns + column of the weights in the mask: int64, sorted, each once.
        shapes: (out, in) of **every** eligible matrix, those without a weight in the mask too.

    Raises:
        MaskError: indices outside the matrix, or of a matrix without a shape, or of an impossible one.
    """

    indices: Mapping[str, Flat] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, int]]

    def __post_init__(self) -> None:
        shapes = {name: (int(shape[0]), int(shape[1])) for name, shape in self.shapes.items()}
        if wrong := next((name for name, shape in shapes.items() if min(shape) < 1 or prod(shape) > _MOST), None):
            raise MaskError(
                f"{_named(wrong)} has the shape {shortened(shapes[wrong])}: a matrix has at least one row and one column, and "
                "no more weights than 64 bits can count"
            )
        indices = {name: _normalised(name, flat, shapes) for name, flat in self.indices.items()}
        kept = {name: indices[name] for name in shapes if name in indices and len(indices[name])}
        object.__setattr__(self, "shapes", MappingProxyType(shapes))
        object.__setattr__(self, "indices", MappingProxyType(kept))

    def __len__(self) -> int:
        return sum(map(len, self.indices.values()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightMask):
            return NotImplemented
        same = self.shapes == other.shapes and self.indices.keys() == other.indices.keys()
        return same and all(torch.equal(flat, other.indices[name]) for name, flat in self.indices.items())

    def __hash__(self) -> int:
        return hash(tuple(sorted((name, len(flat)) for name, flat in self.indices.items())))

    def __or__(self, other: "WeightMask") -> "WeightMask":
        return self._combined(other, lambda a, b: torch.cat([a, b]))

    def __and__(self, other: "WeightMask") -> "WeightMask":
        return self._combined(other, lambda a, b: a[torch.isin(a, b, assume_unique=True)])

    def __sub__(self, other: "WeightMask") -> "WeightMask":
        return self._combined(other, lambda a, b: a[~torch.isin(a, b, assume_unique=True)])

    def jaccard(self, other: "WeightMask") -> float:
        """|both| / |either|; two empty masks are equal: 1."""
        either = len(self | other)
        return len(self & other) / either if either else 1.0

    @property
    def fraction(self) -> float:
        """The share of all eligible weights, between 0 and 1."""
        return len(self) / max(1, sum(map(prod, self.shapes.values())))

    def random_like(self, *, seed: int) -> "WeightMask":
        """As many weights drawn at random *in the same matrices*; may overlap with this mask."""
        random = Random(seed)
        drawn = {name: random.sample(range(prod(self.shapes[name])), len(flat)) for name, flat in self.indices.items()}
        return WeightMask(indices={name: torch.tensor(flat) for name, flat in drawn.items()}, shapes=self.shapes)

    def check(self, model: HookedModel) -> None:
        """Makes sure that the mask's matrices are those of `model`.

        Raises:
            MaskError: a matrix that the model does not have, or that has another shape there.
            ModelError: the model's matrices cannot be found.
        """
        own = {matrix.name: matrix.shape for matrix in matrices(model)}
        more = [name for name in own if name not in self.shapes]
        for name, shape in self.shapes.items():
            if own.get(name) != shape:
                there = f"has the shape {own[name]} there" if name in own else "is not in this model"
                raise MaskError(f"{name}, of shape {shape} in the mask, {there}. Was the mask found in another model?")
        if more:
            raise MaskError(f"the model has {more[0]}, and the mask gives no shape of it. Was the mask found in another model?")

    def table(self) -> pd.DataFrame:
        """One row a matrix: matrix, layer, kind, weights (in the mask), size, fraction."""
        rows = []
        for name, shape in self.shapes.items():
            _, layer, kind = name.split(".", 2)
            weights = len(self.indices.get(name, ()))
            rows.append((name, int(layer), kind, weights, prod(shape), weights / prod(shape)))
        return pd.DataFrame(rows, columns=["matrix", "layer", "kind", "weights", "size", "fraction"])

    def figure(self) -> "go.Figure":
        """Where the mask's weights lie: their share of each matrix as a heat map, layers downwards, kinds to the right."""
        return weights_by_matrix(self.table())

    def save(self, path: str | Path, *, provenance: Provenance | None = None) -> None:
        """One safetensors file, written atomically: 4 bytes a weight; with the mask's origin (`hc.provenance(model, …)`), where
        it is given."""
        small = {name: flat.int() if prod(self.shapes[name]) < 2**31 else flat for name, flat in self.indices.items()}
        origin = {} if provenance is None else {"provenance": provenance}
        save_tensors(path, small, format=FORMAT, about={"shapes": dict(self.shapes), **origin})

    @classmethod
    def load(cls, path: str | Path) -> "WeightMask":
        """Reads what `save` wrote.

        Raises:
            MaskError: the file is missing, damaged, or holds something else.
        """
        indices, about = read_tensors(path, format=FORMAT, what="weight mask", error=MaskError)
        try:
            return cls(indices=indices, shapes=about["shapes"])
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:  # a MaskError too
            raise MaskError(f"{path} was changed since it was saved ({error}). Save the mask again.") from error

    def __repr__(self) -> str:
        return f"WeightMask({len(self)} of {sum(map(prod, self.shapes.values()))} weights, in {len(self.indices)} matrices)"

    def _repr_html_(self) -> str:
        most = self.table().sort_values("weights", ascending=False, kind="stable")
        return notebook_html(repr(self), most[most["weights"] > 0], figure=self.figure)

    def _combined(self, other: "WeightMask", rule: Callable[[Tensor, Tensor], Tensor]) -> "WeightMask":
        if not isinstance(other, WeightMask):
            raise MaskError(f"a WeightMask can be combined with another one, not with a {type(other).__name__}")
        differ = [name for name, shape in self.shapes.items() if other.shapes.get(name, shape) != shape]
        if differ:
            a, b = self.shapes[differ[0]], other.shapes[differ[0]]
            raise MaskError(f"the masks are of different models: {differ[0]} has the shape {a} in one and {b} in the other")
        nothing = torch.empty(0, dtype=torch.long)
        names = [*self.indices, *(name for name in other.indices if name not in self.indices)]
        indices = {name: rule(self.indices.get(name, nothing), other.indices.get(name, nothing)) for name in names}
        return WeightMask(indices=indices, shapes={**self.shapes, **other.shapes})


def _normalised(name: str, flat: object, shapes: Mapping[str, tuple[int, int]]) -> Flat:
    if name not in shapes:
        raise MaskError(f"the mask has weights in {shortened(name)}, of which no shape is given")
    given = torch.as_tensor(flat)
    if not given.numel():
        return torch.empty(0, dtype=torch.long)
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise MaskError(f"{_named(name)}: weights are named by whole numbers (row · columns + column), not {given.dtype}")
    unique: Tensor = given.detach().cpu().long().flatten().unique()
    if len(unique) and not 0 <= int(unique[0]) <= int(unique[-1]) < prod(shapes[name]):
        wrong = int(unique[0]) if unique[0] < 0 else int(unique[-1])
        raise MaskError(f"{_named(name)} has {prod(shapes[name])} weights, counted from 0: there is none of index {wrong}")
    return unique


def _named(name: str) -> str:
    """A matrix's name for a message; one that an edited file made up is cut, and moves no terminal's cursor."""
    return name if len(name) <= 60 and name.isprintable() else shortened(name)
