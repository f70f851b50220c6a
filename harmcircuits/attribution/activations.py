"""Per-head and per-neuron attribution, from one forward and one backward pass a batch.

For a component c with activation a_c, and the loss L of a response (mean negative log-likelihood, nats per token),

    A_c = − sum over positions of  a_c · ∂L/∂a_c,

the first-order estimate of how much L rises when c is set to zero. Positive: c promotes the response.
Heads are read at `hook_z`, neurons at `hook_post`; nothing else is kept, no weight gets a gradient, and the unembedding is
computed only where the loss looks.

Source: Molchanov et al. 2017 (first-order pruning); Nanda 2023 (attribution patching), with zero as the corrupted activation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..examples import Batch, Example, Prompt, Row, batched, example_rows, make_batch, response_loss, row_length
from ..models.protocol import HookedModel, check_hooks, geometry, head_hook, logits_at, neuron_hook, start_graph
from .scores import Attribution, AttributionError

Metric = Callable[[Float[Tensor, "asked d_vocab"], Batch], Float[Tensor, " b"]]
"""`metric(logits, batch) → [b]`: `logits` predict the asked tokens (`batch.targets`), row after row (`batch.row_of`)."""


class LaidOut(Protocol):
    """A metric that has laid its examples out itself and runs the model itself: `(batch) → [b]`."""

    @property
    def rows(self) -> Sequence[Row]: ...
    def __call__(self, batch: Batch) -> Float[Tensor, " b"]: ...


@runtime_checkable
class ModelMetric(Protocol):
    """A metric that reads something else than the response (a label after a question, a probe)."""

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> LaidOut: ...


def attribute(
    model: HookedModel,
    examples: Sequence[Example] | Sequence[Prompt],
    *,
    metric: Metric | ModelMetric | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Attribution:
    """A_c = −Σ_positions a_c · ∂metric/∂a_c of every head and neuron for each example, in the metric's unit.

    With the default metric, the loss of the response, that is nats per response token; positive promotes the response. With
    `recognition_metric` it is the loss of the right label; positive promotes recognition.

    Args:
        metric: `(logits, batch) → [b]`, lower is better; None is the loss of the response. One with a method
            `for_model(model)` lays its examples out itself (`recognition_metric`).
        batch_size: rows a pass; scores do not depend on it (beyond rounding).

    Raises:
        AttributionError: no examples, or a score that is not a number (names example and layer).
        ExampleError: an example with an empty response, or a prompt, which has none yet, where the metric reads responses.
        ModelError: a layer without `hook_z` or `hook_post`.
    """
    if not examples:
        raise AttributionError("no examples: there is nothing to attribute. Elicit some first (hc.elicit).")
    layers = range(geometry(model).n_layers)
    check_hooks(model, heads=layers, neurons=layers)
    score, rows = laid_out(model, examples, metric)
    parts: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    with tqdm(total=len(rows), desc="attribute", unit="example", disable=not progress) as bar:
        for indices in batched(rows, batch_size=batch_size, length=row_length):
            batch = make_batch(model, [rows[index] for index in indices])
            heads, neurons, tokens = _attribute_batch(model, batch, score)
            for at, index in enumerate(indices):
                parts[index] = heads[at], neurons[at], tokens[at, : row_length(rows[index])]
            bar.update(len(indices))
    ordered = [parts[index] for index in range(len(rows))]
    heads, neurons = (torch.stack([part[at] for part in ordered]) for at in (0, 1))
    return _finite(Attribution(heads, neurons, tuple(part[2] for part in ordered)))


def laid_out(
    model: HookedModel, examples: Sequence[Any], metric: Metric | ModelMetric | None
) -> tuple[Callable[[Batch], Tensor], Sequence[Row]]:
    if isinstance(metric, ModelMetric):
        own = metric.for_model(model, examples)
        return own, own.rows
    of_logits = metric or response_loss
    look = lambda batch: of_logits(logits_at(model, batch.tokens, batch.attention_mask, batch.positions), batch)
    return look, example_rows(model, examples)


def _attribute_batch(
    model: HookedModel, batch: Batch, score: Callable[[Batch], Float[Tensor, " b"]]
) -> tuple[Float[Tensor, "b layer head"], Float[Tensor, "b layer d_mlp"], Float[Tensor, "b pos 2"]]:
    with _recording(model) as (z, post):
        total = score(batch).sum()  # rows don't interact: the gradient of the sum holds each one's own
        gradients = torch.autograd.grad(total, z + post, allow_unused=True, materialize_grads=True)
    at_heads = [-(a.detach() * g).float().sum(-1) for a, g in zip(z, gradients[: len(z)], strict=True)]  # [b, pos, head]
    at_neurons = [-(a.detach() * g).float() for a, g in zip(post, gradients[len(z) :], strict=True)]  # [b, pos, d_mlp]
    heads = torch.stack([part.sum(1) for part in at_heads], 1)
    neurons = torch.stack([part.sum(1) for part in at_neurons], 1)
    tokens = torch.stack([torch.stack([part.sum(-1) for part in parts]).sum(0) for parts in (at_heads, at_neurons)], -1)
    return heads.cpu(), neurons.cpu(), tokens.cpu()


@contextmanager
def _recording(model: HookedModel) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Keeps `hook_z` and `hook_post` of each layer, in order, as the forward pass inside makes them."""
    z: list[Tensor] = []
    post: list[Tensor] = []

    def keep(into: list[Tensor], activation: Tensor, hook: object) -> Tensor:
        into.append(activation)
        return activation  # at hook_z a bridge hands us a view: only what we return has a gradient

    layers = range(geometry(model).n_layers)
    hooks = [("hook_embed", start_graph)]
    hooks += [(head_hook(layer), partial(keep, z)) for layer in layers]
    hooks += [(neuron_hook(layer), partial(keep, post)) for layer in layers]
    with torch.enable_grad(), model.hooks(fwd_hooks=hooks):
        yield z, post


def _finite(scores: Attribution) -> Attribution:
    """Scores that are not numbers are named, never averaged away."""
    for kind, values in (("head", scores.per_example_heads), ("neuron", scores.per_example_neurons)):
        if not bool(values.isfinite().all()):
            example, layer, index = (int(at) for at in (~values.isfinite()).nonzero()[0])
            raise AttributionError(
                f"the score of {kind} ({layer}, {index}) on example {example} is not a number: the model's activations or "
                "gradients overflow there. Load the model with dtype=torch.float32, or leave that example out."
            )
    return scores
