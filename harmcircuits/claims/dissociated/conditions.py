"""What is switched off: at each grain the recipe aimed at generation, recognition, explanation, twins; and a random match."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch

from ...components import Circuit, WeightMask
from ...examples import Prompt
from ...experiments.asked import explained_prompts
from ...experiments.checks import EXPLANATION, MATCHED, RECOGNITION, TWINS
from ...experiments.controls import explanation_scores, matched
from ...experiments.names import name_of_examples
from ...experiments.scores import chosen_triples, recipe
from ...models.matrices import matrices
from ...models.protocol import geometry
from ...selection.protected import SelectionError
from ..material import Material
from .aims import AIMS, BOTH, WEIGHTS, WRITING, name
from .masks import NO_WEIGHTS, weight_masks

log = logging.getLogger(__name__)

COLUMNS = ["grain", "aim", "part", "first", "second", "reason"]

Off = Circuit | WeightMask
Made = Mapping[str, Off | str]
"""By aim, what is switched off, or why it could not be built."""


@dataclass(frozen=True, eq=False)
class Built:
    """What is read.

    Attributes:
        made: by grain and aim.
        explained: test requests whose explanation is read; unexplained: why there are none.
    """

    made: Mapping[str, Made]
    explained: Sequence[Prompt]
    unexplained: str

    def of(self, grain: str) -> dict[str, Off]:
        """The conditions of one grain by aim, those that could be built."""
        return {aim: off for aim, off in self.made[grain].items() if not isinstance(off, str)}

    def conditions(self) -> dict[str, Off]:
        """All of them by `name`."""
        return {name(grain, aim): off for grain in self.made for aim, off in self.of(grain).items()}


def build(material: Material, grains: Sequence[str], explained: int, *, progress: bool = False) -> Built:
    """Selects every condition, or reads what an earlier run selected from the journal.

    The recipe is that of `dissociate`: the same counts (of weights: the same q and p) and protection whatever the aim.
    """
    tested, why = explained_prompts(material.test, explained, setting="explained")
    learnt: list[Prompt] = []
    if not why:
        spread = chosen_triples(material.train, len(material.train.triples), seed=material.settings.seed)
        learnt, why = explained_prompts(spread, material.settings.aim_triples, setting="aim_triples")
    make = partial(_as_frame, material, grains, learnt, why, progress)
    key = [material.key, name_of_examples(material.training), material.instruments.settings(), material.settings.as_dict()]
    frame = material.journal.frame("circuits", [*key, list(grains), [prompt.request for prompt in learnt], why], make)
    return Built(_read(material, grains, frame), [] if why else tested, why)


def _as_frame(material: Material, grains: Sequence[str], learnt: Sequence[Prompt], why: str, progress: bool) -> pd.DataFrame:
    """Every component or weight of every condition, a row each; or a row with the reason why there is none."""
    rows: list[tuple[Any, ...]] = []
    for grain, made in _made(material, grains, learnt, why, progress):
        for aim, off in made.items():
            rows += [(grain, aim, *row) for row in _rows(off)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(off: Off | str) -> Iterator[tuple[str, int, int, str]]:
    if isinstance(off, str):
        yield "", 0, 0, off
    elif isinstance(off, WeightMask):
        for matrix, indices in off.indices.items():
            yield from ((matrix, index, 0, "") for index in indices.tolist())
    else:
        for kind, items in (("heads", off.heads), ("neurons", off.neurons)):
            yield from ((kind, layer, index, "") for layer, index in items)


def _read(material: Material, grains: Sequence[str], frame: pd.DataFrame) -> Mapping[str, Made]:
    """The inverse of `_as_frame`."""
    made: dict[str, dict[str, Off | str]] = {grain: {} for grain in grains}
    for (grain, aim), rows in frame.groupby(["grain", "aim"], sort=False):
        if reason := str(rows["reason"].iloc[0] or ""):
            made[str(grain)][str(aim)] = reason
        elif grain == WEIGHTS:
            own = {str(matrix): torch.tensor(part["first"].tolist()) for matrix, part in rows.groupby("part", sort=False)}
            shapes = {matrix.name: matrix.shape for matrix in matrices(material.model)}
            made[str(grain)][str(aim)] = WeightMask(indices=own, shapes=shapes)
        else:
            items = {
                kind: [(int(row["first"]), int(row["second"])) for row in rows[rows["part"] == kind].to_dict("records")]
                for kind in ("heads", "neurons")
            }
            made[str(grain)][str(aim)] = Circuit(**items)
    return made


def _made(
    material: Material, grains: Sequence[str], learnt: Sequence[Prompt], why: str, progress: bool
) -> Iterator[tuple[str, Made]]:
    scores, settings = material.scores, material.settings
    targets = {WRITING: (scores.harmful, scores.benign), TWINS: (scores.near, scores.harmful + scores.far)}
    missing = {EXPLANATION: why} if why else {}
    if scores.recognition is None:
        missing[RECOGNITION] = "recognition has no scores"
    else:
        targets[RECOGNITION] = (scores.recognition, scores.benign)
    if learnt and set(grains) - {WEIGHTS}:
        targets[EXPLANATION] = (explanation_scores(material.model, learnt, progress=progress), scores.benign)
    shape = geometry(material.model)
    sizes = {"heads": settings.n_heads(shape), "neurons": settings.n_neurons(shape)}
    for grain in grains:
        if grain == WEIGHTS:
            off = dict.fromkeys(AIMS, NO_WEIGHTS)
            yield grain, weight_masks(material, learnt, why, progress=progress) if settings.weight_q else off
            continue
        counts = {kind: size if grain in (kind, BOTH) else 0 for kind, size in sizes.items()}
        made: dict[str, Off | str] = dict(missing)
        for aim, (target, protect) in targets.items():
            try:
                made[aim] = recipe(target, protect, settings, **counts)
            except SelectionError as error:
                log.warning("no circuit of %s %s: %s", grain, aim, error)
                made[aim] = str(error)
        circuit = made[WRITING]
        made[MATCHED] = circuit if isinstance(circuit, str) else _matched(material, circuit)
        yield grain, {aim: made[aim] for aim in AIMS}


def _matched(material: Material, circuit: Off) -> Circuit:
    assert isinstance(circuit, Circuit), "weights are matched apart"
    return matched(circuit, material.scores, material.settings, seed=material.settings.seed)
