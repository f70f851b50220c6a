"""Integrated attribution: first-order scores along the way from a model without any head and neuron to the model itself.

One gate m multiplies the activation of every head and neuron, recomputed under it: at m = 1 the network is the model, at m = 0
only embeddings, biases and norms are left. With one such gate m_c for each component c,

    A_c = − ∫₀¹ ∂L/∂m_c dm  along m_c = m for all c,      so that      Σ_c A_c = L(m=0) − L(m=1)

per example (L: mean negative log-likelihood of the response, nats per token). Positive: c promotes the response. First-order
scores miss what a saturated component does; these count it, and every nat of the rise is given to somebody.

The integral is a sum over `steps` nodes of Gauss-Legendre's rule, each one forward and one backward pass; how much is missing
of the equation is the completeness error, which two more forward passes measure.

Source: Sundararajan et al. 2017 (integrated gradients), here of one gate on all components; Hao et al. 2021 and Dai et al. 2022
scale attention and neurons of single layers in this way.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch, Example, Prompt, row_length
from ..models.protocol import HookedModel
from .passes import Metric, ModelMetric, Reading, check_every_layer, each_row, finite, gated, laid_out, score_batch
from .scores import Attribution, AttributionError

log = logging.getLogger(__name__)
_ENOUGH = 0.05
"""Completeness error, of the rise: more is worth a warning."""


class _Part(NamedTuple):
    heads: Float[Tensor, "b layer head"]
    neurons: Float[Tensor, "b layer d_mlp"]
    tokens: Float[Tensor, "b pos 2"]
    rise: Float[Tensor, " b"]


def integrated_attribution(
    model: HookedModel,
    examples: Sequence[Example] | Sequence[Prompt],
    *,
    steps: int = 8,
    metric: Metric | ModelMetric | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Attribution:
    """A_c = −∫₀¹ ∂metric/∂m_c dm of every head and neuron for each example, in the metric's unit.

    With the default metric, the loss of the response, that is nats per response token; positive promotes the response. Scores
    of an example add up to the metric without any head and neuron minus the metric of the model, but for
    `Attribution.completeness_error`.

    Args:
        steps: nodes of the integral; each costs as much as `attribute`, and two forward passes more. Whether they suffice says
            the completeness error, and a warning where it is more than a twentieth of the rise: a planted model needs some 16,
            the default model more than 100 (docs/trust.md).
        metric: see `attribute`.
        batch_size: see `attribute`.

    Raises:
        AttributionError: no examples, or a score that is not a number (names example and layer).
        ExampleError: an example with an empty response, or a prompt, which has none yet, where the metric reads responses.
        ModelError: as `attribute`.
        ValueError: fewer than one step.
    """
    if steps != int(steps) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps}")
    check_every_layer(model)
    reading = laid_out(model, examples, metric)

    of_batch = lambda batch: _along_the_way(model, batch, reading, steps)
    parts = each_row(model, reading.rows, of_batch, batch_size=batch_size, progress=progress, desc="integrate")
    heads, neurons, tokens, rises = zip(*parts, strict=True)
    own = tuple(part[: row_length(row)] for part, row in zip(tokens, reading.rows, strict=True))
    scores = finite(Attribution(torch.stack(heads), torch.stack(neurons), own), model, reading.rows)
    _check_rises(torch.stack(rises))
    total = scores.per_example_heads.sum((1, 2)) + scores.per_example_neurons.sum((1, 2))
    error, rise = total - torch.stack(rises), torch.stack(rises)
    if error.abs().mean() > _ENOUGH * rise.abs().mean():
        log.warning(
            "integrated: with %d steps the sum of scores misses %.3g of %.3g (mean absolute values over examples), so that "
            "they say little: take more steps",
            steps,
            error.abs().mean(),
            rise.abs().mean(),
        )
    return replace(scores, completeness_error=error)


def _check_rises(rises: Float[Tensor, " example"]) -> None:
    wrong = ~rises.isfinite()
    if bool(wrong.any()):
        raise AttributionError(
            f"on example {int(wrong.nonzero()[0])} the metric of the model, or that without any head and neuron, is not a "
            "number: by how much the scores miss their sum cannot be said. A hook of yours, or the metric, may divide by zero."
        )


def _along_the_way(model: HookedModel, batch: Batch, reading: Reading, steps: int) -> _Part:
    sums: list[Tensor] = []
    for gate, weight in zip(*_nodes(steps), strict=True):
        scores = score_batch(model, batch, reading.score, gate=gate)
        parts = [weight * part for part in scores]
        sums = parts if not sums else [total.add_(part) for total, part in zip(sums, parts, strict=True)]
    heads, neurons, tokens = sums
    return _Part(heads, neurons, tokens, _gated(model, batch, reading, 0.0) - _gated(model, batch, reading, 1.0))


def _nodes(steps: int) -> tuple[list[float], list[float]]:
    """Nodes within (0, 1) and weights of Gauss-Legendre's rule; of one step, the midpoint."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()


@torch.no_grad()
def _gated(model: HookedModel, batch: Batch, reading: Reading, gate: float) -> Float[Tensor, " b"]:
    """The metric under the gate."""
    with gated(model, gate):
        return reading.score(batch).float().cpu()
