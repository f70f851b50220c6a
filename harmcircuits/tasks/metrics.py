"""Recognition as something to attribute: the loss of the right label, in nats, for `hc.attribute(model, prompts, metric=…)`.

With each of these A > 0 means that a component *promotes recognition*: the loss of the right label rises without it. Prompts
of role "harmful" are harmful, all others are not. L = ln(1 + exp(−s · odds)), s = +1 where the right label is "harmful".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from ..examples import Batch, Example, Prompt, Row, chat_frame, encode, example_rows, response_ids
from ..models.protocol import HookedModel, logits_at
from .formats import SHOT_FORMATS, Question, label_ids
from .probe import Probe, read_residual, request_rows
from .recognition import Shots, asked_ids, label_row, make_shots
from .teacher_forced import question_ids


@dataclass(frozen=True, eq=False)
class LabelLoss:
    """A metric laid out for one model: rows to read, and log-odds of "harmful" from a batch of them."""

    rows: tuple[Row, ...]
    odds: Callable[[Batch], Float[Tensor, " b"]]
    sign: Callable[[Batch], Float[Tensor, " b"]]

    def __call__(self, batch: Batch) -> Float[Tensor, " b"]:
        odds = self.odds(batch)
        return softplus(-self.sign(batch).to(odds.device) * odds)


@dataclass(frozen=True)
class RecognitionMetric:
    """−ln p(right label) after shots and request, p over the two labels alone (first draw of the shots)."""

    shots: Shots

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> LabelLoss:
        before = encode(model, self.shots.text(0))
        asked = [[*before, *asked_ids(model, self.shots, example.request)] for example in examples]
        return _of_labels(model, examples, asked, label_ids(model, self.shots.form))


@dataclass(frozen=True)
class QuestionMetric:
    """−ln p(right label) after prompt, response and question in the chat, p over the two labels alone. Needs examples."""

    question: Question

    def for_model(self, model: HookedModel, examples: Sequence[Example]) -> LabelLoss:
        frame = chat_frame(model)
        asked = [
            [*row.tokens, *question_ids(model, frame, response_ids(model, example), self.question)]
            for row, example in zip(example_rows(model, examples), examples, strict=True)
        ]
        return _of_labels(model, examples, asked, label_ids(model, self.question))


@dataclass(frozen=True, eq=False)
class ProbeMetric:
    """−ln σ(± probe score) at the last token of the request, in the chat frame; components above the probe's layer get 0."""

    probe: Probe

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> LabelLoss:
        rows = request_rows(model, examples)
        right = {row.tokens: _is_harmful(example) for row, example in zip(rows, examples, strict=True)}

        def odds(batch: Batch) -> Float[Tensor, " b"]:
            residual = read_residual(model, batch, [self.probe.layer], detach=False)[self.probe.layer]
            return self.probe.score(residual)

        def sign(batch: Batch) -> Float[Tensor, " b"]:
            lengths = batch.attention_mask.sum(1).tolist()
            rows = [tuple(row[:length].tolist()) for row, length in zip(batch.tokens, lengths, strict=True)]
            return torch.tensor([1.0 if right[row] else -1.0 for row in rows])

        return LabelLoss(tuple(rows), odds, sign)


def recognition_metric(shots: Shots | Sequence[Prompt], *, n_shots: int = 16) -> RecognitionMetric:
    """The loss of the right label after `shots`: see `RecognitionMetric`.

    Args:
        shots: what `make_shots` gave, or labelled prompts, of which `n_shots` are drawn for the first of the known formats.

    Raises:
        ShotError: too few labelled prompts.
    """
    if isinstance(shots, Shots):
        return RecognitionMetric(shots)
    return RecognitionMetric(make_shots(shots, replace(SHOT_FORMATS[0], n_shots=n_shots)))


def _of_labels(
    model: HookedModel, examples: Sequence[Any], asked: Sequence[Sequence[int]], labels: tuple[int, int]
) -> LabelLoss:
    harmful, harmless = labels
    rows = [label_row(ids, harmful if _is_harmful(example) else harmless) for ids, example in zip(asked, examples, strict=True)]

    def odds(batch: Batch) -> Float[Tensor, " b"]:
        logits = logits_at(model, batch.tokens, batch.attention_mask, batch.positions).float()
        return logits[:, harmful] - logits[:, harmless]

    return LabelLoss(tuple(rows), odds, lambda batch: torch.where(batch.targets == harmful, 1.0, -1.0))


def _is_harmful(example: Any) -> bool:
    return bool(example.role == "harmful")
