"""Heads without which the first token of an answer to a harmful request is another one.

    S_h = mean over harmful requests of KL( p(first token) ‖ p(first token | head h at zero) )          nats

Source: Zhou et al., *On the Role of Attention Heads in Large Language Model Safety* (Ships), arXiv 2410.13708. There a head's
queries and keys, or its values, are scaled down; here its output is zero, as in every circuit of this package.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ...attribution.first_order import attribute
from ...attribution.scores import Attribution
from ...data import Batch, Example, example_rows, make_batch
from ...models.forward import logits_at
from ...models.protocol import HookedModel
from .scoring import without_answer

REQUESTS = 8
"""Harmful requests, at most: each costs a pass for every head."""


@torch.no_grad()
def head_kl(model: HookedModel, harmful: Sequence[Example], benign: Sequence[Example]) -> Attribution:
    """Return S of every head on the first harmful requests, without a prefill, in nats; at least 0 up to rounding."""
    examples = without_answer(harmful[:REQUESTS])
    batch = make_batch(model, example_rows(model, examples))
    baseline = logits_at(model, batch.tokens, batch.attention_mask, batch.positions).float().softmax(-1)

    def cross_entropy(logits: Float[Tensor, "b d_vocab"], batch: Batch) -> Float[Tensor, " b"]:
        probabilities = baseline[batch.targets.to(baseline.device)]  # of the examples with these numbers
        return -(probabilities * logits.float().log_softmax(-1)).sum(-1)  # its increase is the divergence

    return attribute(model, examples, method="exact", metric=cross_entropy)
