"""Exact attribution: the rise of the loss itself when one component is switched off, many components at once.

For a component c of one example, and the loss L of its response (mean negative log-likelihood, nats per token),

    A_c = L(a_c = 0) − L,

c's activation being zero at every position. Positive: c promotes the response. No gradient and no estimate: what first-order
scores are checked against. It costs a forward pass for each component and example, of which much is shared
(`ablation/together.py`).
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..ablation.together import rises_together
from ..components import Circuit, CircuitError, Component
from ..data import Example, Prompt, Row
from ..models.gradients import check_repeatable
from ..models.protocol import HookedModel, geometry
from .passes import Metric, ModelMetric, finite, laid_out
from .scores import Attribution


@torch.no_grad()
def exact_attribution(
    model: HookedModel,
    examples: Sequence[Example] | Sequence[Prompt],
    *,
    heads: Sequence[Component] | None = None,
    neurons: Sequence[Component] | None = None,
    metric: Metric | ModelMetric | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Attribution:
    """A_c = metric(c set to zero) − metric of each named component for each example, in the metric's unit.

    With the default metric, the loss of the response, that is nats per response token; positive promotes the response.
    Components that were not asked for are NaN (`Attribution.measured`), and there are no `tokens`: an ablation acts at all of
    them at once. Redundant components have small scores each; scores of several need not add up.

    Args:
        heads: (layer, head) of the heads to measure; None: all of them, unless `neurons` are given.
        neurons: (layer, neuron) of the neurons to measure; None: none.
        metric: see `attribute`.
        batch_size: ablated rows a pass; None: as many as fit into half of a GPU's free memory, or into 1 GiB on a CPU, which
            gains nothing from more (see `ablation/memory.py`). Scores do not depend on it (beyond rounding).

    Raises:
        AttributionError: no examples, or a score that is not a number (names example and component).
        CircuitError: no component asked for, or one that the model does not have.
        ExampleError: an example with an empty response, or a prompt, which has none yet, where the metric reads responses.
        ModelError: a layer without `hook_z` or `hook_post`; active dropout, or autocast.
        ValueError: a batch size below 1.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    check_repeatable(model)
    asked = _asked(model, heads, neurons)
    reading = laid_out(model, examples, metric)
    singles = list(_singles(asked))
    with tqdm(total=len(reading.rows) * len(singles), desc="exact", unit="ablation", disable=not progress) as bar:
        score, of_logits = reading.score, reading.of_logits
        _, rises = rises_together(
            model, reading.rows, singles, score=score, of_logits=of_logits, batch_size=batch_size, advance=bar.update
        )
    return _scattered(model, singles, rises, reading.rows)


def _asked(model: HookedModel, heads: Sequence[Component] | None, neurons: Sequence[Component] | None) -> Circuit:
    if heads is None and neurons is None:
        shape = geometry(model)
        heads = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    asked = Circuit(heads=heads or (), neurons=neurons or ())
    if not len(asked):
        raise CircuitError("no component asked for: name some heads= or neurons=, or neither for all heads")
    asked.check(model)
    return asked


def _singles(circuit: Circuit) -> Iterator[Circuit]:
    yield from (Circuit(heads=[head]) for head in circuit.heads)
    yield from (Circuit(neurons=[neuron]) for neuron in circuit.neurons)


def _scattered(
    model: HookedModel, singles: Sequence[Circuit], rises: Float[Tensor, "example component"], rows: Sequence[Row]
) -> Attribution:
    shape = geometry(model)
    sizes = {"heads": shape.n_heads, "neurons": shape.d_mlp}
    scores = {kind: torch.full((len(rises), shape.n_layers, size), torch.nan) for kind, size in sizes.items()}
    asked = {kind: torch.zeros(shape.n_layers, size, dtype=torch.bool) for kind, size in sizes.items()}
    for circuit, rise in zip(singles, rises.T, strict=True):
        for kind, items in (("heads", circuit.heads), ("neurons", circuit.neurons)):
            for layer, index in items:
                scores[kind][:, layer, index] = rise
                asked[kind][layer, index] = True
    return finite(Attribution(scores["heads"], scores["neurons"]), model, rows, asked=asked)
