"""Integrated attribution: first-order scores along the way from a model without any head and neuron to the model itself.

One gate m multiplies the activation of every head and neuron, recomputed under it: at m = 1 the network is the model, at m = 0
only embeddings, biases and norms are left. With one such gate m_c for each component c,

    A_c = − ∫₀¹ ∂L/∂m_c dm  along m_c = m for all c,      so that      Σ_c A_c = L(m=0) − L(m=1)

per example (L: mean negative log-likelihood of the response, nats per token). Positive: c promotes the response. First-order
scores miss what a saturated component does; these count it.

The integral is a Gauss-Legendre sum of `steps` nodes, each one forward and one backward pass. The completeness error, Σ_c A_c
minus the right-hand side, says how much is missing.

Source: Sundararajan et al. 2017 (integrated gradients), here of one gate on all components; Hao et al. 2021 and Dai et al. 2022
scale attention and neurons of single layers in this way.
"""

import logging
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..errors import HarmcircuitsError
from ..models.protocol import HookedModel
from .first_order import check_every_layer, check_scores, cut, each_row, gated, score_batch
from .metrics import BoundMetric
from .scores import Attribution

log = logging.getLogger(__name__)
TOLERANCE = 0.05
"""Mean completeness error, as a share of the mean loss increase, that is worth a warning."""


def integrated(
    model: HookedModel, metric: BoundMetric, *, steps: int = 8, batch_size: int | None = None, progress: bool = False
) -> Attribution:
    """Return A_c = −∫₀¹ ∂metric/∂m_c dm of every head and neuron, with the completeness error of each example.

    Args:
        steps: nodes of the integral, each as costly as first-order attribution. A planted model needs some 16, the default
            model more than 100 (docs/trust.md); too few give a warning.

    Raises:
        HarmcircuitsError: fewer than one step, or a score that is not a number.
    """
    if steps != int(steps) or steps < 1:
        raise HarmcircuitsError(f"steps must be a whole number of at least 1, not {steps}")
    check_every_layer(model)
    score = lambda batch: _along_the_way(model, batch, metric, steps)
    parts = each_row(model, metric.rows, score, batch_size=batch_size, progress=progress, desc="integrate")
    heads, neurons, tokens, rises = parts
    scores = Attribution(torch.stack(heads), torch.stack(neurons), cut(tokens, metric.rows))
    check_scores(scores)
    rise = torch.stack(rises)
    if not bool(rise.isfinite().all()):
        example = int((~rise.isfinite()).nonzero()[0])
        raise HarmcircuitsError(f"on example {example} the metric, with or without heads and neurons, is not a number")
    error = scores.per_example_heads.sum((1, 2)) + scores.per_example_neurons.sum((1, 2)) - rise
    if error.abs().mean() > TOLERANCE * rise.abs().mean():
        log.warning(
            "integrated: with %d steps the sum of scores misses %.3g of %.3g (mean absolute values): take more steps",
            steps, error.abs().mean(), rise.abs().mean(),
        )  # fmt: skip
    return replace(scores, completeness_error=error)


def _along_the_way(model: HookedModel, batch: Batch, metric: BoundMetric, steps: int) -> tuple[Tensor, ...]:
    """A of heads, neurons and tokens of one batch, and the loss increase without any head and neuron."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    sums: list[Tensor] = []
    for gate, weight in zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist(), strict=True):
        parts = [weight * part for part in score_batch(model, batch, metric.score, gate=gate)]
        sums = [total.add_(part) for total, part in zip(sums, parts, strict=True)] if sums else parts
    return *sums, _gated(model, batch, metric, 0.0) - _gated(model, batch, metric, 1.0)


@torch.no_grad()
def _gated(model: HookedModel, batch: Batch, metric: BoundMetric, gate: float) -> Float[Tensor, " b"]:
    with gated(model, gate):
        return metric.score(batch).float().cpu()
