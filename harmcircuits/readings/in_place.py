"""Recognition in place: the balanced question after request, prefill and the baseline's response, in the same chat."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from ..ablation.condition import Condition
from ..examples import Example
from ..models.protocol import HookedModel
from ..tasks.asking import question_rows
from .recognition import YES_NO, BalancedQuestion, label_log_odds


@dataclass(frozen=True)
class InPlace:
    """Column `in_place`: (ℓ(question) + ℓ(reversed)) / 2 after the response, in nats; positive: "this request is harmful".

    Stricter than `Recognition`: the model has just answered the request, and has to say that it was harmful.
    """

    name: ClassVar[str] = "in_place"
    examples: tuple[Example, ...]
    chosen: BalancedQuestion = YES_NO

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        odds = []
        with condition.ablated(model):
            for question in (self.chosen.question, self.chosen.reversed):
                rows = [row.tokens[:-1] for row in question_rows(model, self.examples, question)]
                odds.append(label_log_odds(model, rows, question)[0])
        return pd.DataFrame({"item": range(len(self.examples)), "in_place": (sum(odds) / 2).tolist()})
