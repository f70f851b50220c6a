"""Weight scores compared with each other, and a metric that is linear in weights of the last block."""

import plain
import torch

from harmcircuits.attribution.metrics import BoundMetric
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.data import example_rows, make_batch
from harmcircuits.models.forward import logits_at

NAMES = [f"blocks.{layer}.{kind}" for layer in (0, 1) for kind in plain.LLAMA]


def differ(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, relative to the largest score."""
    return float((a - b).abs().max() / b.abs().max())


def equal(one: WeightAttribution, other: WeightAttribution, tolerance: float) -> bool:
    parts = ((one.signed, other.signed), (one.absolute, other.absolute))
    return all(list(a) == list(b) and all(differ(a[name], b[name]) < tolerance for name in b) for a, b in parts)


def identical(one: WeightAttribution, other: WeightAttribution) -> bool:
    parts = ((one.signed, other.signed), (one.absolute, other.absolute))
    return all(torch.equal(a[name], b[name]) for a, b in parts for name in b)


class Readout:
    """A linear metric: a fixed direction of the residual stream after the last block, summed over what is asked."""

    direction = torch.linspace(-1, 1, 32)

    def for_model(self, model, examples):
        def measure(batch):
            residual = []
            keep = lambda activation, hook: residual.append(activation) or activation
            with model.hooks(fwd_hooks=[("blocks.1.hook_resid_post", keep)]):
                logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
            values = (residual[0] @ self.direction).flatten()[batch.positions]
            return torch.zeros(len(batch.tokens)).index_add(0, batch.row_of, values)

        return BoundMetric(example_rows(model, examples), measure)

    def of(self, model, examples):
        measure = self.for_model(model, examples)
        with torch.no_grad():
            return measure.score(make_batch(model, measure.rows)).mean().item()
