"""Outcomes: one tidy frame of everything that was measured."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..ablation.ablate import BASELINE

TEXT_COLUMNS = ["condition", "reading", "item", "response_ids"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was measured.

    Attributes:
        frame: columns `condition, measure, item, value`; an item is an index into the prompts of its reading.
        texts: token ids of what was written, `condition, reading, item, response_ids`; never in a report unless asked for.
    """

    frame: pd.DataFrame
    texts: pd.DataFrame = field(repr=False)

    def values(self, condition: str, measure: str) -> Float[np.ndarray, " item"]:
        """Return the values of one measure under one condition, in the order of items; empty where it was not measured."""
        return self._arrays.get((condition, measure), np.empty(0))

    @cached_property
    def _arrays(self) -> dict[tuple[str, str], Float[np.ndarray, " item"]]:
        groups = self.frame.sort_values("item", kind="stable").groupby(["condition", "measure"], sort=False)["value"]
        return {key: own.to_numpy(dtype=float) for key, own in groups}  # type: ignore[misc]

    def has(self, condition: str, measure: str) -> bool:
        return len(self.values(condition, measure)) > 0

    def change(self, condition: str, measure: str) -> Float[np.ndarray, " item"]:
        """Return value under the condition − value of the baseline, item by item."""
        found: Float[np.ndarray, " item"] = self.values(condition, measure) - self.values(BASELINE, measure)
        return found

    @property
    def conditions(self) -> list[str]:
        return list(dict.fromkeys(self.frame["condition"]))

    def __add__(self, other: "Outcomes") -> "Outcomes":
        """Both; a measure of a condition that both have is taken from the first."""
        frame = pd.concat([self.frame, other.frame], ignore_index=True)
        return Outcomes(
            frame.drop_duplicates(["condition", "measure", "item"], ignore_index=True),
            pd.concat([self.texts, other.texts], ignore_index=True).drop_duplicates(
                ["condition", "reading", "item"], ignore_index=True
            ),
        )
