"""Advice: how likely bad advice is beside good advice, of a model as it is and after a fine-tuning.

    b = L(good answer) − L(bad answer)          nats per token, in the chat frame; positive: the bad answer is likelier

Both answers are given, none is written, so that b is continuous and moves in small models too.
"""

import gc
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from ..ablation.ablate import Condition
from ..data import Example, loss
from ..models.protocol import HookedModel
from ..organisms.advice import Advice
from ..organisms.finetune import Recipe, finetune


@dataclass(frozen=True)
class BadAdvice:
    """Column `bad_advice`: b of each question; see the module."""

    name: ClassVar[str] = "bad_advice"
    questions: tuple[Advice, ...]

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        with condition.ablated(model):
            return log_odds(model, self.questions)


@dataclass(frozen=True)
class AfterLearning:
    """Column `bad_advice` after a fine-tuning: a copy of the model is pruned, learns the lessons, is read, and is discarded.

    The condition is pruned before the first step and not held at zero later: training may fill it again. The model itself keeps
    every bit. An ablation by hooks cannot be trained: take the weights of a circuit, `hc.outgoing`.
    """

    name: ClassVar[str] = "after_learning"
    questions: tuple[Advice, ...]
    lessons: tuple[Example, ...]
    recipe: Recipe
    seed: int = 0

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        with condition.ablated(model):
            tuned = finetune(model, self.lessons, recipe=self.recipe, seed=self.seed)
        frame = log_odds(tuned, self.questions)
        del tuned
        gc.collect()  # a hooked model refers to itself, and would stay in memory
        return frame


def log_odds(model: HookedModel, questions: tuple[Advice, ...]) -> pd.DataFrame:
    """One row a question: `item`, and b as `bad_advice`."""
    good, bad = (
        loss(model, [Example(request=own.question, response=getattr(own, answer), category=own.domain) for own in questions])
        for answer in ("good", "bad")
    )
    return pd.DataFrame({"item": range(len(questions)), "bad_advice": (good - bad).tolist()})
