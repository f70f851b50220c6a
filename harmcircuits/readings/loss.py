"""Loss of given responses: teacher-forced, response tokens only."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from ..ablation.ablate import Condition
from ..data import Example, loss
from ..models.protocol import HookedModel


@dataclass(frozen=True)
class Loss:
    """Column `loss`: L, mean negative log-likelihood of the response tokens, nats per token.

    The responses are the baseline's own, greedy, under attack, so that ΔL = L ablated − L baseline says how much less likely
    the ablation makes what the model would have written. Positive: the ablation hurts.
    """

    name: ClassVar[str] = "loss"
    examples: tuple[Example, ...]

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        with condition.ablated(model):
            values = loss(model, self.examples)
        return pd.DataFrame({"item": range(len(self.examples)), "loss": values.tolist()})
