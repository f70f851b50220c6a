"""In the misaligned model base values are put back, on a mask alone or everywhere but on it: what goes with them?

share = 1 − mean Δb with base values put back / mean Δb without        1: all of it goes; 0: none of it
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import two_level_mean, two_level_ratio
from .decision import Shares
from .effects import INSIDE, OUTSIDE, Arm, Measured, Value
from .plan import HARMFUL, RANDOM_HARMFUL, Run
from .questions import log_odds
from .study import as_losses
from .told import ends

UNPRUNED = Arm()
ON, BUT = "on the mask", "everywhere but on it"
"""Where base values are put back."""
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
            left, strata = measured.averaged(_change(measured, restored, name, where), UNPRUNED, part, among)
            whole, _ = measured.grid(UNPRUNED, part, among)
            options = {**measured.options, "strata": strata}
            share = two_level_ratio(whole - left, whole, **options)
            cells = ends("delta", two_level_mean(left, **options)) | ends("share", share)
            told = {"n": len(strata), "reason": share.reason or ""}
            rows.append({"put back": name, "where": where, "asked": part, **cells, **told})
    return pd.DataFrame(rows)


def shares(measured: Measured, restored: Restored, among: Sequence[str]) -> Shares | None:
    """Of the mask of harmful requests, and of random weights matched to it, outside the domain; None where either was not put
    back."""
    if not {(HARMFUL, ON), (RANDOM_HARMFUL, ON)} <= set(_pairs(restored)):
        return None
    whole, strata = measured.grid(UNPRUNED, OUTSIDE, among)
    left = lambda name, where: measured.averaged(_change(measured, restored, name, where), UNPRUNED, OUTSIDE, among)[0]
    of_whole = lambda gone: two_level_ratio(gone, whole, **measured.options, strata=strata)
    own, random = left(HARMFUL, ON), left(RANDOM_HARMFUL, ON)
    return Shares(
        on_mask=of_whole(whole - own),
        on_random=of_whole(whole - random),
        beyond_random=of_whole(random - own),
        everywhere_but=of_whole(whole - left(HARMFUL, BUT)),
    )


def _pairs(restored: Restored) -> list[tuple[str, str]]:
    found = [
        (str(name), str(where)) for own in restored.values() for name, where in zip(own["mask"], own["where"], strict=True)
    ]
    return list(dict.fromkeys(found))


def _change(measured: Measured, restored: Restored, name: str, where: str) -> Value:
    """Δb of a run that is left."""

    def change(run: Run) -> Float[np.ndarray, " item"]:
        frame = restored[run]
        own = frame[(frame["mask"] == name) & (frame["where"] == where)]
        return np.asarray(log_odds(as_losses(own)) - log_odds(measured.base))

    return change
