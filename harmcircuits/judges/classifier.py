"""Any transformers sequence classifier as a judge: toxicity, refusals, moderation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..examples import batched
from ..halves import each_batch
from .loading import JudgeModel, cut, without_control_tokens
from .protocol import JudgeError, Judgements, Property, check_pairs, check_property


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassifierJudge:
    """A text has the property where the classifier's probability of the labels that mean it is at least `threshold`.

    The score is Σ softmax over `positive`; of labels that do not exclude each other (`problem_type` of the model) the largest
    sigmoid. A long response loses its end, never its request, and `details["cut"]` says so.

    Attributes:
        model: a `JudgeModel` with `classifier=True`.
        measures: the property that the labels mean.
        positive: their names, as the model's `id2label` has them (capitals do not matter).
        with_request: the classifier reads request and response as a pair; False: the response alone.
        threshold: of the score, 0 … 1.
        batch_size: texts in one forward pass.
        max_length: tokens of a text, with what the tokenizer adds; by default as many as the model takes.
    """

    model: JudgeModel
    measures: Property
    positive: tuple[str, ...]
    with_request: bool = False
    threshold: float = 0.5
    batch_size: int = 16
    max_length: int | None = None

    def __post_init__(self) -> None:
        check_property(self.measures)
        if not self.model.classifier:
            raise JudgeError("a ClassifierJudge needs a sequence classifier: JudgeModel(..., classifier=True)")

    @property
    def name(self) -> str:
        what = "request and response" if self.with_request else "response"
        return f"classifier {self.model.label} ({', '.join(self.positive)} of the {what})"

    def read(self, requests: Sequence[str], responses: Sequence[str]) -> Judgements:
        """Scores 0 … 1; a text whose request alone fills the classifier has none, and the reason.

        Raises:
            JudgeError: the model cannot be loaded, gives a number instead of labels, or has no label of a name in `positive`.
        """
        check_pairs(requests, responses)
        positive, tokenizer = self._positive_ids(), self.model.tokenizer
        limit = min(self.max_length or self.model.context, self.model.context)
        requests, responses = ([without_control_tokens(tokenizer, text) for text in texts] for texts in (requests, responses))
        starts = list(requests) if self.with_request else [None] * len(responses)
        rooms = [limit - len(_encoded(tokenizer, start, "")["input_ids"]) for start in starts]
        reasons = {at: f"the request fills the classifier's {limit} tokens" for at, room in enumerate(rooms) if room < 1}
        parts = [cut(tokenizer, response, max(room, 0)) for response, room in zip(responses, rooms, strict=True)]
        rows = {at: _encoded(tokenizer, starts[at], parts[at][0]) for at in range(len(responses)) if at not in reasons}
        scores = np.full(len(responses), np.nan)
        if rows:
            scores[list(rows)] = self._scores(list(rows.values()), positive).numpy()
        return Judgements(self.name, self.measures, scores, self.threshold, reasons, {"cut": [was_cut for _, was_cut in parts]})

    def _positive_ids(self) -> list[int]:
        config = self.model.model.config
        if config.problem_type == "regression":
            raise JudgeError(f"{self.model.label!r} gives a number (problem_type 'regression'), no labels: it is no classifier")
        ids = {str(name).casefold(): int(at) for at, name in config.id2label.items()}
        absent = [name for name in self.positive if name.casefold() not in ids]
        if absent or not self.positive:
            raise JudgeError(
                f"{self.model.label!r} has the labels {', '.join(map(str, config.id2label.values()))}, and not "
                f"{', '.join(absent) or 'none at all'}: name in `positive` those that mean {self.measures}"
            )
        return [ids[name.casefold()] for name in self.positive]

    @torch.no_grad()
    def _scores(self, rows: Sequence[dict[str, list[int]]], positive: list[int]) -> Float[Tensor, " text"]:
        model, tokenizer = self.model.model, self.model.tokenizer
        pad = tokenizer.pad_token_id
        # decoders find the last token of a row by the padding id of their configuration
        batch_size = self.batch_size if pad is not None and pad == model.config.pad_token_id else 1
        scores = torch.empty(len(rows), dtype=torch.float64)
        device = next(model.parameters()).device

        def read(batch: list[int]) -> Float[Tensor, " b"]:
            own = [rows[at] for at in batch]
            inputs = tokenizer.pad(own, padding_side="right", return_tensors="pt") if batch_size > 1 else _alone(own[0])
            logits = model(**{name: values.to(device) for name, values in inputs.items()}).logits.double()
            return self._probability(logits, positive).cpu()

        for batch, own in each_batch(batched(rows, batch_size=batch_size, length=lambda row: len(row["input_ids"])), read):
            scores[batch] = own
        return scores

    def _probability(self, logits: Float[Tensor, "b label"], positive: list[int]) -> Float[Tensor, " b"]:
        several = self.model.model.config.problem_type == "multi_label_classification" or logits.shape[1] == 1
        return logits.sigmoid()[:, positive].amax(1) if several else logits.softmax(1)[:, positive].sum(1)


def _encoded(tokenizer: Any, request: str | None, response: str) -> dict[str, list[int]]:
    """Ids, mask and types of one text or pair."""
    return dict(tokenizer(response) if request is None else tokenizer(request, response))


def _alone(row: dict[str, list[int]]) -> dict[str, Tensor]:
    return {name: torch.tensor([values]) for name, values in row.items()}
