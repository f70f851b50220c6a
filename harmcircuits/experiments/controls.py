"""Circuits of the same size that stand beside the one under test, each measured with the whole battery."""

import logging

from ..components import Circuit
from ..models.protocol import HookedModel
from ..selection.matched import matched_random
from ..selection.protected import SelectionError
from .checks import MATCHED, RANDOM, RECOGNITION, TWINS
from .scores import Scores, recipe
from .settings import Settings

log = logging.getLogger(__name__)


def control_circuits(
    model: HookedModel, circuit: Circuit, scores: Scores | None, settings: Settings
) -> tuple[dict[str, tuple[str, Circuit]], dict[str, str]]:
    """By name, kind and circuit; and what could not be built, with the reason.

    - *aimed at twins*, *aimed at recognition*: the same recipe and counts with another target;
    - *matched random*: same layers, protection, and like |A| and U;
    - *random*: same layers and counts, nothing else; it proves little, since most components do little.
    """
    plain = {RANDOM: ("random", circuit.random_like(model, seed=settings.seed))}
    if scores is None or scores.recognition is None:
        return plain, dict.fromkeys((TWINS, RECOGNITION, MATCHED), "no training split was given")
    aims = {TWINS: (scores.near, scores.harmful + scores.far), RECOGNITION: (scores.recognition, scores.benign)}
    sized = {"heads": len(circuit.heads), "neurons": len(circuit.neurons)}
    found, missing = {}, {}
    for name, (target, protect) in aims.items():
        try:
            found[name] = (name.replace(" ", "-"), recipe(target, protect, settings, **sized))
        except SelectionError as error:
            log.warning("no circuit of the same size %s: %s", name, error)
            missing[name] = str(error)
    found[MATCHED] = ("matched-random", matched(circuit, scores, settings, seed=settings.seed))
    return found | plain, missing


def matched(circuit: Circuit, scores: Scores, settings: Settings, *, seed: int) -> Circuit:
    """One draw of the matched random null."""
    return matched_random(circuit, scores.harmful, protect=scores.benign, seed=seed, protect_fraction=settings.protect)
