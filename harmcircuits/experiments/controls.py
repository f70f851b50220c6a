"""Circuits of the same size that stand beside the one under test, each measured with the whole battery."""

import logging

from ..circuits import Circuit
from ..circuits.controls import matched_random
from .scores import Scores
from .settings import ClaimSettings

log = logging.getLogger(__name__)


def matched(circuit: Circuit, scores: Scores, settings: ClaimSettings, *, seed: int) -> Circuit:
    """One draw of the matched random null."""
    return matched_random(circuit, scores.harmful, protect=scores.benign, seed=seed, protect_fraction=settings.protect)
