"""Attribution scores of heads and neurons.

Scores are float32, on the CPU, in nats per response token (or in the unit of another metric). Positive: promotes the response.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .. import figures
from ..circuits import Circuit, component_name
from ..errors import HarmcircuitsError
from ..results import Result
from ..statistics import mean_estimates
from ..store import read_tensors, save_tensors
from .agreement import agreement

if TYPE_CHECKING:
    import plotly.graph_objects as go

Kind = Literal["heads", "neurons"]
KINDS: tuple[Kind, Kind] = ("heads", "neurons")
Sign = Literal["promotes", "hinders"]
FORMAT = "harmcircuits attribution 3"
PROTECT: Mapping[str, float] = {"heads": 0.5, "neurons": 0.1}
"""Share of heads and of neurons that selection protects by default: those with the largest U on benign text."""


@dataclass(frozen=True, eq=False)
class Attribution(Result):
    """Scores A of every head and neuron on every example. **Positive: promotes the response.**

    A component that was not measured (`method="exact"` of some of them) is NaN on every example: see `measured`.

    Attributes:
        per_example_heads: A of each head on each example.
        per_example_neurons: A of each neuron on each example.
    """

    per_example_heads: Float[Tensor, "example layer head"]
    per_example_neurons: Float[Tensor, "example layer d_mlp"]

    @property
    def n_examples(self) -> int:
        return len(self.per_example_heads)

    @property
    def heads(self) -> Float[Tensor, "layer head"]:
        """A of heads: the mean over examples."""
        return self.per_example_heads.mean(0)

    @property
    def neurons(self) -> Float[Tensor, "layer d_mlp"]:
        """A of neurons: the mean over examples."""
        return self.per_example_neurons.mean(0)

    @property
    def heads_abs(self) -> Float[Tensor, "layer head"]:
        """U of heads: the mean of |A| per example."""
        return self.per_example_heads.abs().mean(0)

    @property
    def neurons_abs(self) -> Float[Tensor, "layer d_mlp"]:
        """U of neurons: the mean of |A| per example."""
        return self.per_example_neurons.abs().mean(0)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """(layers, components) of each kind."""
        return {kind: tuple(getattr(self, f"per_example_{kind}").shape[1:]) for kind in KINDS}

    @property
    def measured(self) -> dict[Kind, Bool[Tensor, "layer index"]]:
        """True where a component has scores, by kind. `select` and `compare` ignore the others."""
        return {"heads": ~self.heads.isnan(), "neurons": ~self.neurons.isnan()}

    def __getitem__(self, examples: "int | Sequence[int] | slice | Tensor") -> "Attribution":
        """Return the scores of some examples: `A[0]`, `A[:8]`, indices in the order given, or a mask. Iteration: one by one.

        Components are in `A.table(8)`, the largest, and in `A.heads[layer, head]` and `A.neurons[layer, neuron]`.

        >>> A = Attribution(torch.tensor([[[0.4]], [[0.2]]]), torch.zeros(2, 1, 1))
        >>> A[0], [round(float(example.heads[0, 0]), 1) for example in A]
        (Attribution(1 examples, 1 layers × 1 heads, 1 × 1 neurons), [0.4, 0.2])
        """
        if isinstance(examples, tuple | str):
            raise HarmcircuitsError(
                f"A[{examples!r}]: an index names examples. Components: A.table(8), A.heads[layer, head], A.neurons[layer, "
                "neuron]"
            )
        chosen = torch.arange(self.n_examples)[examples].reshape(-1)
        return Attribution(self.per_example_heads[chosen], self.per_example_neurons[chosen])

    def __add__(self, other: "Attribution") -> "Attribution":
        """Return the scores of both sets of examples."""
        parts = ("per_example_heads", "per_example_neurons")
        return Attribution(*(torch.cat([getattr(self, part), getattr(other, part)]) for part in parts))

    def table(self, k: int = 20, *, kind: Kind | None = None, sign: Sign = "promotes") -> pd.DataFrame:
        """Return the `k` components of largest A, with intervals: `A.table(10)`, `A.table(10, kind="neurons")`.

        Args:
            kind: "heads" or "neurons"; None: both together.
            sign: "promotes" for A > 0, "hinders" for A < 0, the smallest first.

        Returns:
            Columns component ("L3H7", or "L12N845" for neuron 845 of layer 12), kind, layer, index, score (A), low, high
            (95 % bootstrap over examples, not adjusted for the selection of the largest; none below 3 examples), unsigned (U).

        Raises:
            HarmcircuitsError: `k` below 1, another kind or sign.
        """
        if kind not in (None, *KINDS):
            raise HarmcircuitsError(f'kind {kind!r} is unknown: "heads" or "neurons", or None for both')
        parts = [self._largest(each, k, sign) for each in KINDS if kind in (None, each)]
        order = lambda score: -score.abs()
        return pd.concat(parts).sort_values("score", key=order, kind="stable").head(k).reset_index(drop=True)

    def _largest(self, kind: Kind, k: int, sign: Sign) -> pd.DataFrame:
        scores: Float[Tensor, "example layer index"] = getattr(self, f"per_example_{kind}")
        flat = top_indices(scores.mean(0).flatten(), k, sign)
        chosen = scores.flatten(1)[:, flat].numpy()
        estimates = mean_estimates(chosen)
        layers, indices = np.unravel_index(flat.numpy(), tuple(scores.shape[1:]))
        columns = {
            "component": [component_name(kind, *pair) for pair in zip(layers, indices, strict=True)],
            "kind": kind.removesuffix("s"), "layer": layers, "index": indices,
        }  # fmt: skip
        numbers = {
            "score": scores.mean(0).flatten()[flat].numpy(),
            "low": [estimate.low for estimate in estimates],
            "high": [estimate.high for estimate in estimates],
            "unsigned": np.abs(chosen).mean(0),
        }
        return pd.DataFrame(columns | numbers).astype(dict.fromkeys(numbers, float))

    def figure(
        self,
        *,
        circuit: Circuit | None = None,
        protect: "Attribution | None" = None,
        protect_fraction: float = PROTECT["heads"],
    ) -> "go.Figure":
        """Return the heat map of the heads: A.figure(circuit=circuit, protect=B).

        A line marks heads whose 95 % interval excludes 0, × those of `circuit`, a frame those that `select` protects by the
        benign scores `protect`, and so leaves out.
        """
        framed = [] if protect is None else protected_mask(protect.heads_abs, protect_fraction).nonzero().tolist()
        estimates = mean_estimates(self.per_example_heads.flatten(1).numpy())
        ends = np.array([(estimate.low, estimate.high) for estimate in estimates], dtype=float)
        low, high = ends.T.reshape(2, *self.heads.shape)
        selected, protected = circuit.heads if circuit else (), [(layer, head) for layer, head in framed]
        return figures.heads(self.heads.numpy(), low=low, high=high, selected=selected, protected=protected)

    def compare(self, other: "Attribution", *, k: int = 10) -> pd.DataFrame:
        """Return how far these scores agree with `other` scores of the same model, over the components that both measured.

        Of the means over examples, of heads and of neurons:

            spearman, pearson  correlations
            slope              of these scores on the other ones, by least squares: below 1 where these are smaller
            overlap of tops    share of the k components of largest A > 0 (those that `select` takes) that both have in common

        Args:
            k: size of the tops, at most the number of components with A > 0 on either side.

        Returns:
            Columns kind, measure, value, low, high (95 %, over examples; NaN where the two have other numbers of them), chance
            (k / n), n (components), k. NaN where all scores of one side are equal.

        Raises:
            HarmcircuitsError: scores of another model, nothing measured on both sides, or `k` below 1.
        """
        if k < 1:
            raise HarmcircuitsError(f"k is {k}: it counts components, from 1")
        if self.shapes != other.shapes:
            raise HarmcircuitsError(f"the scores are of models of different shape: {self} and {other}")
        tables = []
        for kind in KINDS:
            if bool((both := self.measured[kind] & other.measured[kind]).any()):
                sides = (getattr(side, f"per_example_{kind}")[:, both].double().numpy() for side in (self, other))
                tables.append(agreement(*sides, k=k).assign(kind=kind))
        if not tables:
            raise HarmcircuitsError("no component was measured on both sides: score some of the same heads or neurons.")
        return pd.concat(tables, ignore_index=True).set_index("kind").reset_index()

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically."""
        save_tensors(path, vars(self), format=FORMAT, about=None)

    @classmethod
    def load(cls, path: str | Path) -> "Attribution":
        """Read what `save` wrote. Raises HarmcircuitsError where the file is missing, damaged, or holds something else."""
        with read_tensors(path, format=FORMAT, what="attribution") as (tensors, _):
            return cls(**tensors)

    def __repr__(self) -> str:
        _, layers, heads = self.per_example_heads.shape
        d_mlp = self.per_example_neurons.shape[-1]
        return f"Attribution({self.n_examples} examples, {layers} layers × {heads} heads, {layers} × {d_mlp} neurons)"


def top_indices(scores: Float[Tensor, " n"], k: int, sign: Sign) -> Tensor:
    """Return the indices of the `k` largest (smallest) scores of that sign, NaN left out."""
    if k < 1 or sign not in get_args(Sign):
        raise HarmcircuitsError(f'k={k}, sign={sign!r}: ask for at least 1 component, sign="promotes" or "hinders"')
    values = (scores if sign == "promotes" else -scores).nan_to_num(nan=-torch.inf)
    largest = values.topk(min(k, len(values)))
    return largest.indices[largest.values > 0]


def count(fraction: float, n: int) -> int:
    """Return floor(fraction · n): 0.1 × 270 is 27, also in floating point."""
    return floor(fraction * n + 1e-9)


def protected_mask(benign: Float[Tensor, "layer index"], fraction: float) -> Bool[Tensor, "layer index"]:
    """Return True for the floor(fraction × all) components of largest U; those that were not measured come last."""
    mask = torch.zeros(benign.numel(), dtype=torch.bool)
    order = benign.nan_to_num(nan=-torch.inf).flatten().argsort(descending=True, stable=True)
    mask[order[: count(fraction, benign.numel())]] = True
    return mask.view_as(benign)
