"""Attribution of heads and neurons: the verb `attribute`, and its default method, one forward and one backward pass a batch.

For a component c with activation a_c, and the loss L of a response (mean negative log-likelihood, nats per token),

    A_c = − Σ_positions  a_c · ∂L/∂a_c,

the first-order estimate of how much L increases when c is set to zero. Positive: c promotes the response. Heads are read at
`hook_z` and summed over d_head, neurons at `hook_post`. Nothing else is kept, no weight gets a gradient, and the unembedding is
computed only where the metric looks. Products and sums are float32, also of a model in half precision.

Source: Molchanov et al. 2017 (first-order pruning); Nanda 2023 (attribution patching), with zero as the corrupted activation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm.auto import tqdm

from ..data import Batch, Example, Prompt, Row, batched, make_batch, map_batches
from ..errors import HarmcircuitsError
from ..models.protocol import (
    CURE,
    Hook,
    HookedModel,
    check_gradients,
    check_hooks,
    detach_and_require_grad,
    geometry,
    head_hook,
    neuron_hook,
    stack_layers,
)
from .metrics import BoundMetric, Metric, ModelMetric, bind_metric
from .scores import Attribution

METHODS = ("first-order", "integrated", "exact")
"""Each is a module and its function: `method(model, metric: BoundMetric, *, batch_size, progress, **options) → Attribution`."""


def attribute(
    model: HookedModel,
    examples: Sequence[Example] | Sequence[Prompt],
    *,
    method: str = "first-order",
    metric: Metric | ModelMetric | None = None,
    batch_size: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Attribution:
    """Return the attribution A of every head and neuron for each example, in the metric's unit; positive promotes.

    Give text that the model did *not* sample at temperature 1 itself (greedy responses, say): on its own samples every
    first-order score has mean 0 (docs/trust.md).

        A = hc.attribute(model, harmful)
        exact = hc.attribute(model, harmful, method="exact", heads=[(3, 1)])

    Args:
        method: "first-order"; "integrated", the integral of first-order scores from a model without heads and neurons to the
            model (option `steps`); "exact", the loss increase when one component is set to zero (options `heads`, `neurons`).
        metric: `(logits, batch) → [b]`, lower is better; None: the loss of the response, nats per response token. Or a
            `ModelMetric`, such as `recognition_metric`: the loss of the right label; positive then promotes recognition.
        batch_size: rows a pass; None: 8, and for "exact" as many as fit. Scores do not depend on it, beyond rounding. Batches
            are halved where the device has no memory for them.
        options: of the method; see `attribution.integrated.integrated` and `attribution.exact.exact`.

    Raises:
        HarmcircuitsError: no examples, an unknown method, or a score that is not a number (names example and component); not
            even one row fits into the device's memory; an example with an empty response, or a prompt, which has none, where
            the metric reads responses; a layer without `hook_z` or `hook_post`; a state in which scores mean something else
            (dropout, autocast, quantised weights; see `models.protocol`).
    """
    if method not in METHODS:
        raise HarmcircuitsError(f"method {method!r} is unknown: choose one of {', '.join(map(repr, METHODS))}")
    name = method.replace("-", "_")
    scores: Callable[..., Attribution] = getattr(import_module(f".{name}", __package__), name)
    return scores(model, bind_metric(model, examples, metric), batch_size=batch_size, progress=progress, **options)


def first_order(
    model: HookedModel, metric: BoundMetric, *, batch_size: int | None = None, progress: bool = False
) -> Attribution:
    """Return A_c = −Σ_positions a_c · ∂metric/∂a_c of every head and neuron."""
    check_every_layer(model)
    score = lambda batch: score_batch(model, batch, metric.score)
    heads, neurons, tokens = each_row(model, metric.rows, score, batch_size=batch_size, progress=progress, desc="attribute")
    return check_scores(Attribution(torch.stack(heads), torch.stack(neurons), cut(tokens, metric.rows)))


class BatchScores(NamedTuple):
    """A of one batch, and A at each token, summed over all heads (column 0) and all neurons (column 1)."""

    heads: Float[Tensor, "b layer head"]
    neurons: Float[Tensor, "b layer d_mlp"]
    tokens: Float[Tensor, "b pos 2"]


def score_batch(
    model: HookedModel, batch: Batch, score: Callable[[Batch], Float[Tensor, " b"]], *, gate: float = 1.0
) -> BatchScores:
    """Return −∂L/∂m_c at m_c = `gate` > 0, where every activation a_c is replaced by m_c · a_c."""
    with torch.enable_grad(), gated(model, gate) as (z, post):
        total = score(batch).sum()  # rows don't interact: the gradient of the sum holds each one's own
        if not total.requires_grad:
            raise HarmcircuitsError("the metric does not depend on the model: it has no gradient (a constant, or detached?)")
        gradients = torch.autograd.grad(total, z + post, allow_unused=True, materialize_grads=True)
    heads, head_tokens = _summed(z, gradients[: len(z)], gate)
    neurons, neuron_tokens = _summed(post, gradients[len(z) :], gate)
    return BatchScores(heads.cpu(), neurons.cpu(), torch.stack([head_tokens, neuron_tokens], -1).cpu())


def _summed(
    activations: Sequence[Tensor], gradients: Sequence[Tensor], gate: float
) -> tuple[Float[Tensor, "b layer index"], Float[Tensor, "b pos"]]:
    """−a · ∂L/∂(m·a) summed over positions, and over components; layer by layer, to keep no second tensor of that size."""
    components, positions = [], []
    for activation, gradient in zip(activations, gradients, strict=True):
        product = activation.detach().float() * gradient.float()
        each = product.sum(-1) if product.ndim == 4 else product  # a head is all of its d_head
        components.append(each.sum(1))
        positions.append(each.sum(-1))
    return stack_layers(components, 1) / -gate, stack_layers(positions).sum(0) / -gate


@contextmanager
def gated(model: HookedModel, gate: float) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Multiply `hook_z` and `hook_post` of every layer by `gate`, and keep the products; the graph begins at the embedding."""
    z: list[Tensor] = []
    post: list[Tensor] = []

    def multiply(into: list[Tensor], activation: Tensor, hook: object) -> Tensor:
        product = activation if gate == 1.0 else activation * gate
        if product.requires_grad:
            into.append(product)
        return product  # at hook_z a bridge hands us a view: only what we return has a gradient

    layers = range(geometry(model).n_layers)
    hooks: list[Hook] = [("hook_embed", detach_and_require_grad)]
    hooks += [(head_hook(layer), partial(multiply, z)) for layer in layers]
    hooks += [(neuron_hook(layer), partial(multiply, post)) for layer in layers]
    with model.hooks(fwd_hooks=hooks):
        yield z, post


