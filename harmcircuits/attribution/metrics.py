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

from ..data import Batch, Example, Prompt, Row, example_rows, response_loss
from ..errors import HarmcircuitsError
from ..models.forward import logits_at
from ..models.protocol import HookedModel

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
    model: HookedModel, examples: Sequence[Any], asked: Sequence[Sequence[int]], labels: tuple[int, int]
) -> BoundMetric:
    """Return −ln p(right label) after the tokens `asked` of each example, p over the two labels alone, in nats.

    The right label is the first of `labels` for examples of role "harmful", the second for all others. With
    odds = ln p(harmful label) − ln p(harmless label) that is L = ln(1 + exp(∓odds)).
    """
    harmful, harmless = labels
    right = [harmful if example.role == "harmful" else harmless for example in examples]
    rows = [Row((*own, label), len(own), len(own) + 1) for own, label in zip(asked, right, strict=True)]

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
