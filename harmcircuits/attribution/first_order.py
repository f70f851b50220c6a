"""Attribution of heads and neurons: the verb `attribute`, and its gradient methods, "first-order" and "integrated".

For a component c with activation a_c, and the loss L of a response (mean negative log-likelihood, nats per token),

    first-order   A_c = − Σ_positions  a_c · ∂L/∂a_c,
    integrated    A_c = − ∫₀¹ ∂L/∂m_c dm  along m_c = m for all c,   so that   Σ_c A_c = L(m=0) − L(m=1)  per example.

First-order is an estimate of how much L increases when c is set to zero: one forward and one backward pass a batch. Positive: c
promotes the response. Heads are read at `hook_z` and summed over d_head, neurons at `hook_post`. No weight gets a gradient, and
the unembedding is computed only where the metric looks. Products and sums are float32, also of a model in half precision.

Integrated goes from a model without any head and neuron to the model itself. A gate m_c multiplies the activation of each,
recomputed under it: at m = 1 the network is the model, at m = 0 only embeddings, biases and norms are left. It counts what a
saturated component does, which first-order scores miss. The integral is a Gauss-Legendre sum of `steps` nodes, each a forward
and a backward pass; too few of them give a warning that says how much is missing.

Sources: Molchanov et al. 2017 (first-order pruning); Nanda 2023 (attribution patching), with zero as the corrupted activation;
Sundararajan et al. 2017 (integrated gradients), here of one gate on all components, as Hao et al. 2021 and Dai et al. 2022 have
it for attention and neurons of single layers.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch, Example, Prompt
from ..errors import HarmcircuitsError
from ..models.protocol import (
    Hook,
    HookedModel,
    detach_and_require_grad,
    geometry,
    head_hook,
    neuron_hook,
)
from .exact import exact
from .metrics import BoundMetric, Metric, ModelMetric, attribute_rows, bind_metric
from .scores import Attribution

log = logging.getLogger(__name__)
TOLERANCE = 0.05
"""Mean completeness error, as a share of the mean loss increase, that is worth a warning."""


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
        options: of the method; see `attribution.first_order.integrated` and `attribution.exact.exact`.

    Raises:
        HarmcircuitsError: no examples, an unknown method, or a score that is not a number (names example and component); not
            even one row fits into the device's memory; an example with an empty response, or a prompt, which has none, where
            the metric reads responses; a layer without `hook_z` or `hook_post`; a state in which scores mean something else
            (dropout, autocast, quantised weights; see `models.protocol`).
    """
    if method not in METHODS:
        raise HarmcircuitsError(f"method {method!r} is unknown: choose one of {', '.join(map(repr, METHODS))}")
    bound = bind_metric(model, examples, metric)
    return METHODS[method](model, bound, batch_size=batch_size, progress=progress, **options)


def first_order(
    model: HookedModel, metric: BoundMetric, *, batch_size: int | None = None, progress: bool = False
) -> Attribution:
    """Return A_c = −Σ_positions a_c · ∂metric/∂a_c of every head and neuron."""
    return attribute_rows(model, metric, lambda batch: _scores_at(1.0, model, metric, batch), batch_size, progress)


def integrated(
    model: HookedModel, metric: BoundMetric, *, steps: int = 8, batch_size: int | None = None, progress: bool = False
) -> Attribution:
    """Return A_c = −∫₀¹ ∂metric/∂m_c dm of every head and neuron; log how far their sum is from what it should be.

    Args:
        steps: nodes of the integral, each as costly as first-order attribution. A planted model needs some 16, the default
            model more than 100 (docs/trust.md); too few give a warning.

    Raises:
        HarmcircuitsError: fewer than one step, or a score that is not a number.
    """
    if steps != int(steps) or steps < 1:
        raise HarmcircuitsError(f"steps must be a whole number of at least 1, not {steps}")
    pairs: list[Float[Tensor, "b 2"]] = []
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    quadrature = [*zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist(), strict=True)]

    def read(batch: Batch) -> list[Tensor]:
        sums: list[Tensor] = []
        for gate, weight in quadrature:
            parts = [weight * part for part in _scores_at(gate, model, metric, batch)]
            sums = [total.add_(part) for total, part in zip(sums, parts, strict=True)] if sums else parts
        increase = _metric_at(0.0, model, metric, batch) - _metric_at(1.0, model, metric, batch)
        pairs.append(torch.stack([increase, sums[0].sum((1, 2)) + sums[1].sum((1, 2)) - increase], -1))
        return sums

    scores = attribute_rows(model, metric, read, batch_size, progress)
    total, error = torch.cat(pairs).abs().mean(0)
    few = not error <= TOLERANCE * total  # also where one is no number
    cure = ": take more steps" if few else ""
    message = "integrated: with %d steps the sum of scores misses %.3g of %.3g (mean absolute values)%s"
    log.log(logging.WARNING if few else logging.INFO, message, steps, error, total, cure)
    return scores


METHODS: dict[str, Callable[..., Attribution]] = {"first-order": first_order, "integrated": integrated, "exact": exact}
"""Each is `method(model, metric: BoundMetric, *, batch_size, progress, **options) → Attribution`."""


def _scores_at(gate: float, model: HookedModel, metric: BoundMetric, batch: Batch) -> list[Tensor]:
    """−∂L/∂m_c at m_c = `gate` > 0 of heads [b layer head] and neurons [b layer d_mlp]."""
    with torch.enable_grad(), gated(model, gate) as (z, post):
        total = metric.score(batch).sum()  # rows don't interact: each has its gradient in that of the sum
        if not total.requires_grad:
            raise HarmcircuitsError("the metric does not depend on the model: it has no gradient (a constant, or detached?)")
        gradients = torch.autograd.grad(total, z + post, allow_unused=True, materialize_grads=True)
    return [_summed(z, gradients[: len(z)]) / -gate, _summed(post, gradients[len(z) :]) / -gate]


def _summed(activations: Sequence[Tensor], gradients: Sequence[Tensor]) -> Float[Tensor, "b layer index"]:
    """a · ∂L/∂(m·a) summed over positions; layer by layer, to keep no second tensor of that size."""
    components = []
    for activation, gradient in zip(activations, gradients, strict=True):
        product = activation.detach().float() * gradient.float()
        each = product.sum(-1) if product.ndim == 4 else product  # a head is all of its d_head
        components.append(each.sum(1).cpu())
    return torch.stack(components, 1)


@torch.no_grad()
def _metric_at(gate: float, model: HookedModel, metric: BoundMetric, batch: Batch) -> Float[Tensor, " b"]:
    with gated(model, gate):
        return metric.score(batch).float().cpu()


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
