"""What one run learnt from stage to stage, and where it is as far as another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from .questions import Losses
from .study import as_losses


@dataclass(frozen=True, eq=False)
class Curve:
    """L of both answers to every question, before the fine-tuning (stage 0: after pruning) and after each stage.

    Attributes:
        steps: of the optimiser, by stage.
        losses: nats per token.
    """

    steps: Float[np.ndarray, " stage"]
    losses: Float[np.ndarray, "stage item answer"]

    def at(self, place: float) -> Losses:
        """At a stage, or between two: losses are interpolated.

        >>> curve = Curve(np.array([0.0, 8.0]), np.array([[[2.0, 3.0]], [[1.0, 1.0]]]))
        >>> curve.at(0.5).tolist()
        [[1.5, 2.0]]
        """
        low = min(int(place), len(self.losses) - 1)
        high = min(low + 1, len(self.losses) - 1)
        return np.asarray(self.losses[low] + (place - low) * (self.losses[high] - self.losses[low]))

    @property
    def last(self) -> Losses:
        return np.asarray(self.losses[-1])


def as_curve(frame: pd.DataFrame) -> Curve:
    """From rows of `training.Parts.advice`."""
    stages = [own for _, own in frame.groupby("stage", sort=True)]
    steps = np.array([float(own["steps"].iloc[0]) for own in stages])
    return Curve(steps, np.stack([as_losses(own) for own in stages]))


def first_reached(
    losses: Float[np.ndarray, "*draws stage"], target: Float[np.ndarray, "*draws"]
) -> Float[np.ndarray, "*draws"]:
    """The first place, 0 … stages − 1, at which a curve is at or below its target; inf where it never is.

    Curves are linear between stages, so that the place is exact.

    >>> first_reached(np.array([[3.0, 1.0, 2.0], [3.0, 2.5, 2.0]]), np.array([2.0, 1.0])).tolist()
    [0.5, inf]
    """
    above = losses - np.asarray(target)[..., None]
    found = np.where(above[..., 0] <= 0, 0.0, np.inf)
    for stage in range(above.shape[-1] - 1):
        before, after = above[..., stage], above[..., stage + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where((before > 0) & (after <= 0), stage + before / (before - after), np.inf)
        found = np.minimum(found, crossing)
    return np.asarray(found)
