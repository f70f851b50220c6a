"""Capabilities: everyday facts and plain prose, of the package's own writing."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from ..ablation.condition import Condition
from ..models.protocol import HookedModel
from ..tasks.utility import utility


@dataclass(frozen=True)
class Capabilities:
    """Columns `fact` (1 where the right completion is likelier than every wrong one) and `passage` (loss, nats per token)."""

    name: ClassVar[str] = "capabilities"
    facts: int = 60
    passages: int = 12

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        with condition.ablated(model):
            table = utility(model, n_facts=self.facts, n_passages=self.passages)
        is_fact = table["kind"] == "fact"
        return pd.DataFrame(
            {"item": range(len(table)), "fact": table["right"].where(is_fact), "passage": table["nll"].where(~is_fact)}
        )
