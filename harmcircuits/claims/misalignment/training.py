"""Each run: pruned, fine-tuned, read at every stage, and what it answers freely.

A model is trained when the first of its parts is not in the journal, and its files go when all are.
"""

import gc
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import pandas as pd
from tqdm.auto import tqdm

from ...ablation.ablate import ablated
from ...circuits import WeightMask
from ...experiments.names import name_of
from ...models.protocol import HookedModel
from ...organisms.finetuning import Finetuned, finetune
from ...tasks.writing import read_texts, write
from .masks import Masks
from .plan import NOTHING, Run
from .questions import digest, lessons, prompts
from .study import Study


@dataclass(frozen=True, eq=False)
class Parts:
    """What was read of one run.

    Attributes:
        advice: stage, id, good, bad: L of both answers before the fine-tuning (stage 0) and after each stage.
        answers: id, degenerate (0 or 1, by the rules): what its last stage answers freely; empty where something was pruned,
            or none were asked for.
    """

    advice: pd.DataFrame
    answers: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Job:
    """One run with its mask; trained when it is first needed."""

    study: Study
    run: Run
    mask: WeightMask | None

    @cached_property
    def key(self) -> list[object]:
        study, run = self.study, self.run
        learnt = digest(study.questions.learnt[run.domain])
        return [study.key, learnt, run.lesson, run.seed, name_of(self.mask), asdict(study.recipe)]

    @cached_property
    def tuned(self) -> Finetuned:
        """Pruned in place while its base is taken; afterwards the model has every bit that it had."""
        study, run = self.study, self.run
        taught = lessons(study.questions.learnt[run.domain], run.lesson)
        with ablated(study.model, self.mask):
            return finetune(
                study.model, taught, recipe=study.recipe, seed=run.seed, folder=study.models / run.name, name=run.name
            )

    def at(self, stage: int) -> HookedModel:
        """The model of a stage, the one that was loaded before being gone."""
        free()
        return self.tuned.load(stage)

    def advice(self) -> pd.DataFrame:
        study = self.study
        parts = [study.before(self.mask), *(study.advice(self.at(stage)) for stage in range(len(self.tuned.steps)))]
        return pd.concat([part.assign(stage=stage) for stage, part in enumerate(parts)], ignore_index=True)

    def answers(self) -> pd.DataFrame:
        study = self.study
        asked, settings = study.questions.first(study.plan.answers), study.settings
        texts = write(self.at(-1), prompts(asked), max_new_tokens=settings.max_new_tokens, seed=settings.seed)
        return pd.DataFrame({"id": [item.id for item in asked], "degenerate": read_texts(texts)["degenerate"]})


def read_runs(study: Study, masks: Masks, runs: Sequence[Run], *, progress: bool = False) -> dict[Run, Parts]:
    """One after the other; finished parts are kept.

    Args:
        runs: of the study.

    Raises:
        FinetuneError: a recipe that does not fit the lessons.
        StoreError: the journal or the models cannot be written.
    """
    shown = tqdm(runs, desc="fine-tune", unit="model", disable=not progress)
    return {run: read_run(_Job(study, run, masks.of(run))) for run in shown}


def free() -> None:
    """A hooked model refers to itself: without this, those of all stages and runs would stay in memory."""
    gc.collect()


def read_run(job: _Job) -> Parts:
    """What is not in the journal is trained and read."""
    study, run = job.study, job.run
    shutil.rmtree(study.models, ignore_errors=True)  # of a run that was killed
    advice = study.journal.frame("advice", [*job.key, digest(study.questions.asked)], job.advice)
    answers = pd.DataFrame()
    if study.plan.answers and run.pruned == NOTHING:
        how = [digest(study.questions.first(study.plan.answers)), study.settings.max_new_tokens, study.settings.seed]
        answers = study.journal.frame("answers", [*job.key, *how], job.answers)
    free()
    shutil.rmtree(study.models, ignore_errors=True)
    return Parts(advice, answers)
