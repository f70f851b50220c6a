"""Circuits: named sets of attention heads and MLP neurons, their algebra, and the hooks that zero them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import nan
from operator import and_, or_, sub
from operator import index as whole
from pathlib import Path
from random import Random
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any

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
LETTERS = {"heads": "H", "neurons": "N"}


@dataclass(frozen=True)
class Circuit(Result):
    """A set of heads and neurons. Circuits behave as sets: `|`, `&`, `-`, `==`, `len` (components counted).

    A component is a pair (layer, index), counted from 0, or its name: "L2H1" is head 1 of layer 2, "L5N100" neuron 100 of
    layer 5.

    >>> one, two = Circuit(["L0H1", "L3N17", "L2N5"]), Circuit(neurons=[(3, 17)])
    >>> one & two, len(one | two), round(one.jaccard(two), 3)
    (Circuit(['L3N17']), 3, 0.333)

    Attributes:
        heads: (layer, head) of each, sorted. By position, names of heads and neurons together.
        neurons: (layer, neuron) of each, sorted.
        scores: A of components by name, nats per response token, positive: promotes the response; of `select`, else empty.

    Raises:
        HarmcircuitsError: something that names no component.
    """

    heads: Sequence[Component] = ()
    neurons: Sequence[Component] = field(default=(), kw_only=True)
    scores: Mapping[str, float] = field(default_factory=dict, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        components = _components("heads", self.heads) | _components("neurons", self.neurons)
        for kind in LETTERS:
            object.__setattr__(self, kind, tuple(sorted(pair for of, pair in components if of == kind)))
        known = {name: float(self.scores[name]) for name in self.components if name in self.scores}
        object.__setattr__(self, "scores", known)

    def __len__(self) -> int:
        return len(self.heads) + len(self.neurons)

    def __repr__(self) -> str:
        line = f"Circuit({self.components})" if len(self) else "Circuit()"
        short = f"Circuit({len(self.heads)} heads, {len(self.neurons)} neurons in {len(self.layers)} layers)"
        return line if len(line) <= 100 else short

    @property
    def components(self) -> list[str]:
        """The names of its components, heads first."""
        return [component_name(kind, *pair) for kind in LETTERS for pair in getattr(self, kind)]

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
        return Circuit(tuple(heads), neurons=tuple(neurons), scores={**other.scores, **self.scores})

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
        """Return one row a head, the largest A first, then one row a layer of neurons, the lowest first.

        Columns: components (names, of neurons the largest A first), kind, layer, n (how many), score (A in nats per response
        token, of neurons their sum; NaN where scores are unknown).
        """
        pairs = [(kind, pair, component_name(kind, *pair)) for kind in LETTERS for pair in getattr(self, kind)]
        rows = [(name, kind.removesuffix("s"), layer, 1, self.scores.get(name, nan)) for kind, (layer, _), name in pairs]
        table = pd.DataFrame(rows, columns=["components", "kind", "layer", "n", "score"])
        table = table.sort_values("score", ascending=False, kind="stable")
        total: dict[str, Any] = {
            "components": ", ".join,
            "kind": "first",
            "n": "sum",
            "score": lambda scores: scores.sum(skipna=False),
        }
        neurons = table[table["kind"] == "neuron"].groupby("layer", as_index=False).agg(total)
        return pd.concat([table[table["kind"] == "head"], neurons], ignore_index=True)

    def figure(self) -> "go.Figure":
        """Return how many heads and how many neurons each layer has, as bars; pointing at one names them."""
        rows = [
            {"x": layer, "series": kind, "facet": kind, "value": len(indices),
             "hover": f"layer {layer}: {len(indices):,} {kind} ({shortened(indices)[1:-1]})"}
            for kind in LETTERS for layer, indices in by_layer(getattr(self, kind)).items()
        ]  # fmt: skip
        return bars(
            pd.DataFrame(rows, columns=["x", "series", "facet", "value", "hover"]),
            title="In which layers does the circuit lie?",
            caption="Components of the circuit by layer. A count: no interval.",
            x_title="layer",
            y_title="components",
        )

    def save(self, path: str | Path) -> None:
        """Write JSON, atomically."""
        scores = {"scores": self.scores} if self.scores else {}
        write_json(Path(path), {"format": FORMAT, "heads": self.heads, "neurons": self.neurons, **scores})

    @classmethod
    def load(cls, path: str | Path) -> "Circuit":
        """Read what `save` wrote. Raises HarmcircuitsError where the file is missing, damaged, or holds something else."""
        circuit = read_json(Path(path))
        try:
            if circuit["format"] != FORMAT:
                raise HarmcircuitsError(f"its 'format' should be {FORMAT!r}")
            return cls(circuit["heads"], neurons=circuit["neurons"], scores=circuit.get("scores", {}))
        except (LookupError, TypeError, ValueError) as error:
            raise HarmcircuitsError(f"{path} is no circuit file ({error}). Save the circuit again.") from error


def by_layer(items: Sequence[Component]) -> dict[int, list[int]]:
    """Return the indices of each layer, both in order."""
    layers = sorted({layer for layer, _ in items})
    return {layer: [index for place, index in items if place == layer] for layer in layers}


def component_name(kind: str, layer: int, index: int) -> str:
    """Return "L2H1" for head 1 of layer 2, "L5N100" for neuron 100 of layer 5."""
    return f"L{layer}{LETTERS[kind]}{index}"


def _components(kind: str, items: str | Iterable[str | Iterable[int]]) -> set[tuple[str, Component]]:
    """Pairs are of `kind`; names say it themselves."""
    try:
        return {_component(kind, item) for item in ([items] if isinstance(items, str) else items)}
    except (TypeError, ValueError) as error:
        raise HarmcircuitsError(
            f"{kind} must be pairs (layer, index) of whole numbers from 0, not {shortened(items)}; or names, as L2H1 and L5N100"
        ) from error


def _component(kind: str, item: Any) -> tuple[str, Component]:
    if isinstance(item, str) and (match := re.fullmatch(r"L(\d+)([HN])(\d+)", item)):
        return {"H": "heads", "N": "neurons"}[match[2]], (int(match[1]), int(match[3]))
    if any(isinstance(number, bool) for number in item):
        raise TypeError("a truth value")
    layer, index = map(whole, item)
    if min(layer, index) < 0:
        raise ValueError("negative")
    return kind, (layer, index)


def _zero(dim: int, indices: list[int], activation: Float[Tensor, "..."], hook: object) -> Float[Tensor, "..."]:
    """Out of place: the graph of the unablated activation stays valid, and an ablated component's gradient is exactly 0."""
    return activation.index_fill(dim, torch.tensor(indices, device=activation.device), 0)
