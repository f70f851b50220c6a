"""Each run: pruned, fine-tuned, read at every stage; what it answers freely; and with base values put back.

A model is trained when the first of its parts is not in the journal, and its files go when all are.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from ... import store
from ...ablation.hooks import ablated
from ...components import WeightMask
from ...models.protocol import HookedModel
from ...organisms.finetuning import Finetuned, finetune, restored
from ..journal import name_of
from ..tables import as_kept
from .masks import Masks
from .plan import NOTHING, Run
from .questions import digest, lessons, read_advice
from .study import Study
from .written import failed, judge_name, read_answers

PLACES = {"on the mask": False, "everywhere but on it": True}
"""Where base values are put back, and what `restored` is told."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What was read of one run.

    Attributes:
        advice: stage, steps, id, good, bad: L of both answers before the fine-tuning (stage 0) and after each stage.
        answers: of its last stage, as `written.read_answers`; empty where none were asked for.
        restored: mask, where, id, good, bad: of its last stage with base values put back; empty unless bad advice was learnt
            and nothing had been pruned.
    """

    advice: pd.DataFrame
    answers: pd.DataFrame
    restored: pd.DataFrame


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

    @property
    def place(self) -> Path:
        return self.study.folder / f"{self.run.name}-{store.digest(self.key)[:12]}"

    @cached_property
    def tuned(self) -> Finetuned:
        """Pruned in place while its base is taken; afterwards the model has every bit that it had."""
        study, run = self.study, self.run
        taught = lessons(study.questions.learnt[run.domain], run.lesson)
        with ablated(study.model, self.mask):
            return finetune(study.model, taught, recipe=study.recipe, seed=run.seed, folder=self.place, name=run.name)

    @cached_property
    def last(self) -> HookedModel:
        return self.tuned.load()

    def advice(self) -> pd.DataFrame:
        asked = self.study.questions.asked
        with ablated(self.study.model, self.mask):
            parts = [read_advice(self.study.model, asked).assign(stage=0, steps=0)]
        steps = self.tuned.steps
        for at, step in enumerate(steps):
            model = self.last if at == len(steps) - 1 else self.tuned.load(at)
            parts.append(read_advice(model, asked).assign(stage=at + 1, steps=step))
        return pd.concat(parts, ignore_index=True)

    def answers(self) -> pd.DataFrame:
        return read_answers(self.study, self.last)

    def restored(self, masks: Mapping[str, WeightMask]) -> pd.DataFrame:
        parts = []
        for name, mask in masks.items():
            for where, everywhere_but in PLACES.items():
                with restored(self.last, self.study.model, mask, everywhere_but=everywhere_but):
                    read = read_advice(self.last, self.study.questions.asked)
                parts.append(read.assign(mask=name, where=where))
        return pd.concat(parts, ignore_index=True)


def read_runs(study: Study, masks: Masks, *, progress: bool = False) -> dict[Run, Parts]:
    """All runs of the study, one after the other; finished parts are kept.

    Raises:
        FinetuneError: a recipe that does not fit the lessons.
        StoreError: the journal or the models cannot be written.
    """
    found = {}
    for run in tqdm(study.runs, desc="fine-tune", unit="model", disable=not progress):
        found[run] = read_run(_Job(study, run, masks.of(run)), masks)
    return found


def read_run(job: _Job, masks: Masks) -> Parts:
    """What is not in the journal is trained and read."""
    study, run = job.study, job.run
    asked, journal = digest(study.questions.asked), study.journal
    put_back = masks.put_back(run) if (run.lesson, run.pruned) == ("bad", NOTHING) else {}
    advice = journal.frame("advice", [*job.key, asked], job.advice)
    answers = pd.DataFrame()
    if study.plan.answers:
        first = digest(study.questions.first(study.plan.answers))
        how = [study.settings.max_new_tokens, study.settings.seed, judge_name(study.judge)]
        answers = _answers(job, [*job.key, first, *how])
    back = pd.DataFrame()
    if put_back:
        names = {name: name_of(mask) for name, mask in put_back.items()}
        back = journal.frame("restored", [*job.key, asked, names], lambda: job.restored(put_back))
    if job.place.exists():
        shutil.rmtree(job.place)
    return Parts(advice, answers, back)


def _answers(job: _Job, key: object) -> pd.DataFrame:
    """Not kept where the judge failed."""
    journal = job.study.journal
    kept = journal.kept("answers", key)
    if kept is not None:
        return kept
    made = as_kept(job.answers())
    if not failed(made):
        journal.keep("answers", key, made)
    return made
