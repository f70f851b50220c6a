"""In the misaligned model base values are put back, on a mask alone or everywhere but on it: what goes with them?

share = 1 − mean Δb with base values put back / mean Δb without        1: all of it goes; 0: none of it
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import two_level_mean, two_level_ratio
from .effects import INSIDE, OUTSIDE, Arm, Measured
from .plan import Run
from .questions import log_odds
from .study import as_losses
from .told import ends

UNPRUNED = Arm()
Restored = Mapping[Run, pd.DataFrame]
"""`training.Parts.restored` of the runs that learn bad advice without pruning."""


def mechanism(measured: Measured, restored: Restored, among: Sequence[str]) -> pd.DataFrame:
    """One row a mask, place and kind of question: `delta` (Δb that is left, nats per token) and `share` (of it that went), both
    with _low and _high; n questions; reason, where there is no share.

    Args:
        among: the domains learnt that count.
    """
    rows = []
    for name, where in _pairs(restored):
        for part in (INSIDE, OUTSIDE):
            left, strata = measured.averaged(partial(_change, measured, restored, name, where), UNPRUNED, part, among)
            whole, _ = measured.grid(UNPRUNED, part, among)
            options = {**measured.options, "strata": strata}
            share = two_level_ratio(whole - left, whole, **options)
            cells = ends("delta", two_level_mean(left, **options)) | ends("share", share)
            told = {"n": len(strata), "reason": share.reason or ""}
            rows.append({"put back": name, "where": where, "asked": part, **cells, **told})
    return pd.DataFrame(rows)


def _pairs(restored: Restored) -> list[tuple[str, str]]:
    found = [
        (str(name), str(where)) for own in restored.values() for name, where in zip(own["mask"], own["where"], strict=True)
    ]
    return list(dict.fromkeys(found))


def _change(measured: Measured, restored: Restored, name: str, where: str, run: Run) -> Float[np.ndarray, " item"]:
    frame = restored[run]
    own = frame[(frame["mask"] == name) & (frame["where"] == where)]
    return np.asarray(log_odds(as_losses(own)) - log_odds(measured.base))
