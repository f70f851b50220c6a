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

from ..data import Batch, Example, Prompt, Row, chat_frame, example_rows
from ..models.protocol import HookedModel, logits_at
from .asking import question_ids, question_rows, request_ends
from .formats import SHOT_FORMATS, Question, label_ids
from .probe import Probe, place_columns
from .recognition import Shots, asked_ids, label_row, make_shots, shot_ids
from .residual import at_columns, residuals_kept


@dataclass(frozen=True, eq=False)
class LabelLoss:
    """A metric laid out for one model: rows to read, and log-odds of "harmful" from a batch of them.

    Attributes:
        of_logits: the same from the logits of the asked tokens; None where these do not tell (a probe).
    """

    rows: tuple[Row, ...]
    odds: Callable[[Batch], Float[Tensor, " b"]]
    sign: Callable[[Batch], Float[Tensor, " b"]]
    of_logits: Callable[[Float[Tensor, "asked d_vocab"], Batch], Float[Tensor, " b"]] | None = None

    def __call__(self, batch: Batch) -> Float[Tensor, " b"]:
        return _loss(self.odds(batch), self.sign(batch))


@dataclass(frozen=True)
class RecognitionMetric:
    """−ln p(right label) after shots and request, p over the two labels alone (first draw of the shots)."""

    shots: Shots

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> LabelLoss:
        before = shot_ids(model, self.shots, 0)
        asked = [[*before, *asked_ids(model, self.shots, example.request)] for example in examples]
        return label_loss(model, examples, asked, label_ids(model, self.shots.form))


@dataclass(frozen=True)
class QuestionMetric:
    """−ln p(right label) after prompt, response and question in the chat, p over the two labels alone. Needs examples."""

    question: Question

    def for_model(self, model: HookedModel, examples: Sequence[Example]) -> LabelLoss:
        frame = chat_frame(model)
        asked = [
            [*row.tokens, *question_ids(model, frame, example, self.question)]
            for row, example in zip(example_rows(model, examples), examples, strict=True)
        ]
        return label_loss(model, examples, asked, label_ids(model, self.question))


@dataclass(frozen=True, eq=False)
class ProbeMetric:
    """−ln σ(± probe score) where the probe is read, in the chat frame; components above its layer get 0. Needs examples.

    `question` is the one that stands after the response.
    """

    probe: Probe
    question: Question

    def for_model(self, model: HookedModel, examples: Sequence[Example]) -> LabelLoss:
        rows = self._rows(model, examples)
        right = {row.tokens: _is_harmful(example) for row, example in zip(rows, examples, strict=True)}

        def odds(batch: Batch) -> Float[Tensor, " b"]:
            with residuals_kept(model, [self.probe.layer]) as kept:
                logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
            ends = (batch.attention_mask.sum(1) - 2).tolist()
            return self.probe.score(at_columns(kept[self.probe.layer], ends, length=batch.tokens.shape[1]))

        def sign(batch: Batch) -> Float[Tensor, " b"]:
            lengths = batch.attention_mask.sum(1).tolist()
            rows = [tuple(row[:length].tolist()) for row, length in zip(batch.tokens, lengths, strict=True)]
            return torch.tensor([1.0 if right[row] else -1.0 for row in rows])

        return LabelLoss(tuple(rows), odds, sign)

    def _rows(self, model: HookedModel, examples: Sequence[Example]) -> list[Row]:
        """Each ends one token after the place that is read."""
        rows = question_rows(model, examples, self.question)
        ends = place_columns(rows, request_ends(model, examples))[self.probe.place]
        return [Row(row.tokens[: end + 2], end + 1, end + 2) for row, end in zip(rows, ends, strict=True)]


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


def label_loss(
    model: HookedModel, examples: Sequence[Any], asked: Sequence[Sequence[int]], labels: tuple[int, int]
) -> LabelLoss:
    harmful, harmless = labels
    rows = [label_row(ids, harmful if _is_harmful(example) else harmless) for ids, example in zip(asked, examples, strict=True)]

    def of_logits(logits: Float[Tensor, "asked d_vocab"], batch: Batch) -> Float[Tensor, " b"]:
        return _loss(_odds(logits, labels), sign(batch))

    def odds(batch: Batch) -> Float[Tensor, " b"]:
        return _odds(logits_at(model, batch.tokens, batch.attention_mask, batch.positions), labels)

    def sign(batch: Batch) -> Float[Tensor, " b"]:
        return torch.where(batch.targets == harmful, 1.0, -1.0)

    return LabelLoss(tuple(rows), odds, sign, of_logits)


def _odds(logits: Float[Tensor, "b d_vocab"], labels: tuple[int, int]) -> Float[Tensor, " b"]:
    harmful, harmless = labels
    return logits[:, harmful].float() - logits[:, harmless].float()


def _loss(odds: Float[Tensor, " b"], sign: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    return softplus(-sign.to(odds.device) * odds)


def _is_harmful(example: Any) -> bool:
    return bool(example.role == "harmful")
