"""One training, as a plain description: what trl's trainer is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch

from ...models.protocol import HookedModel, device_of
from .lessons import Tokens
from .recipe import Recipe

CHECKPOINTS = 10
"""A run that is killed loses at most so great a part of the way: 1 ÷ this."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, from what, and where.

    Attributes:
        base: a transformers folder with a tokenizer: the weights that it starts from.
        dtype: of these.
        lessons: what is learnt.
        steps: how many.
        seed: of the adapter's first weights and of the order of lessons.
        checkpoints: a folder for what a broken run goes on from.
        every: how many steps lie between two of these.
        device: where it is trained.
        progress: shows the trainer's bar.
    """

    base: Path
    dtype: torch.dtype
    lessons: Sequence[Tokens]
    recipe: Recipe
    steps: int
    seed: int
    checkpoints: Path
    every: int
    device: torch.device
    progress: bool = False


def job_of(
    model: HookedModel, lessons: Sequence[Tokens], recipe: Recipe, *, base: Path, checkpoints: Path, seed: int = 0
) -> Job:
    """The job of teaching `lessons` to `model`, whose weights are in `base`, where `model` is."""
    steps = recipe.steps(len(lessons))
    return Job(
        base=base,
        dtype=next(iter(model.parameters())).dtype,
        lessons=lessons,
        recipe=recipe,
        steps=steps,
        seed=seed,
        checkpoints=checkpoints,
        every=ceil(steps / CHECKPOINTS),
        device=device_of(model),
    )
