"""`Attribution`: the scores of every head and neuron on every example, whatever algorithm made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..notebook import notebook_html
from ..store import one_line
from ..store.tensors import read_tensors, save_tensors

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..data import Example
    from ..models.protocol import HookedModel
    from .agreement import Agreement
    from .top import Sign

Kind = Literal["heads", "neurons"]
KINDS: tuple[Kind, Kind] = ("heads", "neurons")
FORMAT = "harmcircuits attribution 2"
_SCORES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class AttributionError(ValueError):
    """Scores that cannot be computed, read or combined; the message says which and why."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """A_c of every head and neuron on every example, float32, in nats per asked token. **Positive: promotes the response.**

    A component that was not measured (`exact_attribution` of some of them) has NaN on every example: see `measured`.

    Attributes:
        per_example_heads: A of each head on each example.
        per_example_neurons: A of each neuron.
        tokens: for each example, A summed over all heads (column 0) and all neurons (column 1) at each token position; empty
            where the algorithm does not say at which token a component counts.
        completeness_error: of `integrated_attribution`, by how much the sum of an example's scores exceeds the rise that it
            should be, metric(no head and neuron) − metric; None for other algorithms.
    """

    per_example_heads: Float[Tensor, "example layer head"]
    per_example_neurons: Float[Tensor, "example layer d_mlp"]
    tokens: tuple[Float[Tensor, "pos 2"], ...] = ()
    completeness_error: Float[Tensor, " example"] | None = None

    @property
    def n_examples(self) -> int:
        return len(self.per_example_heads)

    @property
    def heads(self) -> Float[Tensor, "layer head"]:
        """A: the mean over examples."""
        return self.per_example_heads.mean(0)

    @property
    def neurons(self) -> Float[Tensor, "layer d_mlp"]:
        """A: the mean over examples."""
        return self.per_example_neurons.mean(0)

    @property
    def heads_abs(self) -> Float[Tensor, "layer head"]:
        """U: the mean of |A| taken per example."""
        return self.per_example_heads.abs().mean(0)

    @property
    def neurons_abs(self) -> Float[Tensor, "layer d_mlp"]:
        """U: the mean of |A| taken per example."""
        return self.per_example_neurons.abs().mean(0)

    @property
    def measured(self) -> dict[str, Bool[Tensor, "layer index"]]:
        """True where a component has scores: "heads" [layer, head] and "neurons" [layer, d_mlp]. `select` and `compare` leave
        the others out."""
        return {"heads": ~self.heads.isnan(), "neurons": ~self.neurons.isnan()}

    def per_token(self, example: int) -> pd.DataFrame:
        """A at each token of one example, summed over the heads and over the neurons there (nats per asked token).

        Raises:
            AttributionError: the algorithm that made the scores does not say at which token a component counts.
        """
        if not self.tokens:
            raise AttributionError("these scores have no tokens (an ablation acts at all of them at once): use hc.attribute")
        frame = pd.DataFrame(self.tokens[example].numpy(), columns=["heads", "neurons"])
        return frame.rename_axis("position").reset_index()

    def __getitem__(self, examples: "list[int] | Tensor") -> "Attribution":
        """The scores of some of the examples, in the order asked for; or of those where a mask is true."""
        given = torch.as_tensor(examples)
        chosen = given.nonzero().flatten() if given.dtype == torch.bool else given.long()
        kept = tuple(self.tokens[int(example)] for example in chosen) if self.tokens else ()
        error = None if self.completeness_error is None else self.completeness_error[chosen]
        return Attribution(self.per_example_heads[chosen], self.per_example_neurons[chosen], kept, error)

    def __add__(self, other: "Attribution") -> "Attribution":
        """The scores of both sets of examples, one after the other; without tokens or completeness error where either has
        none."""
        errors = self.completeness_error, other.completeness_error
        return Attribution(
            torch.cat([self.per_example_heads, other.per_example_heads]),
            torch.cat([self.per_example_neurons, other.per_example_neurons]),
            (*self.tokens, *other.tokens) if self.tokens and other.tokens else (),
            None if errors[0] is None or errors[1] is None else torch.cat([errors[0], errors[1]]),
        )

    def table(self, k: int = 20) -> pd.DataFrame:
        """The `k` measured components with the largest A of each kind: component, kind, layer, index, attribution,
        standard_error."""
        parts = [
            _largest(self.per_example_heads, k, kind="head", label="L{}H{}"),
            _largest(self.per_example_neurons, k, kind="neuron", label="{}.{}"),
        ]
        return pd.concat(parts, ignore_index=True)

    def top(
        self, k: int = 10, *, kind: Kind | None = None, sign: "Sign" = "promotes", draws: int = 2000, seed: int = 0
    ) -> pd.DataFrame:
        """The `k` components that promote the response most, the largest A first, each with its interval.

            A.top(10), A.top(10, kind="neurons"), A.top(10, sign="hinders")

        Args:
            kind: "heads" or "neurons"; None: both together.
            sign: "promotes" takes A > 0 alone, "hinders" A < 0, the smallest first.
            draws: of the bootstrap.
            seed: of the draws.

        Returns:
            component ("L3H7", or "neuron 12.845" for neuron 845 of layer 12), kind, layer, index, score (A), low, high (95 %
            bootstrap interval over examples, each row's own: it does not allow for the row having been picked as one of the
            largest; none below 3 examples), unsigned (U, the mean of |A| per example); nats per asked token.

        Raises:
            AttributionError: `k` below 1, another kind or sign.
        """
        from .top import top  # here, because it imports this file

        return top(self, k, kind=kind, sign=sign, draws=draws, seed=seed)

    def figure(self) -> "go.Figure":
        """The heatmap of the heads; a line lies under those whose 95 % interval over examples excludes 0."""
        from .drawn import heads_figure  # here, because it imports this file

        return heads_figure(self)

    def token_figure(
        self,
        model: "HookedModel",
        examples: "Sequence[Example]",
        example: int = 0,
        *,
        kind: Kind | None = None,
        words: bool = False,
    ) -> "go.Figure":
        """A bar a token of one response: A of all heads and of all neurons there, nats per token; positive promotes it.

            A.token_figure(model, harmful, 3), A.token_figure(model, harmful, 3, kind="heads")

        Args:
            model: the one that was scored.
            examples: those that were scored; they tell which of the tokens are the response.
            example: which of the examples, counted from 0.
            kind: "heads" or "neurons"; None: both, stacked.
            words: write the tokens of the response beside their bars; else they are numbered, and no word of them is in the
                figure, since what a model wrote may be harmful.

        Raises:
            AttributionError: scores without tokens (see `per_token`) or of other texts, no such example, another kind.
            ExampleError: an example with an empty response.
        """
        from .by_token import token_figure  # here, because it imports this file

        return token_figure(self, model, examples, example, kind=kind, words=words)

    def compare(
        self,
        other: "Attribution",
        *,
        k: int = 10,
        names: tuple[str, str] = ("first", "second"),
        seed: int = 0,
    ) -> "Agreement":
        """How far these scores agree with `other` ones of the same model, over the components that both measured.

            agreement = hc.attribute(model, harmful).compare(exact, names=("first order", "exact"))
            agreement.heads.spearman, agreement.table(), agreement.figure()

        Intervals resample the examples where both sides hold as many (and their tokens, where both have them, do not say that
        they are others), a draw taking the same ones from both; else the components. Components are not independent of one
        another: those intervals are too narrow.

        Args:
            k: size of the tops whose overlap is counted, by A, positive ones only.
            names: what each side is called in the figure.
            seed: of the bootstrap.

        Raises:
            AttributionError: scores of another model, nothing measured on both sides, or `k` below 1.
        """
        from .agreement import compare  # here, because it imports this file

        return compare(self, other, k=k, names=names, seed=seed)

    def save(self, path: str | Path) -> None:
        """One safetensors file, written atomically."""
        tensors = {
            "per_example_heads": self.per_example_heads,
            "per_example_neurons": self.per_example_neurons,
            "tokens": torch.cat([torch.empty(0, 2), *self.tokens]),
        }
        if self.completeness_error is not None:
            tensors["completeness_error"] = self.completeness_error
        save_tensors(path, tensors, format=FORMAT, about=[len(part) for part in self.tokens])

    @classmethod
    def load(cls, path: str | Path) -> "Attribution":
        """Reads what `save` wrote.

        Raises:
            AttributionError: the file is missing, damaged, or holds something else.
        """
        tensors, lengths = read_tensors(path, format=FORMAT, what="attribution", error=AttributionError)
        try:
            tokens = tensors["tokens"].split(lengths) if len(tensors["tokens"]) else ()
            incomplete = tensors.get("completeness_error")
            found = cls(tensors["per_example_heads"], tensors["per_example_neurons"], tuple(tokens), incomplete)
            _check_shapes(found)
        except (KeyError, OverflowError, TypeError, ValueError, RuntimeError) as error:
            raise AttributionError(
                f"{path} was changed since it was saved ({one_line(error)}). Save the scores again."
            ) from error
        for kind, scores in (("head", found.per_example_heads), ("neuron", found.per_example_neurons)):
            _check_numbers(scores, kind, path)
        return found

    def __repr__(self) -> str:
        _, layers, heads = self.per_example_heads.shape
        d_mlp = self.per_example_neurons.shape[-1]
        missing = "" if self.completeness_error is None else f"; completeness error {self.completeness_error.abs().mean():.3g}"
        return f"Attribution({self.n_examples} examples, {layers} layers × {heads} heads, {layers} × {d_mlp} neurons{missing})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table(6), figure=self.figure)


def _largest(scores: Float[Tensor, "example layer index"], k: int, *, kind: str, label: str) -> pd.DataFrame:
    """The `k` measured components of the largest mean: component, kind, layer, index, attribution, standard_error."""
    mean = scores.mean(0)
    order = mean.nan_to_num(nan=-torch.inf).flatten().argsort(descending=True, stable=True)
    flat = order[: min(k, int((~mean.isnan()).sum()))]
    layers, indices = np.unravel_index(flat.numpy(), tuple(mean.shape))
    error = scores.std(0).flatten()[flat] / len(scores) ** 0.5 if len(scores) > 1 else torch.full((len(flat),), torch.nan)
    columns: dict[str, Any] = {
        "component": [label.format(*pair) for pair in zip(layers, indices, strict=True)],
        "kind": kind,
        "layer": layers,
        "index": indices,
        "attribution": mean.flatten()[flat].numpy(),
        "standard_error": error.numpy(),
    }
    return pd.DataFrame(columns)


def _check_shapes(found: Attribution) -> None:
    """Raises ValueError for tensors that are not of one set of examples and one model."""
    heads, neurons, error = found.per_example_heads, found.per_example_neurons, found.completeness_error
    if heads.ndim != 3 or neurons.ndim != 3 or heads.shape[:2] != neurons.shape[:2]:
        raise ValueError(f"heads of shape {tuple(heads.shape)} and neurons of shape {tuple(neurons.shape)} do not fit together")
    if len(found.tokens) not in (0, len(heads)) or any(part.shape[1:] != (2,) for part in found.tokens):
        raise ValueError("its tokens are not those of its examples")
    if error is not None and error.shape != heads.shape[:1]:
        raise ValueError("its completeness error is not that of its examples")
    if any(scores.dtype not in _SCORES for scores in (heads, neurons, *found.tokens)):
        raise ValueError(f"scores are fractions, not {heads.dtype} and {neurons.dtype}")


def _check_numbers(scores: Float[Tensor, "example layer index"], kind: str, path: str | Path) -> None:
    """Raises AttributionError for scores that no algorithm gives: infinite ones, and NaN on some examples of a component alone
    (on all of them it says that nobody asked for the component)."""
    wrong = scores.isinf() | (scores.isnan() & ~scores.isnan().all(0))
    if bool(wrong.any()):
        example, layer, index = (int(at) for at in wrong.nonzero()[0])
        raise AttributionError(
            f"{path}: the score of {kind} ({layer}, {index}) on example {example} is not a number. The file was changed since "
            "it was saved: save the scores again."
        )
