"""Measure readings under conditions: one tidy frame."""

import logging
from collections.abc import Mapping, Sequence

import pandas as pd
from tqdm.auto import tqdm

from ..ablation.ablate import Condition
from ..models.protocol import HookedModel
from ..readings.reading import Reading, reading_key
from .cache import TEXTS, Cache
from .outcomes import TEXT_COLUMNS, Outcomes

log = logging.getLogger(__name__)


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
    store = cache or Cache()
    tasks = [(condition, reading) for condition, own in plan.items() for reading in own]
    numbers, texts = [], []
    bar = tqdm(tasks, desc="measure", disable=not progress)
    for condition, reading in bar:
        bar.set_postfix_str(f"{condition.name}, {reading.name}")
        about = [condition.key, reading_key(reading)]
        frame = store.frame(reading.name, about, lambda c=condition, r=reading: r.read(model, c))  # type: ignore[misc]
        if TEXTS in frame:
            texts.append(frame[["item", TEXTS]].assign(condition=condition.name, reading=reading.name))
            frame = frame.drop(columns=TEXTS)
        long = frame.melt("item", var_name="measure", value_name="value")
        numbers.append(long.assign(condition=condition.name))
    columns = ["condition", "measure", "item", "value"]
    frame = pd.concat(numbers, ignore_index=True)[columns] if numbers else pd.DataFrame(columns=columns)
    written = pd.concat(texts, ignore_index=True) if texts else pd.DataFrame(columns=TEXT_COLUMNS)
    return Outcomes(frame, written)
