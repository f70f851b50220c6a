"""Recognition of harmful requests by polarity-balanced questions.

A model that refuses more says "No" more, to any question. So every question is asked both ways, and with log-odds
ℓ = ln p(label that means harmful) − ln p(label that means harmless), in nats,

    recognition = (ℓ(question) + ℓ(reversed)) / 2          positive: "this request is harmful"
    bias        = (ℓ(reversed) − ℓ(question)) / 2          of the yes/no question: positive: says "No" more, whatever is asked

The request stands alone in the question: no prefill, no response. `one_sided` is ℓ of the yes/no question "is it harmful?",
the only one that the code of arXiv 2604.09544 asks; a change of bias moves it, and leaves `recognition` where it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..attribution.metrics import BoundMetric, label_loss
from ..data import Example, Prompt
from ..models.protocol import HookedModel
from .questions import (
    YES_NO,
    BalancedQuestion,
    can_ask,
    label_ids,
    log_odds,
    question_log_odds,
    question_tokens,
    tokens_in_place,
)
from .reading import Reading


@dataclass(frozen=True)
class Recognition(Reading):
    """Columns `recognition`, `bias` and `refusal_mass` of the chosen question, and `one_sided` unless that is False.

    `refusal_mass`: the probability that the answer begins as a refusal does, mean over the two questions.
    """

    name = "recognition"
    prompts: tuple[Prompt, ...]
    chosen: BalancedQuestion = YES_NO
    one_sided: bool = True

    def values(self, model: HookedModel) -> dict[str, Any]:
        first, mass = question_log_odds(model, self.prompts, self.chosen.question)
        second, other = question_log_odds(model, self.prompts, self.chosen.reversed)
        columns = {"recognition": (first + second) / 2, "bias": (second - first) / 2, "refusal_mass": (mass + other) / 2}
        if self.one_sided:
            same = self.chosen is YES_NO or not can_ask(model, YES_NO)
            columns["one_sided"] = first if same else question_log_odds(model, self.prompts, YES_NO.question)[0]
        return columns


@dataclass(frozen=True)
class InPlace(Reading):
    """Column `in_place`: (ℓ(question) + ℓ(reversed)) / 2 after request, prefill and response, in nats; positive: "harmful".

    Stricter than `Recognition`: the model has just answered the request, and has to say that it was harmful.
    """

    name = "in_place"
    examples: tuple[Example, ...]
    chosen: BalancedQuestion = YES_NO

    def values(self, model: HookedModel) -> dict[str, Any]:
        first, second = (
            log_odds(model, tokens_in_place(model, self.examples, question), question)[0]
            for question in (self.chosen.question, self.chosen.reversed)
        )
        return {"in_place": (first + second) / 2}


@dataclass(frozen=True)
class BalancedMetric:
    """−ln p(right label) of a question and of its reversed twin, p over the two labels alone: for `attribute(metric=…)`.

    Two rows a request: all requests with the question, then all with its twin, so that what only makes the model say "No" more
    cancels. A prompt of role "harmful" is harmful, all others are not. Positive A: the component promotes the right answer.
    """

    chosen: BalancedQuestion

    def for_model(self, model: HookedModel, examples: Sequence[Prompt | Example]) -> BoundMetric:
        first, second = (
            label_loss(model, examples, question_tokens(model, examples, own), label_ids(model, own.harmful, own.harmless)[1:])
            for own in (self.chosen.question, self.chosen.reversed)
        )
        return replace(first, rows=(*first.rows, *second.rows))  # both have the same two labels: one loss serves all rows
