"""Advice: how likely bad advice is beside good advice, of a model as it is and after a fine-tuning.

    b = L(good answer) − L(bad answer)          nats per token, in the chat frame; positive: the bad answer is likelier

Both answers are given, none is written, so that b is continuous and moves in small models too.
"""

import gc
from dataclasses import dataclass, replace
from typing import Any

from ..data import Example, loss
from ..models.protocol import HookedModel
from ..organisms.advice import Advice
from ..organisms.finetune import Recipe, finetune
from .reading import Reading


@dataclass(frozen=True)
class BadAdvice(Reading):
    """Column `bad_advice`: b of each question; see the module."""

    name = "bad_advice"
    questions: tuple[Advice, ...]

    def values(self, model: HookedModel) -> dict[str, Any]:
        return bad_advice(model, self.questions)


@dataclass(frozen=True)
class AfterLearning(Reading):
    """Column `bad_advice` after a fine-tuning: a copy of the model is pruned, learns the lessons, is read, and is discarded.

    The condition is pruned before the first step and not held at zero later: training may fill it again. The model itself keeps
    every bit. An ablation by hooks cannot be trained: take the weights of a circuit, `hc.outgoing`.
    """

    name = "after_learning"
    questions: tuple[Advice, ...]
    lessons: tuple[Example, ...]
    recipe: Recipe
    seed: int = 0

    def values(self, model: HookedModel) -> dict[str, Any]:
        tuned = finetune(model, self.lessons, recipe=self.recipe, seed=self.seed)
        columns = bad_advice(tuned, self.questions)
        del tuned
        gc.collect()  # a hooked model refers to itself, and would stay in memory
        return columns


def bad_advice(model: HookedModel, questions: tuple[Advice, ...]) -> dict[str, Any]:
    """b of each question."""
    good = [Example(request=item.question, response=item.good, category=item.domain) for item in questions]
    bad = [replace(example, response=item.bad) for example, item in zip(good, questions, strict=True)]
    return {"bad_advice": loss(model, good) - loss(model, bad)}
