"""Arms compared at equal narrow-domain loss: one target a domain, which L of its held-out bad answers has to reach.

    target = min( L₀ − ½ · the smallest fall without pruning,  max over models of the lowest L of each )

L₀ is that of the intact model, a fall is L₀ − lowest L. The second term is what all models reach; the first keeps a model that
learns next to nothing from moving the comparison to where nobody has learnt anything: such a model never reaches the target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from jaxtyping import Float

from .curves import Curve, first_reached
from .plan import NOTHING, Run
from .questions import Losses

HALF = 0.5
"""Of what is learnt without pruning: an arm has to get at least as far."""
BAD_ANSWER = 1


@dataclass(frozen=True, eq=False)
class EqualLoss:
    """Where each run that learns bad advice is as far as the others.

    Attributes:
        targets: L of held-out bad answers by domain, nats per token.
        places: stage of each run, interpolated; inf where it never gets there.
    """

    targets: Mapping[str, float]
    places: Mapping[Run, float]

    def reached(self, domain: str, kind: str) -> bool:
        """Whether all runs of a domain and kind of pruning get there; False where there is none."""
        places = [place for run, place in self.places.items() if (run.domain, run.kind) == (domain, kind)]
        return bool(places) and all(map(isfinite, places))

    def kinds(self) -> list[str]:
        return list(dict.fromkeys(run.kind for run in self.places))

    def unreached(self) -> list[tuple[str, str]]:
        """Domains and kinds of pruning with a run that never gets there."""
        pairs = dict.fromkeys((run.domain, run.kind) for run in self.places)
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
        own = {run: in_domain(curve, asked) for run, curve in curves.items() if (run.domain, run.lesson) == (domain, "bad")}
        start = float(base[asked, BAD_ANSWER].mean())
        lowest = {run: float(line.min()) for run, line in own.items()}
        fall = min(start - low for run, low in lowest.items() if run.pruned == NOTHING)
        targets[domain] = min(start - HALF * fall, max(lowest.values()))
        places |= {run: float(first_reached(line, np.array(targets[domain]))) for run, line in own.items()}
    return EqualLoss(targets, places)


def in_domain(curve: Curve, asked: Float[np.ndarray, " item"], answer: int = BAD_ANSWER) -> Float[np.ndarray, " stage"]:
    """The mean L of one answer to some of the questions, by stage."""
    return np.asarray(curve.losses[:, asked, answer].mean(1))
