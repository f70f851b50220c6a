"""How a quantity changes along a ladder: by the line through each triple's stages, tested over triples.

    change = (stages − 1) · Σ_s (s − s̄) · y_s / Σ_s (s − s̄)²

With two stages it is the later less the earlier; with more, what the least-squares line rises by from the first to the last.
Triples do not replicate training: a change is shown for these checkpoints, not for the way in which they were trained.

Source: Page 1963 (ordered alternatives within blocks); signs flipped over blocks: Fisher 1935, section 21.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ...statistics import Estimate, bootstrap, fdr_estimates, mean_estimate, sign_flip_p
from .curve.curves import Curve
from .curve.summary import ALIKE, LARGEST, log_fraction_to_halve


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How much a mean over triples changes along a ladder.

    Attributes:
        change: see above, in the unit of the quantity; positive: it grows.
        p: signs of the triples' changes flipped, two-sided: reversing the order of the stages within a triple flips its sign.
            Adjusted where `adjusted` says so.
        none: whether the change is equivalent to none, its 90 % interval within ± 0.02 (nats per token).
    """

    change: Estimate
    p: Estimate
    none: bool = False

    @classmethod
    def missing(cls, reason: str) -> "Trend":
        """One that could not be measured."""
        return cls(change=Estimate.missing(reason), p=Estimate.missing(reason))

    @property
    def low(self) -> float:
        """The interval's lower end; −inf without one."""
        return -np.inf if self.change.low is None else self.change.low

    @property
    def high(self) -> float:
        """The interval's upper end; inf without one."""
        return np.inf if self.change.high is None else self.change.high


def changes(values: Float[np.ndarray, "stage *rest"]) -> Float[np.ndarray, "*rest"]:
    """From the first stage to the last, by the least-squares line. Exactly 0 where all stages are equal, and exactly the
    opposite in the opposite order.

    >>> changes(np.array([[0.0, 1.0], [0.0, 2.0], [3.0, 3.0]])).tolist()
    [3.0, 2.0]
    """
    n = len(values)
    place = np.arange(n) - (n - 1) / 2
    later = place > 0
    gains = values[later] - values[::-1][later]
    return np.asarray(np.tensordot(place[later], gains, 1) * (n - 1) / (place @ place))


def trend(changed: Float[np.ndarray, " triple"], options: Mapping[str, Any]) -> Trend:
    """Of the triples' changes, or of the differences between their changes along two ladders.

    Args:
        changed: one a triple.
        options: those of every bootstrap over the triples.
    """
    narrow = mean_estimate(changed, level=0.9, **options)  # two one-sided tests at 5 % each
    return Trend(
        change=mean_estimate(changed, **options),
        p=sign_flip_p(changed, seed=options.get("seed", 0)),
        none=narrow.low is not None and narrow.high is not None and -ALIKE < narrow.low <= narrow.high < ALIKE,
    )


def fraction_change(curves: Sequence[Curve], options: Mapping[str, Any]) -> Estimate:
    """The change of ln f, f the share of all eligible weights that halves harmful writing; negative: fewer do it.

    It is a ratio of means that triples have no value of: the whole line is bootstrapped, a draw in which a stage does not
    reach the half counting as f = 1 there. The half is reached at every stage.
    """
    n = len(curves)

    def line(*arrays: np.ndarray) -> np.ndarray:
        crossings = [
            log_fraction_to_halve(np.log(own.shares), now.mean(-2) / before.mean(-1)[..., None], own.plain_share)
            for own, now, before in zip(curves, arrays[:n], arrays[n:], strict=True)
        ]
        return changes(np.stack([np.where(np.isfinite(one), one, np.log(LARGEST)) for one in crossings]))

    now, before = [own.information[:, 0] for own in curves], [own.intact[:, 0] for own in curves]
    return bootstrap(line, *now, *before, vectorised=True, **options)


def adjusted(trends: Sequence[Trend]) -> list[Trend]:
    """The same with p values adjusted over all of them (Benjamini–Hochberg)."""
    return [replace(one, p=p) for one, p in zip(trends, fdr_estimates([one.p for one in trends]), strict=True)]
