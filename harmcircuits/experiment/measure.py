"""Measure readings under conditions: `Outcomes`, one tidy frame of everything that was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm

from ..ablation.ablate import BASELINE, Condition
from ..models.protocol import HookedModel
from ..readings.reading import Reading, reading_key
from .cache import TEXTS, Cache

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
        change: Float[np.ndarray, " item"] = self.values(condition, measure) - self.values(BASELINE, measure)
        return change

    @property
    def conditions(self) -> list[str]:
        return list(dict.fromkeys(self.frame["condition"]))

    def __add__(self, other: "Outcomes") -> "Outcomes":
        """Both, which have no condition and measure in common."""
        frames = ((self.frame, other.frame), (self.texts, other.texts))
        return Outcomes(*(pd.concat(pair, ignore_index=True) for pair in frames))


def measure(
    model: HookedModel,
    conditions: Mapping[Condition, Sequence[Reading]] | Sequence[Condition],
    readings: Sequence[Reading] = (),
    *,
    cache: Cache | None = None,
    progress: bool = False,
) -> Outcomes:
    """Measure every reading under every condition.

    Args:
        conditions: a sequence, all of which take `readings`; or a mapping from each to readings of its own.
        readings: see `conditions`.
        cache: what was measured before is read from it; a run that was stopped continues with the next entry.

    Returns:
        Outcomes, one row a condition, measure and item.
    """
    plan = dict(conditions) if isinstance(conditions, Mapping) else dict.fromkeys(conditions, readings)
    cache = cache or Cache()
    numbers, texts = [], []
    bar = tqdm([(condition, reading) for condition, own in plan.items() for reading in own], "measure", disable=not progress)
    for condition, reading in bar:
        bar.set_postfix_str(f"{condition.name}, {reading.name}")
        about = [condition.key, reading_key(reading)]
        frame = cache.frame(reading.name, about, lambda c=condition, r=reading: r.read(model, c))  # type: ignore[misc]
        if TEXTS in frame:
            texts.append(frame[["item", TEXTS]].assign(condition=condition.name, reading=reading.name))
            frame = frame.drop(columns=TEXTS)
        numbers.append(frame.melt("item", var_name="measure", value_name="value").assign(condition=condition.name))
    columns = ["condition", "measure", "item", "value"]
    frame = pd.concat(numbers, ignore_index=True)[columns] if numbers else pd.DataFrame(columns=columns)
    written = pd.concat(texts, ignore_index=True) if texts else pd.DataFrame(columns=TEXT_COLUMNS)
    return Outcomes(frame, written)
