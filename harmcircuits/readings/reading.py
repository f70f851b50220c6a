"""What a reading is, and the digest under which its values are cached."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from .. import store
from ..ablation.ablate import Condition
from ..models.protocol import HookedModel


class Reading(ABC):
    """What is measured under a condition: a frozen dataclass that holds the prompts it reads, and computes `values`.

    Attributes:
        name: letters; the beginning of the cache's file names.
    """

    @property
    @abstractmethod
    def name(self) -> str: ...

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        """Return one row an item: `item` (an index into the reading's prompts), and a column for each measure.

        A column `response_ids` holds what the model wrote; it is cached apart from the numbers and never reported.
        """
        with condition.ablated(model):
            return item_frame(self.values(model))

    def values(self, model: HookedModel) -> Mapping[str, Any]:
        """Return one number an item for each measure, by its name. The model is ablated while it is called."""
        raise NotImplementedError(f"{type(self).__name__} needs `values`, or a `read` of its own")


def item_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return lists or tensors of numbers as columns, after a column `item` that counts from 0.

    >>> item_frame({"loss": [0.5, None]}).to_dict("list")
    {'item': [0, 1], 'loss': [0.5, nan]}
    """
    frame = pd.DataFrame({name: np.asarray(values, dtype=float) for name, values in columns.items()})
    return frame.rename_axis("item").reset_index()


def reading_key(reading: Any) -> str:
    """A digest of all that a reading's values depend on beside model and condition: its class and its fields."""
    values = {field.name: getattr(reading, field.name) for field in fields(reading)}
    plain = {name: getattr(value, "key", value) for name, value in values.items()}
    return store.digest([type(reading).__qualname__, plain])
