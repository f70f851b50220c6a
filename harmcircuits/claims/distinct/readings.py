"""Each capability's test half under each circuit, kept in the journal part by part."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float

from ... import store
from ...ablation.hooks import Ablation, ablated
from ...experiments.measures import rate
from ...experiments.names import name_of
from ...statistics import Estimate
from ...tasks.capabilities import Completion, read_completions
from ...tasks.teacher_forced import INTACT
from ..material import Material

Readings = Mapping[str, Mapping[str, pd.DataFrame]]
"""By condition, the intact model's among them, and capability: the frames of `read_completions`."""


def read_capabilities(
    material: Material, tested: Mapping[str, Sequence[Completion]], conditions: Mapping[str, Ablation]
) -> Readings:
    """The sentences of `tested` by the intact model and under each condition."""

    def read_one(condition: Ablation, items: Sequence[Completion]) -> pd.DataFrame:
        with ablated(material.model, condition):
            return read_completions(material.model, items)

    found: dict[str, dict[str, pd.DataFrame]] = {}
    for name, condition in {INTACT: None, **conditions}.items():
        own = found[name] = {}
        for kind, items in tested.items():
            key = [material.key, name_of(condition), digest(items)]
            own[kind] = material.journal.frame("sentences", key, partial(read_one, condition, items))
    return found


def digest(items: Sequence[Completion]) -> str:
    """Of the sentences and their completions."""
    return store.digest([[one.request, one.stem, one.right, list(one.wrong)] for one in items])


def known(frame: pd.DataFrame) -> Estimate:
    """Share of sentences that are finished rightly (Wilson: it has a width also where all are) − share that a blind choice
    would have; above 0: the model can do it."""
    right, chance = rate(frame["right"].to_numpy(dtype=float)), float(frame["chance"].mean())
    less = lambda end: None if end is None else end - chance
    return right if right.is_missing else Estimate(less(right.value), less(right.low), less(right.high), right.n)


def rises(readings: Readings, condition: str, kind: str) -> Float[np.ndarray, " sentence"]:
    """L ablated − L intact of each right completion, nats per token; positive: the ablation hurts."""
    return np.asarray(readings[condition][kind]["nll"] - readings[INTACT][kind]["nll"])
