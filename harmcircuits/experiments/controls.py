"""Circuits of the same size that stand beside the one under test, each measured with the whole battery."""

import logging
from collections.abc import Sequence

from ..attribution.activations import attribute
from ..attribution.scores import Attribution
from ..components import Circuit, WeightMask
from ..examples import Prompt
from ..models.protocol import HookedModel
from ..selection.matched import matched_random
from ..selection.protected import SelectionError
from ..tasks.explanation import explanation_examples
from .checks import EXPLANATION, MATCHED, RECOGNITION, TWINS
from .scores import Scores, recipe
from .settings import Settings

log = logging.getLogger(__name__)

Controls = tuple[dict[str, tuple[str, Circuit | WeightMask]], dict[str, str]]
"""By name, kind and circuit; and what could not be built, with the reason."""


def control_circuits(
    circuit: Circuit | WeightMask,
    scores: Scores | None,
    settings: Settings,
    *,
    explanation: Attribution | None = None,
) -> Controls:
    """By name, kind and circuit; and what could not be built, with the reason.

    - *aimed at twins*, *aimed at recognition*: the same recipe and counts with another target;
    - *aimed at explanation*: likewise, where its scores are given;
    - *matched random*: same layers, protection, and like |A| and U.
    """
    if isinstance(circuit, WeightMask):
        why = "these controls are of heads and neurons, and the first circuit is a mask of weights"
        unmade = (TWINS, RECOGNITION, MATCHED, *([EXPLANATION] if explanation is not None else []))
        return {}, dict.fromkeys(unmade, why)
    if scores is None or scores.recognition is None:
        return {}, dict.fromkeys((TWINS, RECOGNITION, MATCHED), "no training split was given")
    aims = {TWINS: (scores.near, scores.harmful + scores.far), RECOGNITION: (scores.recognition, scores.benign)}
    missing: dict[str, str] = {}
    if explanation is not None:
        aims[EXPLANATION] = (explanation, scores.benign)
    sized = {"heads": len(circuit.heads), "neurons": len(circuit.neurons)}
    found: dict[str, tuple[str, Circuit | WeightMask]] = {}
    for name, (target, protect) in aims.items():
        try:
            found[name] = (name.replace(" ", "-"), recipe(target, protect, settings, **sized))
        except SelectionError as error:
            log.warning("no circuit of the same size %s: %s", name, error)
            missing[name] = str(error)
    found[MATCHED] = ("matched-random", matched(circuit, scores, settings, seed=settings.seed))
    return found, missing


def matched(circuit: Circuit, scores: Scores, settings: Settings, *, seed: int) -> Circuit:
    """One draw of the matched random null."""
    return matched_random(circuit, scores.harmful, protect=scores.benign, seed=seed, protect_fraction=settings.protect)


def explanation_scores(model: HookedModel, harmful: Sequence[Prompt], *, progress: bool = False) -> Attribution:
    """What promotes explaining: A of the loss of the reference explanations of training requests."""
    return attribute(model, explanation_examples(harmful), progress=progress)