def check_every_layer(model: HookedModel) -> None:
    """Raise HarmcircuitsError where a layer has no `hook_z` or `hook_post`, or gradients do not mean what they should."""
    layers = range(geometry(model).n_layers)
    check_hooks(model, heads=layers, neurons=layers)
    check_gradients(model)


def each_row(
    model: HookedModel,
    rows: Sequence[Row],
    of_batch: Callable[[Batch], tuple[Tensor, ...]],
    *,
    batch_size: int | None,
    progress: bool,
    desc: str,
) -> tuple[tuple[Tensor, ...], ...]:
    """Return each output of `of_batch` as one tensor a row, in the order of `rows`; batches hold rows of similar length."""
    parts: list[tuple[Tensor, ...]] = [()] * len(rows)
    batches = batched(rows, batch_size=8 if batch_size is None else batch_size)
    read = lambda indices: of_batch(make_batch(model, [rows[index] for index in indices]))
    with tqdm(total=len(rows), desc=desc, unit="example", disable=not progress) as bar:
        for indices, outputs in map_batches(batches, read):
            for place, index in enumerate(indices):
                parts[index] = tuple(output[place] for output in outputs)
            bar.update(len(indices))
    return tuple(zip(*parts, strict=True))


def cut(tokens: Sequence[Float[Tensor, "pos 2"]], rows: Sequence[Row]) -> tuple[Float[Tensor, "pos 2"], ...]:
    """Return the scores at tokens without those at padding."""
    return tuple(part[: len(row)] for part, row in zip(tokens, rows, strict=True))


def check_scores(scores: Attribution, *, wanted: dict[str, Bool[Tensor, "layer index"]] | None = None) -> Attribution:
    """Return `scores`. HarmcircuitsError names the first (of those `wanted`) that is not a number."""
    for kind, values in (("head", scores.per_example_heads), ("neuron", scores.per_example_neurons)):
        wrong = ~values.isfinite()
        if wanted is not None:
            wrong &= wanted[f"{kind}s"]
        if bool(wrong.any()):
            example, layer, index = (int(place) for place in wrong.nonzero()[0])
            raise HarmcircuitsError(f"the score of {kind} ({layer}, {index}) on example {example} is not a number. {CURE}")
    return scores
