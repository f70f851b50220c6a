"""Exact attribution: the rise of the loss itself when one component is switched off, many components at once.

For a component c of one example, and the loss L of its response (mean negative log-likelihood, nats per token),

    A_c = L(a_c = 0) − L,

c's activation being zero at every position. Positive: c promotes the response. No gradient and no estimate: what first-order
scores are checked against. It costs a forward pass for each component and example, of which much is shared:

- the components are rows of one batch, each with its own mask (`ablation/rows.py`);
- the layers below a component are the intact model: they are computed once, and its row joins at its layer;
- what all examples begin with (a template's system prompt, shots) is computed once a component, for all examples;
- the unembedding is computed only where the loss looks.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..ablation.rows import grown_hooks, lowest_layer, row_hooks, rows_broadcast
from ..components import Circuit, CircuitError, Component
from ..examples import Example, Prompt, Row, make_batch, row_length
from ..models.past import WORTH_SHARING, read_past, shared_length, takes_more_rows
from ..models.protocol import HookedModel, geometry
from ..models.unembedding import logits_by_row, unembeds_alone
from .memory import rows_that_fit
from .passes import Metric, ModelMetric, Reading, finite, laid_out
from .scores import Attribution

FEW = 8
"""Components; fewer are not worth a pass for each example, and share passes with those of other examples instead."""


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
            gains nothing from more (see `attribution/memory.py`). Scores do not depend on it (beyond rounding).

    Raises:
        AttributionError: no examples, or a score that is not a number (names example and component).
        CircuitError: no component asked for, or one that the model does not have.
        ExampleError: an example with an empty response, or a prompt, which has none yet, where the metric reads responses.
        ModelError: a layer without `hook_z` or `hook_post`.
        ValueError: a batch size below 1.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    asked = _asked(model, heads, neurons)
    reading = laid_out(model, examples, metric)
    singles = sorted(_singles(asked), key=lowest_layer)
    with tqdm(total=len(reading.rows) * len(singles), desc="exact", unit="ablation", disable=not progress) as bar:
        rises = _rises(model, reading, singles, batch_size, bar)
    return _scattered(model, singles, rises)


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


def _rises(
    model: HookedModel, reading: Reading, singles: Sequence[Circuit], batch_size: int | None, bar: Any
) -> Float[Tensor, "example component"]:
    of_logits = reading.of_logits
    if of_logits is None or len(singles) < FEW or not rows_broadcast(model, reading.rows[0].tokens):
        return _each_in_full(model, reading, singles, batch_size, bar)
    read = partial(logits_by_row, model, separately=unembeds_alone(model, reading.rows[0].tokens))
    rises = torch.empty(len(reading.rows), len(singles))
    for fit, examples in _alike(model, reading.rows, batch_size):
        rows = [reading.rows[at] for at in examples]
        for start in range(0, len(singles), fit):
            window = slice(start, start + fit)
            rises[examples, window] = _joining(model, rows, singles[window], read, of_logits, bar)
    return rises


def _joining(
    model: HookedModel,
    rows: Sequence[Row],
    window: Sequence[Circuit],
    read: Callable[..., Iterator[Float[Tensor, "asked d_vocab"]]],
    of_logits: Metric,
    bar: Any,
) -> Float[Tensor, "example component"]:
    """One pass an example: the intact row comes in, and the ablated ones join it at their layers."""
    shared = _shared(model, rows)
    rises = []
    with model.hooks(fwd_hooks=grown_hooks(model, window)):
        past = read_past(model, torch.tensor(rows[0].tokens[:shared])) if shared else None
        for row in rows:
            one = make_batch(model, [row])
            length = row_length(row) - shared
            positions = one.positions - shared + length * torch.arange(1 + len(window))[:, None]
            given = one.tokens[:, shared:], one.attention_mask[:, shared:], positions
            own = None if past is None else past.repeated(1)  # a pass lengthens it
            losses = torch.cat([of_logits(logits, one).float().cpu() for logits in read(*given, past=own)])
            rises.append(losses[1:] - losses[0])
            bar.update(len(window))
    return torch.stack(rises)


def _shared(model: HookedModel, rows: Sequence[Row]) -> int:
    """How many tokens all rows begin with, where it pays to read them first."""
    if len(rows) == 1 or not takes_more_rows(model):
        return 0
    batch = make_batch(model, rows)
    shared = shared_length(batch.tokens, batch.attention_mask, batch.positions)
    return shared if shared >= WORTH_SHARING else 0


def _each_in_full(
    model: HookedModel, reading: Reading, singles: Sequence[Circuit], batch_size: int | None, bar: Any
) -> Float[Tensor, "example component"]:
    """Rows of several examples and components in one pass, each through all layers."""
    circuits = [None, *singles]
    losses = torch.empty(len(reading.rows), len(circuits))
    jobs = [(example, at) for example in range(len(reading.rows)) for at in range(len(circuits))]
    jobs.sort(key=lambda job: row_length(reading.rows[job[0]]), reverse=True)
    while jobs:
        size = batch_size or rows_that_fit(model, reading.rows[jobs[0][0]])
        taken, jobs = jobs[:size], jobs[size:]
        examples, columns = map(list, zip(*taken, strict=True))
        with model.hooks(fwd_hooks=row_hooks(model, [circuits[at] for at in columns])):
            losses[examples, columns] = reading.score(make_batch(model, [reading.rows[at] for at in examples])).float().cpu()
        bar.update(sum(at > 0 for at in columns))
    return losses[:, 1:] - losses[:, :1]


def _alike(model: HookedModel, rows: Sequence[Row], batch_size: int | None) -> Iterator[tuple[int, list[int]]]:
    """Examples by how many ablated rows fit into a pass, in powers of two: a long one does not hold up short ones."""
    spare = lambda row: max(1, rows_that_fit(model, row) - 1)  # the intact row takes a place too
    fit = [batch_size or 1 << (spare(row).bit_length() - 1) for row in rows]
    for size in sorted(set(fit)):
        yield size, [at for at, own in enumerate(fit) if own == size]


def _scattered(model: HookedModel, singles: Sequence[Circuit], rises: Float[Tensor, "example component"]) -> Attribution:
    shape = geometry(model)
    sizes = {"heads": shape.n_heads, "neurons": shape.d_mlp}
    scores = {kind: torch.full((len(rises), shape.n_layers, size), torch.nan) for kind, size in sizes.items()}
    asked = {kind: torch.zeros(shape.n_layers, size, dtype=torch.bool) for kind, size in sizes.items()}
    for circuit, rise in zip(singles, rises.T, strict=True):
        for kind, items in (("heads", circuit.heads), ("neurons", circuit.neurons)):
            for layer, index in items:
                scores[kind][:, layer, index] = rise
                asked[kind][layer, index] = True
    return finite(Attribution(scores["heads"], scores["neurons"]), asked=asked)
