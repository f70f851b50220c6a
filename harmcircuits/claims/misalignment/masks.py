"""What is pruned before the fine-tuning: masks of equal size, selected on what they write, and their controls.

    source               target (A)                        protected (U over)
    a domain             its bad answers                   its good answers
    harmful requests     responses to harmful requests     responses to near and far twins

Of each the paper's set difference; the larger masks are cut to the size of the smallest, the largest A staying.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ...attribution.weights import WeightAttribution, attribute_weights
from ...circuits import WeightMask
from ...circuits.matched_weights import matched_weights
from ...circuits.selection import select
from ...data import Example
from ...experiments.checks import ready_splits
from ...experiments.names import name_of
from ...experiments.scores import chosen_triples, first_triples, respond
from ...models.matrices import matrices
from ...tasks.attacks import attacked
from ..earlier import ClaimError
from ..material import ROLES
from .plan import CONTROLS, HARMFUL, MAGNITUDE, NOTHING, OWN, RANDOM, SELECTED, Run
from .questions import digest, examples
from .study import Study

COLUMNS = ["matrix", "index", "score"]


@dataclass(frozen=True, eq=False)
class Masks:
    """By what they were selected on; and the controls of each by name and seed."""

    selected: Mapping[str, WeightMask]
    controls: Mapping[tuple[str, str, int], WeightMask]

    def of(self, run: Run) -> WeightMask | None:
        """What is pruned before this run; None: nothing."""
        if run.pruned == NOTHING:
            return None
        source = HARMFUL if run.pruned in (HARMFUL, *CONTROLS[HARMFUL].values()) else run.domain
        return self.selected[source] if run.pruned in SELECTED else self.controls[source, run.pruned, run.seed]

    def table(self) -> pd.DataFrame:
        """One row a selected mask: what it was selected on, weights, and share of all eligible ones."""
        rows = [(source, len(mask), mask.fraction) for source, mask in self.selected.items()]
        return pd.DataFrame(rows, columns=["selected on", "weights", "fraction"])


NONE = Masks({}, {})
"""Nothing is pruned."""


def check_masks(study: Study) -> None:
    """Before anything is trained: whether there can be masks.

    Raises:
        ClaimError: single weights were not asked for.
        ExperimentError, PromptError: prompts that cannot be split.
    """
    sources = study.plan.sources()
    if sources and not study.settings.weight_q:
        raise ClaimError("weight_q=0: no single weights, and so nothing to prune. Give settings with a weight_q above 0.")
    if HARMFUL in sources:
        ready_splits(study.prompts, seed=study.settings.seed)


def masks(study: Study, *, progress: bool = False) -> Masks:
    """Every mask of the plan; what the journal holds is not selected again.

    Raises:
        SelectionError: of some source nothing is left to select, or too little to match.
        ExperimentError, PromptError, ExampleError: prompts on which nothing can be measured.
    """
    scored = {source: _selected(study, source, progress=progress) for source in study.plan.sources()}
    size = min(map(len, scored.values()), default=0)
    selected = {source: _mask(study, frame.nlargest(size, "score")) for source, frame in scored.items()}
    controls: dict[tuple[str, str, int], WeightMask] = {}
    for source, mask in selected.items():
        names = CONTROLS[HARMFUL if source == HARMFUL else OWN]
        if RANDOM in study.plan.arms:
            drawn = _matched(study, source, mask, progress)
            controls |= {(source, names[RANDOM], seed): one for seed, one in drawn.items()}
        if MAGNITUDE in study.plan.arms:
            controls |= dict.fromkeys(((source, names[MAGNITUDE], seed) for seed in study.seeds), largest(study, mask))
    return Masks(selected, controls)


def scores_of(study: Study, source: str, *, progress: bool = False) -> WeightAttribution:
    """A of what a source writes, U of what is protected."""
    if source == HARMFUL:
        told = _harmful(study, progress)
        harmful, rest = list(told[::ROLES]), [one for at, one in enumerate(told) if at % ROLES]
    else:
        learnt = study.questions.learnt[source]
        harmful, rest = examples(learnt, "bad"), examples(learnt, "good")
    return attribute_weights(study.model, harmful, benign=rest, progress=progress)


def _harmful(study: Study, progress: bool) -> list[Example]:
    """Responses of training triples, as every other claim attributes them."""
    settings = study.settings
    train, _, _ = ready_splits(study.prompts, seed=settings.seed)
    train = attacked(study.model, train, tokens=settings.prefill_tokens)
    most = max(settings.attribution_triples, settings.probe_triples)
    few = first_triples(chosen_triples(train, most, seed=settings.seed), settings.attribution_triples)
    return respond(study.model, few, settings, temperature=settings.attribution_temperature, progress=progress)


def _selected(study: Study, source: str, *, progress: bool) -> pd.DataFrame:
    """The set difference, with A of each weight."""
    settings = study.settings

    def make() -> pd.DataFrame:
        W = scores_of(study, source, progress=progress)
        mask = select(W, q=settings.weight_q, p=settings.weight_p)
        return _frame(mask, {name: W.signed[name].flatten()[own].tolist() for name, own in mask.indices.items()})

    return study.journal.frame("mask", [*_origin(study, source), settings.weight_q, settings.weight_p], make)


def _origin(study: Study, source: str) -> list[object]:
    about: object = digest(study.questions.learnt[source]) if source != HARMFUL else _about_prompts(study)
    return [study.key, source, about]


def _about_prompts(study: Study) -> list[object]:
    settings = study.settings
    how = (settings.seed, settings.attribution_triples, settings.probe_triples, settings.prefill_tokens)
    asked = [[prompt.request, prompt.prefill, prompt.group, prompt.role] for prompt in study.prompts]
    return [asked, *how, settings.max_new_tokens, settings.attribution_temperature]


def _matched(study: Study, source: str, own: WeightMask, progress: bool) -> dict[int, WeightMask]:
    """Matched random masks by seed, all from one pass of attribution; none where all are kept."""
    settings, seeds = study.settings, study.seeds

    def make() -> pd.DataFrame:
        W = scores_of(study, source, progress=progress)
        drawn = [matched_weights(own, W, p=settings.weight_p, seed=seed) for seed in seeds]
        parts = [_frame(mask, {}).assign(seed=seed) for seed, mask in zip(seeds, drawn, strict=True)]
        return pd.concat(parts, ignore_index=True)

    frame = study.journal.frame("matched", [*_origin(study, source), name_of(own), settings.weight_p, seeds], make)
    return {seed: _mask(study, frame[frame["seed"] == seed]) for seed in seeds}


def largest(study: Study, own: WeightMask) -> WeightMask:
    """In each matrix as many weights as `own` has there, those of the largest size."""
    found = {}
    for matrix in matrices(study.model):
        if matrix.name in own.indices:
            sizes = matrix.values().detach().float().abs().flatten()
            found[matrix.name] = sizes.topk(len(own.indices[matrix.name])).indices.cpu()
    return WeightMask(indices=found, shapes=own.shapes)


def _frame(mask: WeightMask, scores: Mapping[str, list[float]]) -> pd.DataFrame:
    """A mask as rows: matrix, index, score (nan where it has none)."""
    rows = [
        (name, int(index), score)
        for name, own in mask.indices.items()
        for index, score in zip(own.tolist(), scores.get(name, [np.nan] * len(own)), strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _mask(study: Study, frame: pd.DataFrame) -> WeightMask:
    indices = {str(name): torch.tensor(own["index"].to_numpy()) for name, own in frame.groupby("matrix")}
    shapes = {matrix.name: matrix.shape for matrix in matrices(study.model)}
    return WeightMask(indices=indices, shapes=shapes)
