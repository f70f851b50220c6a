"""Many-shot recognition: the request alone, after labelled requests in plain text. No chat, no prefill, no response."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from ..ablation.ablate import Condition
from ..data import Prompt
from ..models.protocol import HookedModel
from ..tasks.recognition import Shots, many_shot


@dataclass(frozen=True)
class ManyShot:
    """Column `many_shot`: ln p(harmful label) − ln p(harmless label) after the shots, nats; positive: "harmful".

    The labels are words (" harmful", " safe"), half of the shots each, so that saying "No" more often changes nothing.
    """

    name: ClassVar[str] = "many_shot"
    prompts: tuple[Prompt, ...]
    shots: Shots

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        with condition.ablated(model):
            odds = many_shot(model, self.prompts, self.shots)
        return pd.DataFrame({"item": range(len(self.prompts)), "many_shot": odds.tolist()})
