"""Arms compared at equal narrow-domain loss: one target a domain, which L of its held-out bad answers has to reach.

    target = min( L₀ − ½ · the smallest fall without pruning,  max over models of the lowest L of each )

L₀ is that of the intact model, a fall is L₀ − lowest L. The second term is what all models reach; the first keeps a model that
learns next to nothing from moving the comparison to where nobody has learnt anything: such a model never reaches the target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from .plan import NOTHING, Run
from .questions import Losses

HALF = 0.5
"""Of what is learnt without pruning: an arm has to get at least as far."""
BAD_ANSWER = 1
Curve: TypeAlias = Float[np.ndarray, "stage item answer"]
"""L of both answers to every question before the fine-tuning (stage 0: after pruning) and after each stage; nats per token."""


@dataclass(frozen=True, eq=False)
class EqualLoss:
    """Where each run that learns bad advice is as far as the others.

    Attributes:
        targets: L of held-out bad answers by domain, nats per token.
        places: stage of each run, interpolated; inf where it never gets there.
    """

    targets: Mapping[str, float]
    places: Mapping[Run, float]

    def reached(self, domain: str, pruned: str) -> bool:
        """Whether all runs of a domain and pruning get there; False where there is none."""
        places = [place for run, place in self.places.items() if (run.domain, run.pruned) == (domain, pruned)]
        return bool(places) and all(map(isfinite, places))

    def unreached(self) -> list[tuple[str, str]]:
        """Domains and prunings with a run that never gets there."""
        pairs = dict.fromkeys((run.domain, run.pruned) for run in self.places)
        return [pair for pair in pairs if not self.reached(*pair)]


def equal_loss(curves: Mapping[Run, Curve], base: Losses, domains: Sequence[str]) -> EqualLoss:
    """The targets, and where they are reached.

    Args:
        curves: of all runs; those that learn good advice are not looked at.
        base: L of the intact model.
        domains: of each question.
    """
    targets, places = dict[str, float](), dict[Run, float]()
    for domain in dict.fromkeys(run.domain for run in curves):
        asked = np.array([own == domain for own in domains])
        own = {
            run: curve[:, asked, BAD_ANSWER].mean(1)
            for run, curve in curves.items()
            if (run.domain, run.lesson) == (domain, "bad")
        }
        start = float(base[asked, BAD_ANSWER].mean())
        lowest = {run: float(line.min()) for run, line in own.items()}
        fall = min(start - low for run, low in lowest.items() if run.pruned == NOTHING)
        targets[domain] = min(start - HALF * fall, max(lowest.values()))
        places |= {run: first_reached(line, targets[domain]) for run, line in own.items()}
    return EqualLoss(targets, places)


def first_reached(losses: Float[np.ndarray, " stage"], target: float) -> float:
    """The first place, 0 … stages − 1, at which a curve is at or below its target; inf where it never is.

    Curves are linear between stages, so that the place is exact.

    >>> first_reached(np.array([3.0, 1.0, 2.0]), 2.0), first_reached(np.array([3.0, 2.5, 2.0]), 1.0)
    (0.5, inf)
    """
    above = losses - target
    if above[0] <= 0:
        return 0.0
    for stage, (before, after) in enumerate(pairwise(above)):
        if after <= 0:
            return float(stage + before / (before - after))
    return inf


def at(curve: Curve, place: float) -> Losses:
    """At a stage, or between two: losses are interpolated.

    >>> at(np.array([[[2.0, 3.0]], [[1.0, 1.0]]]), 0.5).tolist()
    [[1.5, 2.0]]
    """
    low = min(int(place), len(curve) - 1)
    high = min(low + 1, len(curve) - 1)
    return np.asarray(curve[low] + (place - low) * (curve[high] - curve[low]))
