"""Recognition in place: the balanced question after request, prefill and the baseline's response, in the same chat."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from ..ablation.condition import Condition
from ..examples import Example
from ..models.protocol import HookedModel
from ..tasks.asking import question_rows
from ..tasks.formats import Question
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
        with condition.ablated(model):
            first, second = (self._log_odds(model, question) for question in (self.chosen.question, self.chosen.reversed))
        return pd.DataFrame({"item": range(len(self.examples)), "in_place": ((first + second) / 2).tolist()})

    def _log_odds(self, model: HookedModel, question: Question) -> Float[Tensor, " example"]:
        rows = [row.tokens[:-1] for row in question_rows(model, self.examples, question)]
        return label_log_odds(model, rows, question)[0]
