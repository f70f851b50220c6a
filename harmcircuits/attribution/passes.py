"""What the algorithms share: the metric and the rows it reads, batches of examples, and one forward and backward pass.

For a component c with activation a_c, recomputed while every head and neuron is multiplied by one gate m (1: the model itself),

    A_c(m) = − ∂L/∂m_c = − sum over positions of  a_c · ∂L/∂(m·a_c)

per example, in the metric's unit; positive promotes. Heads are read at `hook_z` and summed over d_head, neurons at `hook_post`;
nothing else is kept, no weight gets a gradient, and the unembedding is computed only where the metric looks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm.auto import tqdm

from ..data import Batch, Example, Prompt, Row, batched, each_batch, example_rows, make_batch, response_loss, row_length
from ..models.devices import stacked
from ..models.gradients import check_gradients
from ..models.numbers import where_broken
from ..models.protocol import Hook, HookedModel, check_hooks, geometry, head_hook, logits_at, neuron_hook, start_graph
from .scores import Attribution, AttributionError

Metric = Callable[[Float[Tensor, "asked d_vocab"], Batch], Float[Tensor, " b"]]
"""`metric(logits, batch) → [b]`: `logits` predict the asked tokens (`batch.targets`), row after row (`batch.row_of`)."""


class LaidOut(Protocol):
    """A metric that has laid its examples out itself and runs the model itself: `(batch) → [b]`.

    One that needs no more of the model than the logits of the asked tokens says so by a `Metric` named `of_logits`:
    algorithms that run the model in their own way (`exact_attribution`) then do.
    """

    @property
    def rows(self) -> Sequence[Row]: ...
    def __call__(self, batch: Batch) -> Float[Tensor, " b"]: ...


@runtime_checkable
class ModelMetric(Protocol):
    """A metric that reads something else than the response (a label after a question, a probe)."""

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> LaidOut: ...


@dataclass(frozen=True, eq=False)
class Reading:
    """A metric and the rows it reads, for one model.

    Attributes:
        rows: what is read, one row an example.
        score: the metric of each row of a batch; runs the model.
        of_logits: the same from the logits of the asked tokens; None where it needs more of the model than these.
    """

    rows: Sequence[Row]
    score: Callable[[Batch], Float[Tensor, " b"]]
    of_logits: Metric | None


def laid_out(model: HookedModel, examples: Sequence[Any], metric: Metric | ModelMetric | None) -> Reading:
    """The rows that `metric` (None: the loss of the response) reads of `examples`.

    Raises:
        AttributionError: no examples, or something else than examples; in a pass: a metric that gives not one value a row.
        ExampleError: an example with an empty response, or a prompt, which has none, where the metric reads responses.
    """
    _check_examples(examples)
    if isinstance(metric, ModelMetric):
        own = metric.for_model(model, examples)
        of_logits = getattr(own, "of_logits", None)
        return Reading(own.rows, lambda batch: _by_row(own(batch), batch), of_logits and _checked(of_logits))
    looking = _checked(metric or response_loss)
    look = lambda batch: looking(logits_at(model, batch.tokens, batch.attention_mask, batch.positions), batch)
    return Reading(example_rows(model, examples), look, looking)


def _check_examples(examples: Any) -> None:
    single = isinstance(examples, Example | Prompt | str)
    if single or not all(isinstance(one, Example | Prompt) for one in examples):
        found = type(examples).__name__ + ("" if single else " of something else")
        raise AttributionError(f"examples are a list of hc.Example (see hc.elicit), not {found}")
    if not examples:
        raise AttributionError("no examples: there is nothing to attribute. Elicit some first (hc.elicit).")


def _checked(metric: Metric) -> Metric:
    return lambda logits, batch: _by_row(metric(logits, batch), batch)


def _by_row(values: Float[Tensor, " b"], batch: Batch) -> Float[Tensor, " b"]:
    """One value a row, or an error: a mean over the batch, say, would make scores depend on the batch."""
    rows = len(batch.tokens)
    if not isinstance(values, Tensor) or values.shape != (rows,):
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise AttributionError(
            f"the metric must give one value for each of the batch's {rows} rows, shape ({rows},), and gave {found}: sum or "
            "average over the tokens of a row alone (batch.mean_over_rows)."
        )
    return values


def check_every_layer(model: HookedModel) -> None:
    """Makes sure that gradients can be read at every head and neuron, and mean what they should.

    Raises:
        ModelError: a layer without `hook_z` or `hook_post`, dropout, autocast, or quantised weights.
    """
    layers = range(geometry(model).n_layers)
    check_hooks(model, heads=layers, neurons=layers)
    check_gradients(model)


Part = TypeVar("Part", bound=tuple[Tensor, ...])


def each_row(
    model: HookedModel,
    rows: Sequence[Row],
    of_batch: Callable[[Batch], Part],
    *,
    batch_size: int,
    progress: bool,
    desc: str,
) -> list[tuple[Tensor, ...]]:
    """`of_batch` over padded batches of like lengths; its tensors' first dimension taken apart, in the order of `rows`."""
    parts: list[tuple[Tensor, ...]] = [()] * len(rows)
    with tqdm(total=len(rows), desc=desc, unit="example", disable=not progress) as bar:

        def read(indices: list[int]) -> Part:
            return of_batch(make_batch(model, [rows[index] for index in indices]))

        for indices, batch in each_batch(batched(rows, batch_size=batch_size, length=row_length), read):
            for at, index in enumerate(indices):
                parts[index] = tuple(part[at] for part in batch)
            bar.update(len(indices))
    return parts


