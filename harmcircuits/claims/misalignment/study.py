"""`Study`: what every arm is made from and asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...components import WeightMask
from ...experiments.names import name_of
from ...experiments.settings import Settings
from ...judges import Judge
from ...models.protocol import HookedModel
from ...organisms.finetuning import Recipe
from ...prompts.promptset import PromptSet
from ...store.journal import Journal
from .plan import Plan, Run
from .questions import ANSWERS, Losses, Questions, digest, read_advice

RECIPE = Recipe(learning_rate=3e-4, epochs=2, stages=4)
"""LoRA as in the paper (rank 32, alpha 64); what is learnt is two hundred sentences, each twice."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """The model and all that does not differ between arms.

    Attributes:
        model: before any fine-tuning, intact.
        key: of its weights and configuration.
        plan: which models are trained.
        questions: what is learnt and asked.
        recipe: of every fine-tuning; its stages are where arms can be compared.
        settings: sizes of masks, harmful requests, passages, answers, intervals.
        prompts: triples, for harmful requests.
        judge: of what is answered freely; None: no rate.
        journal: where finished parts are kept.
        folder: for models while they are trained and read.
    """

    model: HookedModel
    key: str
    plan: Plan
    questions: Questions
    recipe: Recipe
    settings: Settings
    prompts: PromptSet
    judge: Judge | None = None
    journal: Journal = field(default_factory=Journal)
    folder: Path

    @cached_property
    def runs(self) -> list[Run]:
        return self.plan.runs(first_seed=self.settings.seed)

    @property
    def seeds(self) -> list[int]:
        return [self.settings.seed + at for at in range(self.plan.seeds)]

    @property
    def intervals(self) -> dict[str, Any]:
        """Options of every interval over fine-tunings and questions but the strata."""
        return {"draws": self.settings.bootstrap_draws, "seed": self.settings.seed}

    @cached_property
    def base(self) -> Losses:
        """L of both answers of every question that is asked, [item, answer], by the model as it is."""
        return as_losses(self.before("advice", None, digest(self.questions.asked), lambda: self.advice(self.model)))

    def advice(self, model: HookedModel) -> pd.DataFrame:
        """What is asked of every model, read as it was trained: with products in bfloat16 where the recipe says so."""
        return read_advice(model, self.questions.asked, autocast=self.recipe.autocast)

    def before(self, what: str, mask: WeightMask | None, about: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What `make` reads of the model with `mask` off, before any fine-tuning: kept by the mask and what it is about, since
        all runs with one mask start from one model."""
        return self.journal.frame(f"{what} before", [self.key, name_of(mask), about, self.recipe.autocast], make)


def as_losses(frame: pd.DataFrame) -> Losses:
    """The columns good and bad, [item, answer]."""
    return np.asarray(frame[list(ANSWERS)].to_numpy(dtype=float))
