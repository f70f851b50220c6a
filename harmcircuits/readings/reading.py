"""The protocol of a reading, and the digest under which its values are cached."""

from dataclasses import fields
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from .. import store
from ..ablation.ablate import Condition
from ..models.protocol import HookedModel


@runtime_checkable
class Reading(Protocol):
    """What is measured under a condition: a frozen dataclass that holds the prompts it reads.

    Attributes:
        name: letters; the beginning of the cache's file names.
    """

    @property
    def name(self) -> str: ...

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        """Return one row an item: `item` (an index into the reading's prompts), and a column for each measure.

        A column `response_ids` holds what the model wrote; it is cached apart from the numbers and never reported.
        """
        ...


def reading_key(reading: Any) -> str:
    """A digest of all that a reading's values depend on beside model and condition: its class and its fields."""
    values = {field.name: getattr(reading, field.name) for field in fields(reading)}
    plain = {name: getattr(value, "key", value) for name, value in values.items()}
    return store.digest([type(reading).__qualname__, plain])
