"""Circuits: named sets of attention heads and MLP neurons, their algebra, and the hooks that zero them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import and_, or_, sub
from operator import index as whole
from pathlib import Path
from random import Random
from reprlib import repr as shortened
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import HarmcircuitsError
from ..figures import bars
from ..models.protocol import Hook, HookedModel, check_hooks, geometry, head_hook, neuron_hook
from ..results import Result
from ..store import read_json, write_json

if TYPE_CHECKING:
    import plotly.graph_objects as go

Component = tuple[int, int]
"""(layer, head) or (layer, neuron), counted from 0."""
FORMAT = "harmcircuits circuit 1"


@dataclass(frozen=True, kw_only=True)
class Circuit(Result):
    """A set of heads and neurons. Circuits behave as sets: `|`, `&`, `-`, `==`, `len` (components counted).

    >>> one, two = Circuit(heads=[(0, 1)], neurons=[(3, 17), (2, 5)]), Circuit(neurons=[(3, 17)])
    >>> one & two, len(one | two), round(one.jaccard(two), 3)
    (Circuit(heads=(), neurons=((3, 17),)), 3, 0.333)
    """

    heads: Sequence[Component] = ()
    neurons: Sequence[Component] = ()

    def __post_init__(self) -> None:
        for kind in ("heads", "neurons"):
            object.__setattr__(self, kind, _normalised(kind, getattr(self, kind)))

    def __len__(self) -> int:
        return len(self.heads) + len(self.neurons)

    def __repr__(self) -> str:
        every = f"Circuit(heads={self.heads}, neurons={self.neurons})"
        counts = f"Circuit({len(self.heads)} heads, {len(self.neurons)} neurons in {len(self.layers)} layers)"
        return every if len(every) <= 100 else counts

    @property
    def layers(self) -> list[int]:
        """The layers of its components, the lowest first."""
        return sorted({layer for layer, _ in (*self.heads, *self.neurons)})

    def __or__(self, other: "Circuit") -> "Circuit":
        return self._combined(other, or_)

    def __and__(self, other: "Circuit") -> "Circuit":
        return self._combined(other, and_)

    def __sub__(self, other: "Circuit") -> "Circuit":
        return self._combined(other, sub)

    def _combined(self, other: "Circuit", rule: Callable[[set[Component], set[Component]], set[Component]]) -> "Circuit":
        if not isinstance(other, Circuit):
            raise HarmcircuitsError(
                f"a Circuit can be combined with another one, not with a {type(other).__name__} (hc.outgoing makes masks)"
            )
        heads, neurons = rule({*self.heads}, {*other.heads}), rule({*self.neurons}, {*other.neurons})
        return Circuit(heads=tuple(heads), neurons=tuple(neurons))

    def jaccard(self, other: "Circuit") -> float:
        """Return |both| / |either|; two empty circuits are equal: 1."""
        either = len(self | other)
        return len(self & other) / either if either else 1.0

    def random_like(self, model: HookedModel, *, seed: int) -> "Circuit":
        """Return as many heads and neurons drawn at random *in the same layers*; they may overlap with this circuit.

        Raises:
            HarmcircuitsError: a component that the model does not have.
        """
        self.check(model)
        shape, random = geometry(model), Random(seed)
        draw = lambda items, size: [
            (layer, index) for layer, drawn in by_layer(items).items() for index in random.sample(range(size), len(drawn))
        ]
        return Circuit(heads=draw(self.heads, shape.n_heads), neurons=draw(self.neurons, shape.d_mlp))

    def hooks(self, model: HookedModel) -> list[Hook]:
        """Return `[(name, function)]` for `run_with_hooks` and `hooks`, which set every component to zero at every position.

        Heads at `hook_z`, neurons at `hook_post`; other activations keep every bit. Zeroing head h equals zeroing its rows of
        W_O, zeroing neuron j equals zeroing row j of W_out.

        Raises:
            HarmcircuitsError: a component that the model does not have; a layer without the hook point.
        """
        self.check(model)
        return [(name, partial(_zero, dim, indices)) for name, dim, indices in self.places()]

    def places(self) -> list[tuple[str, int, list[int]]]:
        """Return the hook point, the dimension of its components, and their indices, layer by layer."""
        heads = [(head_hook(layer), -2, indices) for layer, indices in by_layer(self.heads).items()]
        return heads + [(neuron_hook(layer), -1, indices) for layer, indices in by_layer(self.neurons).items()]

    def check(self, model: HookedModel) -> None:
        """Raise HarmcircuitsError unless the model has every component, and a hook point at its layer."""
        shape = geometry(model)
        for kind, items, size in (("head", self.heads, shape.n_heads), ("neuron", self.neurons, shape.d_mlp)):
            for layer, index in items:
                if layer >= shape.n_layers or index >= size:
                    raise HarmcircuitsError(
                        f"{kind} {shortened((layer, index))} is not in this model, which has {shape.n_layers} layers of "
                        f"{shape.n_heads} heads and {shape.d_mlp} neurons, counted from 0. Was it selected in another model?"
                    )
        check_hooks(model, heads=[*by_layer(self.heads)], neurons=[*by_layer(self.neurons)])

    def table(self) -> pd.DataFrame:
        """Return one row a layer and kind: layer, kind ("heads", "neurons"), components (how many), indices."""
        rows = [
            (layer, kind, len(indices), tuple(indices))
            for kind in ("heads", "neurons")
            for layer, indices in by_layer(getattr(self, kind)).items()
        ]
        return pd.DataFrame(sorted(rows), columns=["layer", "kind", "components", "indices"])

    def figure(self) -> "go.Figure":
        """Return how many heads and how many neurons each layer has, as bars; pointing at one names them."""
        table = self.table().sort_values("kind", kind="stable")
        names = [", ".join(map(str, indices[:12])) + (", …" if len(indices) > 12 else "") for indices in table["indices"]]
        hover = [f"layer {row.layer}: {row.components:,} {row.kind}" for row in table.itertuples()]
        return bars(
            table.assign(
                x=table["layer"], series=table["kind"], facet=table["kind"], value=table["components"],
                hover=[f"{count} ({indices})" for count, indices in zip(hover, names, strict=True)],
            ),
            title="In which layers does the circuit lie?", caption="Components of the circuit by layer. A count: no interval.",
            x_title="layer", y_title="components",
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write JSON, atomically."""
        write_json(Path(path), {"format": FORMAT, "heads": self.heads, "neurons": self.neurons})

    @classmethod
    def load(cls, path: str | Path) -> "Circuit":
        """Read what `save` wrote. Raises HarmcircuitsError where the file is missing, damaged, or holds something else."""
        circuit = read_json(Path(path))
        try:
            if circuit["format"] != FORMAT:
                raise HarmcircuitsError(f"its 'format' should be {FORMAT!r}")
            return cls(heads=circuit["heads"], neurons=circuit["neurons"])
        except (LookupError, TypeError, HarmcircuitsError) as error:
            raise HarmcircuitsError(f"{path} is no circuit file ({error}). Save the circuit again.") from error


def by_layer(items: Sequence[Component]) -> dict[int, list[int]]:
    """Return the indices of each layer, both in order."""
    layers = sorted({layer for layer, _ in items})
    return {layer: [index for place, index in items if place == layer] for layer in layers}


def _normalised(kind: str, items: Iterable[Iterable[int]]) -> tuple[Component, ...]:
    try:
        pairs = sorted({(whole(layer), whole(index)) for layer, index in items})
        if any(isinstance(number, bool) for pair in items for number in pair):
            raise TypeError("a truth value")
    except (TypeError, ValueError) as error:
        raise HarmcircuitsError(f"{kind} must be pairs (layer, index) of whole numbers, not {shortened(items)}") from error
    if negative := [pair for pair in pairs if min(pair) < 0]:
        raise HarmcircuitsError(f"{kind} are counted from 0: {shortened(negative[0])} is negative")
    return tuple(pairs)


def _zero(dim: int, indices: list[int], activation: Float[Tensor, "..."], hook: object) -> Float[Tensor, "..."]:
    """Out of place: the graph of the unablated activation stays valid, and an ablated component's gradient is exactly 0."""
    return activation.index_fill(dim, torch.tensor(indices, device=activation.device), 0)
