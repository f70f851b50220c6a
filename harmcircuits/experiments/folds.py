"""Cross-fitting: triples are tested with a circuit that was selected without them, a circuit a fold.

Outcomes of all folds are put together triple by triple; the bootstrap over triples holds the folds' circuits fixed, as it
holds the one circuit of a single split. What another selection changes shows between folds: `across_folds` has the interval of
a t test over the folds' own values. Five circuits say little of the spread over circuits, and their training triples overlap:
this interval is still somewhat short. The nulls are drawn in each fold, and the draws of one number put together.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import pandas as pd

from ..models.protocol import HookedModel
from ..prompts.promptset import PromptSet
from .across_folds import FITTED, across_folds, on_one_scale
from .battery import Outcomes
from .checks import RANDOM, ExperimentError
from .kept import Kept
from .nulls import Nulls
from .run import Circuits, Run, measure
from .scores import chosen_triples
from .settings import Settings

log = logging.getLogger(__name__)
FEWEST = 2
"""Triples of a fold: each is read under another's request, too."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One part of a cross-fit: the triples that it is tested on, those that it is selected from, and its sizes."""

    test: PromptSet
    train: PromptSet
    settings: Settings


def dealt(prompts: PromptSet, folds: int, settings: Settings) -> list[Fold]:
    """`prompts` in `folds` parts, each tested once, with the others to train on. At most `test_triples` triples are tested in
    all, and `null_triples` of them read for the nulls.

    Raises:
        PromptError: fewer independent triples than folds.
        ExperimentError: a fold of a single triple, which has no other request to be read under.
    """
    parts = prompts.folds(folds, seed=settings.seed)
    if (fewest := min(len(part.triples) for part in parts)) < FEWEST:
        raise ExperimentError(
            f"{folds} folds of {len(prompts.triples)} triples hold as few as {fewest}, and each needs at least {FEWEST}: "
            "give fewer folds"
        )
    each = replace(settings, null_triples=max(FEWEST, settings.null_triples // folds))
    tested = max(FEWEST, settings.test_triples // folds)
    return [
        Fold(
            test=chosen_triples(part, tested, seed=settings.seed),
            train=reduce(add, (other for other in parts if other is not part)),
            settings=each,
        )
        for part in parts
    ]


def measure_folds(
    model: HookedModel,
    prompts: PromptSet,
    folds: int,
    *,
    development: PromptSet | None,
    settings: Settings,
    crossed: bool = False,
    kept: Kept | None = None,
    progress: bool = False,
) -> Run:
    """`measure` in each fold of `prompts` as they are `dealt`, put together.

    Raises:
        PromptError, ExperimentError: see `dealt`.
    """
    runs = []
    for at, fold in enumerate(dealt(prompts, folds, settings)):
        log.info("fold %d of %d", at + 1, folds)
        runs.append(
            measure(
                model,
                {},
                fold.test,
                train=fold.train,
                development=development,
                settings=fold.settings,
                crossed=crossed,
                kept=(kept or Kept()).of(f"fold {at} of {folds}"),
                progress=progress,
            )
        )
    return pooled(runs)


def pooled(runs: Sequence[Run]) -> Run:
    """One run of all triples. Instruments, conditions and scores are described by the first fold's; circuits by each fold's.

    Scores of instruments that a fold made itself are put on one scale (`across_folds.on_one_scale`); their threshold is lost.
    """
    first = runs[0]
    names = [name for name in first.conditions if all(name in run.conditions for run in runs)]
    lost = {name: "it could not be made in every fold" for run in runs for name in run.conditions if name not in names}
    circuits: Circuits = {name: first.circuits[name] for name in first.circuits if name in names}
    main = first.main
    circuits |= {f"{main}, fold {at}": run.circuit for at, run in enumerate(runs[1:], start=2)}
    return replace(
        first,
        test=reduce(add, (run.test for run in runs)),
        instruments=replace(
            first.instruments, thresholds={key: at for key, at in first.instruments.thresholds.items() if key not in FITTED}
        ),
        circuits=circuits,
        conditions={name: first.conditions[name] for name in names},
        missing={RANDOM: "plainly random circuits are not put together over folds"}
        | lost
        | {name: why for run in runs for name, why in run.missing.items()},
        outcomes=_outcomes([run.outcomes for run in runs]),
        nulls=_nulls([run.nulls for run in runs]),
        unexplained=next((run.unexplained for run in runs if run.unexplained), ""),
        aims={task: name for task, name in first.aims.items() if name in names},
        damage="strengths at equal damage belong to one circuit, and every fold has its own",
        aside=None,
        layers=None,
        across=across_folds([run.outcomes for run in runs], main, primary=first.instruments.primary),
    )


def _outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    seconds: dict[str, float] = {}
    for part in parts:
        for task, took in part.seconds.items():
            seconds[task] = seconds.get(task, 0.0) + took
    whole = lambda name: pd.concat([getattr(part, name) for part in parts], ignore_index=True)
    frame = pd.concat([on_one_scale(part.frame) for part in parts], ignore_index=True)
    return Outcomes(frame, whole("responses"), whole("items"), seconds)


def _nulls(parts: Sequence[Nulls | None]) -> Nulls | None:
    """Draw d of all folds is one draw; a fold with fewer limits their number."""
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return None

    def together(drawn: Sequence[np.ndarray]) -> np.ndarray:
        fewest = min(map(len, drawn))
        return np.concatenate([draws[:fewest] for draws in drawn], axis=1)

    return Nulls(
        np.concatenate([part.observed for part in whole]),
        {kind: together([part.rises[kind] for part in whole]) for kind in whole[0].rises},
        whole[0].balance,
        {kind: together([part.falls[kind] for part in whole]) for kind in whole[0].falls},
        np.concatenate([part.observed_fall for part in whole]),
    )
