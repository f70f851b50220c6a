"""Each run: pruned, fine-tuned, read at every stage; what it answers freely; and with base values put back.

A model is trained when the first of its parts is not in the journal, and its files go when all are.
"""

import gc
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from ... import store
from ...ablation.hooks import ablated
from ...components import WeightMask
from ...examples import Example
from ...experiments.names import name_of, name_of_examples
from ...models.protocol import HookedModel
from ...organisms.finetuning import Finetuned, finetune, restored
from ...store.frames import as_kept
from .harm import READ, read_harmful
from .masks import Masks
from .mechanism import BUT, ON
from .plan import NOTHING, Run
from .questions import digest, lessons
from .study import Study
from .written import failed, judge_name, read_answers

PLACES = {ON: False, BUT: True}
"""What `restored` is told of where base values are put back."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What was read of one run.

    Attributes:
        advice: stage, steps, id, good, bad: L of both answers before the fine-tuning (stage 0) and after each stage.
        answers: of its last stage, as `written.read_answers`; empty where none were asked for.
        restored: mask, where, id, good, bad: of its last stage with base values put back; empty unless bad advice was learnt
            and nothing had been pruned.
        harmful: stage, steps, nll: L of harmful responses, likewise; empty of arms in which nothing is to be relearnt.
    """

    advice: pd.DataFrame
    answers: pd.DataFrame
    restored: pd.DataFrame
    harmful: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Job:
    """One run with its mask; trained when it is first needed.

    Attributes:
        held: the one model that is in memory, by its stage.
    """

    study: Study
    run: Run
    mask: WeightMask | None
    held: dict[int, HookedModel] = field(default_factory=dict)

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
        taught = lessons(study.questions.learnt[run.domain], run.lesson, method=study.recipe.method)
        with ablated(study.model, self.mask):
            return finetune(study.model, taught, recipe=study.recipe, seed=run.seed, folder=self.place, name=run.name)

    @property
    def last(self) -> HookedModel:
        return self.at(len(self.tuned.steps) - 1)

    def at(self, stage: int) -> HookedModel:
        """The model of a stage; the one that was held before is gone."""
        if stage not in self.held:
            self.held.clear()
            free()
            self.held[stage] = self.tuned.load(stage)
        return self.held[stage]

    def advice(self) -> pd.DataFrame:
        return self.by_stage("advice", digest(self.study.questions.asked), self.study.advice)

    def harmful(self, responses: Sequence[Example]) -> pd.DataFrame:
        read = lambda model: read_harmful(model, responses, autocast=self.study.recipe.autocast)
        return self.by_stage("harmful", name_of_examples(responses), read)

    def by_stage(self, what: str, about: str, read: Callable[[HookedModel], pd.DataFrame]) -> pd.DataFrame:
        """What `read` finds after pruning (stage 0, which runs with one mask have in common) and after each stage."""

        def pruned() -> pd.DataFrame:
            with ablated(self.study.model, self.mask):
                return read(self.study.model)

        parts = [self.study.before(what, self.mask, about, pruned).assign(stage=0, steps=0)]
        parts += [read(self.at(at)).assign(stage=at + 1, steps=step) for at, step in enumerate(self.tuned.steps)]
        return pd.concat(parts, ignore_index=True)

    def remove(self) -> None:
        """The model's files, and what training left beside them."""
        beside = self.place.parent.iterdir() if self.place.parent.exists() else ()
        for path in [one for one in beside if one == self.place or one.name.startswith(f".{self.place.name}.")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def answers(self) -> pd.DataFrame:
        return read_answers(self.study, self.last)

    def restored(self, masks: Mapping[str, WeightMask]) -> pd.DataFrame:
        parts = []
        for name, mask in masks.items():
            for where, everywhere_but in PLACES.items():
                with restored(self.last, self.study.model, mask, everywhere_but=everywhere_but):
                    read = self.study.advice(self.last)
                parts.append(read.assign(mask=name, where=where))
        return pd.concat(parts, ignore_index=True)


def read_runs(
    study: Study, masks: Masks, runs: Sequence[Run], *, responses: Sequence[Example] = (), progress: bool = False
) -> dict[Run, Parts]:
    """One after the other; finished parts are kept.

    Args:
        runs: of the study.
        responses: to harmful requests, which are read where they may be relearnt.

    Raises:
        FinetuneError: a recipe that does not fit the lessons.
        StoreError: the journal or the models cannot be written.
    """
    found = {}
    for run in tqdm(runs, desc="fine-tune", unit="model", disable=not progress):
        found[run] = read_run(_Job(study, run, masks.of(run)), masks, responses)
        free()
    return found


def free() -> None:
    """A hooked model refers to itself: without this, those of all stages and runs would stay in memory."""
    gc.collect()


def read_run(job: _Job, masks: Masks, responses: Sequence[Example]) -> Parts:
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
    harmful = pd.DataFrame()
    if responses and run.lesson == "bad" and run.pruned in READ:
        told = [*job.key, name_of_examples(responses)]
        harmful = journal.frame("harmful", told, lambda: job.harmful(responses))
    job.remove()
    return Parts(advice, answers, back, harmful)


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
