"""What is pruned before the fine-tuning: masks of equal size, selected on what they write, and their controls.

    source               target (A)                        protected (U over)
    a domain             its bad answers                   its good answers
    harmful requests     responses to harmful requests     responses to near and far twins

Of each the paper's set difference; the larger masks are cut to the size of the smallest, the largest A staying.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch

from ...attribution.weight_scores import WeightAttribution
from ...attribution.weights import attribute_weights
from ...components import WeightMask
from ...examples import Example
from ...experiments.checks import ready_splits
from ...experiments.names import name_of
from ...experiments.scores import chosen_triples, first_triples, respond
from ...models.matrices import matrices
from ...selection.matched_weights import matched_weights
from ...selection.weights import select_weights
from ...tasks.attacks import attacked
from ..claim import ClaimError
from ..material import ROLES
from .damage import damaging
from .plan import CONTROLS, DAMAGE, HARMFUL, NOTHING, OWN, RANDOM, RANDOM_HARMFUL, Run
from .questions import digest, examples
from .study import Study

log = logging.getLogger(__name__)
COLUMNS = ["matrix", "index", "score"]
Key: TypeAlias = tuple[str, str, int]
"""Domain, control and seed."""


@dataclass(frozen=True, eq=False)
class Masks:
    """By what they were selected on; the controls by domain, name and seed; and how those of equal damage were grown."""

    selected: Mapping[str, WeightMask]
    controls: Mapping[Key, WeightMask]
    damage: pd.DataFrame

    def of(self, run: Run) -> WeightMask | None:
        """What is pruned before this run; None: nothing."""
        if run.pruned == NOTHING:
            return None
        if run.pruned in self.selected:
            return self.selected[run.pruned]
        return self.controls[run.domain, run.pruned, run.seed]

    def put_back(self, run: Run) -> dict[str, WeightMask]:
        """On which masks base values are put back after this run, by name."""
        found = {OWN: self.selected.get(run.domain), HARMFUL: self.selected.get(HARMFUL)}
        found |= {name: self.controls.get((run.domain, name, run.seed)) for name in (RANDOM, RANDOM_HARMFUL)}
        return {name: mask for name, mask in found.items() if mask is not None}

    def table(self) -> pd.DataFrame:
        """One row a selected mask: what it was selected on, weights, share of all eligible ones, and its Jaccard overlap with
        each other one, as `overlap SOURCE`."""
        rows = []
        for source, mask in self.selected.items():
            alike = {f"overlap {other}": mask.jaccard(own) for other, own in self.selected.items()}
            rows.append({"selected on": source, "weights": len(mask), "fraction": mask.fraction, **alike})
        return pd.DataFrame(rows)


NONE = Masks({}, {}, pd.DataFrame())
"""Nothing is pruned, and nothing put back."""


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
        ExperimentError, PromptError, ElicitError: prompts on which nothing can be measured.
    """
    scored = {source: _selected(study, source, progress=progress) for source in study.plan.sources()}
    size = min(map(len, scored.values()), default=0)
    selected = {source: _mask(study, frame.nlargest(size, "score")) for source, frame in scored.items()}
    keys = list(dict.fromkeys((run.domain, run.pruned, run.seed) for run in study.runs))
    controls: dict[Key, WeightMask] = {}
    for source, mask in selected.items():
        controls |= _controls(study, source, mask, [key for key in keys if _like(key) == source], progress)
    wanted = [key for key in keys if key[1] == DAMAGE]
    grown = {seed: damaging(study, selected[HARMFUL], seed=seed) for seed in sorted({seed for *_, seed in wanted})}
    controls |= {key: grown[key[2]][0] for key in wanted}
    damage = pd.concat([found for _, found in grown.values()], ignore_index=True) if grown else pd.DataFrame()
    return Masks(selected, controls, damage)


def _like(key: Key) -> str | None:
    """The source whose mask a control is matched to; None where it is none of these controls."""
    domain, control, _ = key
    of = {OWN: domain, HARMFUL: HARMFUL}
    return next((source for kind, source in of.items() if control in CONTROLS[kind].values()), None)


def _controls(study: Study, source: str, own: WeightMask, keys: Sequence[Key], progress: bool) -> dict[Key, WeightMask]:
    """Random ones and the largest, as many of each matrix as `own` has."""
    random = [key for key in keys if key[1] in (RANDOM, RANDOM_HARMFUL)]
    found = {key: largest(study, own) for key in keys if key not in random}
    if random:
        drawn = _matched(study, source, own, list(dict.fromkeys(seed for *_, seed in random)), progress)
        found |= {key: drawn[key[2]] for key in random}
    return found


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
        mask = select_weights(W, q=settings.weight_q, p=settings.weight_p)
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


def _matched(study: Study, source: str, own: WeightMask, seeds: Sequence[int], progress: bool) -> dict[int, WeightMask]:
    """Matched random masks by seed, all from one pass of attribution; none where all are kept."""
    settings = study.settings

    def make() -> pd.DataFrame:
        W = scores_of(study, source, progress=progress)
        drawn = [matched_weights(own, W, p=settings.weight_p, seed=seed) for seed in seeds]
        parts = [_frame(mask, {}).assign(seed=seed) for seed, mask in zip(seeds, drawn, strict=True)]
        return pd.concat(parts, ignore_index=True)

    frame = study.journal.frame("matched", [*_origin(study, source), name_of(own), settings.weight_p, list(seeds)], make)
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
