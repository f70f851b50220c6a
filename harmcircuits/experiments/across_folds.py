"""What differs between the folds of a cross-fit: their own instruments, put on one scale, and the spread of their results."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ..statistics import Estimate, auroc
from ..tasks.teacher_forced import INTACT
from .battery import Outcomes
from .measures import HARMFUL, NEAR

FITTED = ("probe", "probe_request", "many_shot", "many_shot_shuffled", "many_shot_arbitrary")
"""Readings whose instrument is made of a fold's own training triples."""
FEWEST = 3


def on_one_scale(frame: pd.DataFrame) -> pd.DataFrame:
    """The scores of fitted instruments in units of the intact model's spread on this fold's twins, from their mean.

    Folds' probes have offsets and scales of their own, which would mix up the order of pooled scores. No label is used.
    """
    twins = frame[(frame["condition"] == INTACT) & (frame["role"] != "far")]
    scaled = frame.copy()
    for column in FITTED:
        spread = twins[column].std()
        if spread > 0:
            scaled[column] = (frame[column] - twins[column].mean()) / spread
    return scaled


def across_folds(parts: Sequence[Outcomes], main: str, *, primary: str) -> dict[str, Estimate]:
    """The mean of the folds' own values and its interval, mean ± t · sd / √K over K folds: another circuit in each.

    Rises and selectivity in nats per token, AUROC of the primary reading and its change; n counts folds.
    """
    folds = [_of_fold(part, main, primary) for part in parts]
    return {name: _over([fold[name] for fold in folds]) for name in folds[0]}


def _of_fold(part: Outcomes, main: str, primary: str) -> dict[str, float]:
    intact, changed = part.by_triple(INTACT), part.by_triple(main)
    harmful, near, far = (changed["nll"] - intact["nll"]).mean(0)
    before, after = (float(auroc(arrays[primary][:, HARMFUL], arrays[primary][:, NEAR])) for arrays in (intact, changed))
    return {
        "harmful_nll_rise": float(harmful),
        "near_nll_rise": float(near),
        "far_nll_rise": float(far),
        "selectivity": float(harmful - near),
        "auroc_intact": before,
        "auroc_change": after - before,
    }


def _over(values: Sequence[float]) -> Estimate:
    found = np.array(values)
    if not np.isfinite(found).all():
        return Estimate.missing("it was not read in every fold")
    mean, n = float(found.mean()), len(found)
    if n < FEWEST:
        return Estimate(mean, n=n)
    half = float(stats.t.ppf(0.975, n - 1) * found.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)
