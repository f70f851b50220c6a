"""Capabilities: everyday facts and plain prose, and sentences to be finished in the chat frame; of our own writing."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from ..ablation.ablate import Condition
from ..data import loss
from ..models.protocol import HookedModel
from ..tasks.capabilities import Completion, as_example, read_completions
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


@dataclass(frozen=True)
class Completions:
    """Column `CAPABILITY loss`: L of the right completion of each sentence, nats per token.

    Attributes:
        capability: what the sentences test.
        wrong: also read the wrong completions; column `CAPABILITY right`, 1 where the right one has the lowest L of all.
    """

    name: ClassVar[str] = "completions"
    capability: str
    items: tuple[Completion, ...]
    wrong: bool = False

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        with condition.ablated(model):
            if self.wrong:
                table = read_completions(model, self.items)
                columns = {"loss": table["nll"].tolist(), "right": table["right"].tolist()}
            else:
                columns = {"loss": loss(model, [as_example(item) for item in self.items]).tolist()}
        named = {f"{self.capability} {column}": values for column, values in columns.items()}
        return pd.DataFrame({"item": range(len(self.items)), **named})
