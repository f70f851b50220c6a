"""Metrics: one number an example, lower is better, whose change is attributed to components.

The default is the loss of the response, in nats per token. A `Metric` is a function of the logits of the response's tokens. A
`ModelMetric` reads something else (a label after a question): it says which rows of tokens the model reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus
from tqdm.auto import tqdm

from ..data import Batch, Example, Prompt, Row, batched, example_rows, make_batch, map_batches, response_loss
from ..errors import HarmcircuitsError
from ..models.forward import logits_at
from ..models.protocol import CURE, HookedModel, check_gradients, check_hooks, geometry
from .scores import Attribution

Metric = Callable[[Float[Tensor, "asked d_vocab"], Batch], Float[Tensor, " b"]]
"""`metric(logits, batch) → [b]`: `logits` predict the asked tokens (`batch.targets`), row after row (`batch.row_of`)."""


@dataclass(frozen=True, eq=False)
class BoundMetric:
    """A metric of one model on given examples.

    Attributes:
        rows: the tokens that the model reads, one row an example.
        score: the metric of each row of a batch; runs the model once.
        of_logits: the same from the logits of the asked tokens; None where it needs more of the model than these.
    """

    rows: Sequence[Row]
    score: Callable[[Batch], Float[Tensor, " b"]]
    of_logits: Metric | None = None


@runtime_checkable
class ModelMetric(Protocol):
    """A metric that reads something else than the response."""

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> BoundMetric: ...


def bind_metric(model: HookedModel, examples: Sequence[Any], metric: Metric | ModelMetric | None) -> BoundMetric:
    """Return `metric` (None: the loss of the response) of `model` on `examples`.

    Raises:
        HarmcircuitsError: no examples, or something else than examples; in a pass: a metric that gives not one value a row; an
            example with an empty response, or a prompt, which has none, where the metric reads responses.
    """
    if isinstance(examples, Example | Prompt | str) or not all(isinstance(each, Example | Prompt) for each in examples):
        raise HarmcircuitsError(
            f"examples are a list of hc.Example (see hc.elicit), not {type(examples).__name__} of other things"
        )
    if not examples:
        raise HarmcircuitsError("no examples: there is nothing to attribute. Elicit some first (hc.elicit).")
    if isinstance(metric, ModelMetric):
        bound = metric.for_model(model, examples)
        by_row = lambda batch: _by_row(bound.score(batch), batch)
        return BoundMetric(bound.rows, by_row, bound.of_logits and _checked(bound.of_logits))
    return of_logits_metric(model, example_rows(model, examples), _checked(metric or response_loss))


def of_logits_metric(model: HookedModel, rows: Sequence[Row], metric: Metric) -> BoundMetric:
    """Return a metric of the logits of the asked tokens of `rows`."""
    read = lambda batch: logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
    return BoundMetric(rows, lambda batch: metric(read(batch), batch), metric)


def label_loss(
    model: HookedModel, examples: Sequence[Any], questions: Sequence[Sequence[int]], labels: tuple[int, int]
) -> BoundMetric:
    """Return −ln p(right label) after the tokens `questions` of each example, p over the two labels alone, in nats.

    The right label is the first of `labels` for examples of role "harmful", the second for all others. With
    odds = ln p(harmful label) − ln p(harmless label) that is L = ln(1 + exp(∓odds)).
    """
    harmful, harmless = labels
    right = [harmful if example.role == "harmful" else harmless for example in examples]
    rows = [Row((*tokens, label), len(tokens), len(tokens) + 1) for tokens, label in zip(questions, right, strict=True)]

    def loss(logits: Float[Tensor, "asked d_vocab"], batch: Batch) -> Float[Tensor, " b"]:
        odds = logits[:, harmful].float() - logits[:, harmless].float()
        sign = torch.where(batch.targets == harmful, 1.0, -1.0).to(odds.device)
        return softplus(-sign * odds)

    return of_logits_metric(model, rows, loss)


def _checked(metric: Metric) -> Metric:
    return lambda logits, batch: _by_row(metric(logits, batch), batch)


def _by_row(values: Float[Tensor, " b"], batch: Batch) -> Float[Tensor, " b"]:
    """A mean over the batch would make scores depend on the batch."""
    rows = len(batch.tokens)
    if not isinstance(values, Tensor) or values.shape != (rows,):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise HarmcircuitsError(
            f"the metric must give one value for each of the batch's {rows} rows, shape ({rows},), and gave {shape}: sum or "
            "average over the tokens of a row alone (batch.mean_over_rows)."
        )
    return values


def attribute_rows(
    model: HookedModel,
    metric: BoundMetric,
    read: Callable[[Batch], list[Tensor]],
    batch_size: int | None,
    progress: bool,
) -> Attribution:
    """Return the scores that `read` gives of each batch: A of heads [b layer head] and of neurons [b layer d_mlp].

    Raises HarmcircuitsError: see `check_every_layer`; a score that is not a number.
    """
    check_every_layer(model)
    rows, parts = metric.rows, dict[int, list[Tensor]]()
    read_rows = lambda indices: read(make_batch(model, [rows[index] for index in indices]))
    batches = batched(rows, batch_size=8 if batch_size is None else batch_size)
    with tqdm(total=len(rows), desc="attribute", unit="example", disable=not progress) as bar:
        for indices, outputs in map_batches(batches, read_rows):
            parts |= {index: [output[place] for output in outputs] for place, index in enumerate(indices)}
            bar.update(len(indices))
    heads, neurons = zip(*(parts[index] for index in range(len(rows))), strict=True)
    scores = Attribution(torch.stack(heads), torch.stack(neurons))
    for kind, values in (("head", scores.per_example_heads), ("neuron", scores.per_example_neurons)):
        for example, layer, index in (~values.isfinite()).nonzero().tolist():
            raise HarmcircuitsError(f"the score of {kind} ({layer}, {index}) of example {example} is not a number. {CURE}")
    return scores


def check_every_layer(model: HookedModel) -> None:
    """Raise HarmcircuitsError where a layer has no `hook_z` or `hook_post`, or gradients do not mean what they should."""
    layers = range(geometry(model).n_layers)
    check_hooks(model, heads=layers, neurons=layers)
    check_gradients(model)