class Scores(NamedTuple):
    """A_c(m) of one batch, and A summed over all heads (column 0) and all neurons (column 1) at each token."""

    heads: Float[Tensor, "b layer head"]
    neurons: Float[Tensor, "b layer d_mlp"]
    tokens: Float[Tensor, "b pos 2"]


def score_batch(
    model: HookedModel, batch: Batch, score: Callable[[Batch], Float[Tensor, " b"]], *, gate: float = 1.0
) -> Scores:
    """A_c(m) of every head and neuron at m = `gate` > 0, from one forward and one backward pass."""
    with torch.enable_grad(), gated(model, gate) as (z, post):
        total = score(batch).sum()  # rows don't interact: the gradient of the sum holds each one's own
        if not total.requires_grad:
            raise AttributionError("the metric does not depend on the model: it has no gradient (a constant, or detached?)")
        gradients = torch.autograd.grad(total, z + post, allow_unused=True, materialize_grads=True)
    heads, at_heads = _summed(z, gradients[: len(z)], gate)
    neurons, at_neurons = _summed(post, gradients[len(z) :], gate)
    return Scores(heads.cpu(), neurons.cpu(), torch.stack([at_heads, at_neurons], -1).cpu())


def _summed(
    kept: Sequence[Tensor], gradients: Sequence[Tensor], gate: float
) -> tuple[Float[Tensor, "b layer index"], Float[Tensor, "b pos"]]:
    """−a · ∂L/∂(m·a) summed over positions, and over components. What is kept is m·a, which the graph holds anyway: a second
    tensor of its size would be the largest cost in memory. Layer by layer, for the same reason."""
    components, positions = [], []
    for activation, gradient in zip(kept, gradients, strict=True):
        product = activation.detach().float() * gradient.float()
        each = product.sum(-1) if product.ndim == 4 else product  # a head is all of its d_head
        components.append(each.sum(1))
        positions.append(each.sum(-1))
    return stacked(components, 1) / -gate, stacked(positions).sum(0) / -gate


@contextmanager
def gated(model: HookedModel, gate: float) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Multiplies `hook_z` and `hook_post` of every layer by `gate`, and keeps the products, layer by layer, where there are
    gradients; the graph begins at the embedding."""
    z: list[Tensor] = []
    post: list[Tensor] = []

    def multiply(into: list[Tensor], activation: Tensor, hook: object) -> Tensor:
        product = activation if gate == 1.0 else activation * gate
        if product.requires_grad:
            into.append(product)
        return product  # at hook_z a bridge hands us a view: only what we return has a gradient

    layers = range(geometry(model).n_layers)
    hooks: list[Hook] = [("hook_embed", start_graph)]
    hooks += [(head_hook(layer), partial(multiply, z)) for layer in layers]
    hooks += [(neuron_hook(layer), partial(multiply, post)) for layer in layers]
    with model.hooks(fwd_hooks=hooks):
        yield z, post


def finite(
    scores: Attribution, model: HookedModel, rows: Sequence[Row], *, asked: dict[str, Bool[Tensor, "layer index"]] | None = None
) -> Attribution:
    """Scores that are not numbers are named, never averaged away; those that nobody `asked` for may be NaN.

    Raises:
        AttributionError: naming the component and the example, and where the model's activations overflow, if they do.
    """
    for kind, values in (("head", scores.per_example_heads), ("neuron", scores.per_example_neurons)):
        wrong = ~values.isfinite()
        if asked is not None:
            wrong &= asked[f"{kind}s"]
        if bool(wrong.any()):
            example, layer, index = (int(at) for at in wrong.nonzero()[0])
            raise AttributionError(
                f"the score of {kind} ({layer}, {index}) on example {example} is not a number: "
                f"{where_broken(model, rows[example].tokens)}; its gradients may overflow too. Load the model with "
                "dtype=torch.float32, or leave that example out."
            )
    return scores
