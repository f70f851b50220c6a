"""Recognition as something to attribute: the loss of the right label, in nats, for `hc.attribute(model, prompts, metric=…)`.

With each of these A > 0 means that a component *promotes recognition*: the loss of the right label rises without it. Prompts
of role "harmful" are harmful, all others are not. L = ln(1 + exp(−s · odds)), s = +1 where the right label is "harmful".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from ..attribution.metrics import BoundMetric, label_loss
from ..data import Batch, Example, Prompt, Row, chat_frame, example_rows
from ..models.protocol import HookedModel, logits_at
from .asking import question_ids, question_rows, request_ends
from .formats import SHOT_FORMATS, Question, label_ids
from .probe import Probe, place_columns
from .recognition import Shots, asked_ids, make_shots, shot_ids
from .residual import at_columns, residuals_kept


@dataclass(frozen=True)
class RecognitionMetric:
    """−ln p(right label) after shots and request, p over the two labels alone (first draw of the shots)."""

    shots: Shots

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> BoundMetric:
        before = shot_ids(model, self.shots, 0)
        asked = [[*before, *asked_ids(model, self.shots, example.request)] for example in examples]
        return label_loss(model, examples, asked, label_ids(model, self.shots.form))


@dataclass(frozen=True)
class QuestionMetric:
    """−ln p(right label) after prompt, response and question in the chat, p over the two labels alone. Needs examples."""

    question: Question

    def for_model(self, model: HookedModel, examples: Sequence[Example]) -> BoundMetric:
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

    def for_model(self, model: HookedModel, examples: Sequence[Example]) -> BoundMetric:
        rows = self._rows(model, examples)
        right = {row.tokens: example.role == "harmful" for row, example in zip(rows, examples, strict=True)}

        def loss(batch: Batch) -> Float[Tensor, " b"]:
            with residuals_kept(model, [self.probe.layer]) as kept:
                logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
            lengths = batch.attention_mask.sum(1).tolist()
            ends = [length - 2 for length in lengths]
            odds = self.probe.score(at_columns(kept[self.probe.layer], ends, length=batch.tokens.shape[1]))
            own = [tuple(row[:length].tolist()) for row, length in zip(batch.tokens, lengths, strict=True)]
            return softplus(-torch.tensor([1.0 if right[row] else -1.0 for row in own]).to(odds.device) * odds)

        return BoundMetric(tuple(rows), loss)

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
