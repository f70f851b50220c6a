"""Per-head and per-neuron attribution, from one forward and one backward pass a batch.

For a component c with activation a_c, and the loss L of a response (mean negative log-likelihood, nats per token),

    A_c = − sum over positions of  a_c · ∂L/∂a_c,

the first-order estimate of how much L rises when c is set to zero. Positive: c promotes the response.
Heads are read at `hook_z`, neurons at `hook_post`; nothing else is kept, no weight gets a gradient, and the unembedding is
computed only where the loss looks (`passes.py`).

Source: Molchanov et al. 2017 (first-order pruning); Nanda 2023 (attribution patching), with zero as the corrupted activation.
"""

from collections.abc import Sequence

import torch

from ..data import Example, Prompt, row_length
from ..models.protocol import HookedModel
from .passes import Metric, check_every_layer, each_row, finite, laid_out, score_batch
from .passes import ModelMetric as ModelMetric
from .scores import Attribution


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

    Give text that the model did *not* sample at temperature 1 itself (greedy responses, say): on its own samples the gradient
    of ln p has mean 0, and so has A of every component (docs/trust.md).

    Args:
        metric: `(logits, batch) → [b]`, lower is better; None is the loss of the response. One with a method
            `for_model(model)` lays its examples out itself (`recognition_metric`).
        batch_size: rows a pass; scores do not depend on it (beyond rounding). Fewer where the device has no memory for them.

    Raises:
        AttributionError: no examples, or a score that is not a number (names example and layer).
        BatchError: not even one row fits into the device's memory.
        ExampleError: an example with an empty response, or a prompt, which has none yet, where the metric reads responses.
        ModelError: a layer without `hook_z` or `hook_post`; a state in which gradients mean something else (dropout, autocast,
            quantised weights; see `models.gradients`). A model in half precision is taken: products and sums are float32.
    """
    check_every_layer(model)
    reading = laid_out(model, examples, metric)

    of_batch = lambda batch: score_batch(model, batch, reading.score)
    parts = each_row(model, reading.rows, of_batch, batch_size=batch_size, progress=progress, desc="attribute")
    heads, neurons, tokens = zip(*parts, strict=True)
    own = tuple(part[: row_length(row)] for part, row in zip(tokens, reading.rows, strict=True))
    return finite(Attribution(torch.stack(heads), torch.stack(neurons), own), model, reading.rows)
