"""Scores of the test prompts by each reading of recognition; what is kept from before is not read again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..examples import Example, Prompt
from ..models.protocol import HookedModel, geometry
from ..statistics import auroc
from ..tasks.formats import FormatError, Question
from ..tasks.probe import PLACES, Place, Probe, place_residuals, ridge
from ..tasks.recognition import ShotError, Shots, arbitrary_labels, many_shot, shuffled_labels
from ..tasks.teacher_forced import INTACT, teacher_forced
from .kept import Kept
from .reading_results import Control, Kind

Scores = Float[np.ndarray, " prompt"]
CONTROLS: tuple[Control, ...] = ("", "shuffled labels", "arbitrary words")


@dataclass(frozen=True)
class Parts:
    """`train` and `development` hold harmful prompts and those that these are held against; `test` far twins too."""

    train: list[Prompt]
    development: list[Prompt]
    test: list[Prompt]


@dataclass(frozen=True)
class Taken:
    """The scores of the test prompts by one reading."""

    name: str
    kind: Kind
    scores: Scores
    control: Control = ""
    n_shots: int | None = None


def many_shot_readings(
    model: HookedModel,
    test: Sequence[Prompt],
    made: Sequence[Shots],
    *,
    kept: Kept,
    seed: int,
    remarks: list[str],
    progress: bool,
) -> list[Taken]:
    """Each format with each number of shots, and its controls; one that this model cannot be asked becomes a remark."""
    found = []
    for shots in tqdm(made, desc="many-shot formats", unit="format", disable=not progress):
        for control in CONTROLS:
            own = _changed(control, seed)(shots)
            name = shots.form.name
            try:
                read = _scores(kept, "shots", [own, control, seed], partial(_asked_in_shots, model, test, own))
            except (FormatError, ShotError) as error:
                remarks.append(f"{name}{f', {control}' if control else ''}: {error}")
            else:
                found.append(Taken(name, "many-shot", read[own.form.name], control, shots.form.n_shots))
    return found


def in_place_readings(
    model: HookedModel, test: Sequence[Example], questions: Sequence[Question], *, kept: Kept, progress: bool
) -> list[Taken]:
    """Each question, after the response."""
    found = []
    for question in tqdm(questions, desc="questions in place", unit="question", disable=not progress):
        read = _scores(kept, "question", question, partial(_asked_in_place, model, test, question))
        found.append(Taken(question.name, "in place", read[question.name]))
    return found


def probe_readings(
    model: HookedModel, parts: Parts, examples: Sequence[Example], question: Question, *, kept: Kept
) -> list[Taken]:
    """One a place, after its best layer on the development part (the lowest of equal ones).

    Args:
        examples: responses to all of `parts`, in their order.
    """
    read = _scores(kept, "probes", question, partial(_probed, model, parts, examples, question))
    return [Taken(name, "probe", scores) for name, scores in read.items()]


def _scores(kept: Kept, what: str, about: object, make: Callable[[], dict[str, Scores]]) -> dict[str, Scores]:
    """By reading: as they were kept, or made now."""
    frame = kept.frame(what, about, lambda: pd.DataFrame(make()))
    return {str(name): frame[name].to_numpy(dtype=float) for name in frame}


def _asked_in_shots(model: HookedModel, test: Sequence[Prompt], shots: Shots) -> dict[str, Scores]:
    return {shots.form.name: many_shot(model, test, shots).numpy()}


def _asked_in_place(model: HookedModel, test: Sequence[Example], question: Question) -> dict[str, Scores]:
    frame = teacher_forced(model, test, {INTACT: None}, question=question)
    return {question.name: frame["in_place"].to_numpy(dtype=float)}


def _probed(model: HookedModel, parts: Parts, examples: Sequence[Example], question: Question) -> dict[str, Scores]:
    residuals = place_residuals(model, examples, question, range(geometry(model).n_layers))
    n, middle = len(parts.train), len(parts.train) + len(parts.development)
    taught, chosen_on = ([prompt.role == "harmful" for prompt in own] for own in (parts.train, parts.development))
    found = {}
    for place in PLACES:
        by_layer = residuals[place].transpose(0, 1)
        probes = _by_layer(place, ridge(by_layer[:, :n], taught))
        scores = np.stack([probe.score(own[n:]).numpy() for probe, own in zip(probes, by_layer, strict=True)])
        development, harmful = scores[:, : middle - n], np.array(chosen_on)
        best = int(np.argmax(auroc(development[:, harmful], development[:, ~harmful])))
        found[probes[best].name] = scores[best, middle - n :]
    return found


def _by_layer(place: Place, fitted: Sequence[Float[Tensor, "layer d_model"]]) -> list[Probe]:
    parts = zip(*fitted, strict=True)
    return [
        Probe(layer=layer, place=place, mean=mean, scale=scale, direction=direction)
        for layer, (mean, scale, direction) in enumerate(parts)
    ]


def _changed(control: Control, seed: int) -> Callable[[Shots], Shots]:
    if control == "shuffled labels":
        return partial(shuffled_labels, seed=seed)
    return arbitrary_labels if control == "arbitrary words" else lambda shots: shots
