"""A condition of an experiment as one value: what is switched off, wholly or in part."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

from ..components import Circuit, WeightMask
from ..models.protocol import HookedModel
from .changes import AblationError
from .hooks import Ablation, ablated


@dataclass(frozen=True)
class Partial:
    """`ablation` with `alpha` of every activation, or weight, left: 0 is off, 1 the intact model.

    Raises:
        AblationError: `alpha` outside [0, 1].

    >>> Partial(Circuit(heads=[(0, 1)]), alpha=0.25)
    Partial(ablation=Circuit(heads=((0, 1),), neurons=()), alpha=0.25)
    """

    ablation: Circuit | WeightMask
    alpha: float

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise AblationError(f"alpha is what is left of an activation, between 0 (off) and 1 (intact), not {self.alpha}")


Condition: TypeAlias = Ablation | Partial
"""None is the intact model."""


def under(model: HookedModel, condition: Condition) -> AbstractContextManager[HookedModel]:
    """`ablated`, for a condition of any kind."""
    if isinstance(condition, Partial):
        return ablated(model, condition.ablation, method="scale", alpha=condition.alpha)
    return ablated(model, condition)


def whole(condition: Condition) -> Circuit | WeightMask:
    """What a condition is about, whatever is left of it; an empty circuit for the intact model."""
    if isinstance(condition, Partial):
        return condition.ablation
    return Circuit() if condition is None else condition
