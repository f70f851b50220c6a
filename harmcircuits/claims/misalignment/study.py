"""`Study`: what every arm is made from and asked."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...ablation.ablate import ablated
from ...circuits import WeightMask
from ...data import PromptSet
from ...experiments.names import name_of
from ...experiments.settings import ClaimSettings
from ...models.protocol import HookedModel
from ...organisms.finetuning import Recipe
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
        settings: sizes of masks, harmful requests, answers, intervals.
        prompts: triples, for harmful requests.
        journal: where finished parts are kept.
        models: a folder for a model while it is trained and read.
    """

    model: HookedModel
    key: str
    plan: Plan
    questions: Questions
    recipe: Recipe
    settings: ClaimSettings
    prompts: PromptSet
    journal: Journal
    models: Path

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
        return as_losses(self.before(None))

    def advice(self, model: HookedModel) -> pd.DataFrame:
        """What is asked of every model."""
        return read_advice(model, self.questions.asked)

    def before(self, mask: WeightMask | None) -> pd.DataFrame:
        """The same of the model with `mask` off, before any fine-tuning; kept, since all runs with one mask start from it."""

        def make() -> pd.DataFrame:
            with ablated(self.model, mask):
                return self.advice(self.model)

        return self.journal.frame("advice before", [self.key, name_of(mask), digest(self.questions.asked)], make)


def as_losses(frame: pd.DataFrame) -> Losses:
    """The columns good and bad, [item, answer]."""
    return np.asarray(frame[list(ANSWERS)].to_numpy(dtype=float))
