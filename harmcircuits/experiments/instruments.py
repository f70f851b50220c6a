"""How recognition is read: chosen on the development split by the intact model, then frozen.

Two readings are taken in generation's own chat context after the response, when all that was written has been read: a
question's log-odds, and a linear probe where that question is answered, after the last layer, so that no component lies beyond
it. The one with the better AUROC on the development split is the *primary* reading, which the verdict rests on. A probe at the
request's last token (before anything is written) and many-shot labels in plain text stand beside them.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from ..attribution.metrics import ModelMetric
from ..data import Example, Prompt, PromptSet
from ..models.protocol import HookedModel, geometry
from ..statistics import auroc
from ..tasks.formats import QUESTIONS, SHOT_FORMATS, Question, usable
from ..tasks.metrics import ProbeMetric, QuestionMetric
from ..tasks.probe import Place, Probe, fit_probe, place_residuals
from ..tasks.recognition import ShotError, Shots, make_shots, many_shot
from ..tasks.teacher_forced import teacher_forced
from .scores import chosen_triples, triple_prompts
from .settings import ClaimSettings

log = logging.getLogger(__name__)

Reading = Literal["in_place", "probe"]
PROBES: dict[str, Place] = {"probe": "answer", "probe_request": "request"}
"""Columns of outcomes, and where each probe is read."""

NEAR_CHANCE = 0.6
"""An AUROC below this has little room to fall: a warning, before the long part of the run."""

NONE = "none: no training split was given"


@dataclass(frozen=True, eq=False, kw_only=True)
class Instruments:
    """What recognition is read with.

    Attributes:
        probes: by column ("probe" after the response, "probe_request" before it); empty without training triples.
        primary: the column that the verdict rests on.
        tried: each candidate's AUROC on the development split.
    """

    question: Question
    shots: Shots | None = None
    probes: Mapping[str, Probe] = field(default_factory=dict)
    primary: Reading = "in_place"
    tried: Mapping[str, float] = field(default_factory=dict)

    @property
    def aim(self) -> ModelMetric:
        """What a circuit aimed at recognition is found with: the loss of the primary reading."""
        return ProbeMetric(self.probes["probe"], self.question) if self.primary == "probe" else QuestionMetric(self.question)

    @property
    def reading(self) -> str:
        """The primary reading, in words."""
        return self.probes["probe"].name if self.primary == "probe" else "question in place"

    def settings(self) -> dict[str, str]:
        return {
            "many-shot format": self.shots.form.name if self.shots else NONE,
            "question in place": self.question.name,
            **{
                column.replace("_", " at the "): (self.probes[column].name if column in self.probes else NONE)
                for column in PROBES
            },
            "primary reading of recognition": self.reading,
        } | {f"development AUROC, {name}": f"{value:.3f}" for name, value in self.tried.items()}


def choose_instruments(
    model: HookedModel,
    train: PromptSet | None,
    development: PromptSet | None,
    train_twins: Sequence[Example],
    development_twins: Sequence[Example],
    settings: ClaimSettings,
    *,
    many_shot: bool = True,
) -> Instruments:
    """The question, the shot format and the request probe's layer with the best AUROC (harmful against near twins) on the
    development split, and the better of question and probe as the primary reading.

    Shots come from `train`, probes are trained on `train_twins`. Without a development split the first question and format and
    the middle layer are taken, and the question is primary; without training triples there are neither shots nor probes.
    `many_shot` False: no shots either, which are dear to choose.
    """
    tried: dict[str, float] = {}
    question = _choose_question(model, development_twins, tried)
    if train is None or not train.triples:
        return Instruments(question=question, tried=tried)
    shots = _choose_shots(model, train, development, settings, tried) if many_shot else None
    probes = _fit_probes(model, train_twins, development_twins, question, tried)
    better = tried.get(probes["probe"].name, 0.0) > tried.get(question.name, 0.5)
    if tried and max(tried.get(probes["probe"].name, 0.0), tried[question.name]) < NEAR_CHANCE:
        log.warning(
            "after the response, nothing tells harmful requests from near twins on the development split (question %.3f, probe "
            "%.3f AUROC): this run will hardly be able to say whether recognition stays",
            tried[question.name],
            tried[probes["probe"].name],
        )
    return Instruments(
        question=question,
        shots=shots,
        probes=probes,
        primary="probe" if better else "in_place",
        tried=tried,
    )


def _choose_question(model: HookedModel, twins: Sequence[Example], tried: dict[str, float]) -> Question:
    questions = usable(model, QUESTIONS)
    if not twins:
        return questions[0]
    odds = {one: teacher_forced(model, twins, {"intact": None}, question=one)["in_place"].to_numpy() for one in questions}
    tried.update({one.name: _auroc(values, twins) for one, values in odds.items()})
    return max(questions, key=lambda one: tried[one.name])


def _choose_shots(
    model: HookedModel,
    train: PromptSet,
    development: PromptSet | None,
    settings: ClaimSettings,
    tried: dict[str, float],
) -> Shots | None:
    most = 2 * len(train.triples)
    forms = [replace(form, n_shots=min(settings.shots, most)) for form in usable(model, SHOT_FORMATS)]
    try:
        candidates = [make_shots(tuple(train), form, draws=settings.shot_draws, seed=settings.seed) for form in forms]
    except ShotError as error:
        log.warning("no many-shot recognition: %s", error)
        return None
    if development is None or not development.triples:
        return candidates[0]
    few = chosen_triples(development, settings.development_triples, seed=settings.seed)
    asked = [prompt for prompt in triple_prompts(few) if prompt.role != "far"]
    candidates, odds = _readable(model, candidates, asked)
    if not candidates:
        return None
    found = [_auroc(values, asked) for values in odds]
    tried.update({shots.form.name: value for shots, value in zip(candidates, found, strict=True)})
    return candidates[int(np.argmax(found))]


def _readable(
    model: HookedModel, candidates: Sequence[Shots], asked: Sequence[Prompt]
) -> tuple[list[Shots], list[Float[np.ndarray, " prompt"]]]:
    """The shots that fit into the model's context with these requests, and the log-odds after them."""
    kept, odds = [], []
    for shots in candidates:
        try:
            odds.append(many_shot(model, asked, shots).numpy())
            kept.append(shots)
        except ShotError as error:
            log.warning("%s is left out: %s", shots.form.name, error)
    return kept, odds


def _fit_probes(
    model: HookedModel, train: Sequence[Example], development: Sequence[Example], question: Question, tried: dict[str, float]
) -> dict[str, Probe]:
    """One after the response, after the last layer; one at the request, its layer chosen from the middle of the depth."""
    depth = geometry(model).n_layers
    middle = sorted({min(depth - 1, depth * eighth // 8) for eighth in (3, 4, 5, 6)})
    layers = sorted({*middle, depth - 1})
    learnt = place_residuals(model, train, question, layers)
    harmful = [example.role == "harmful" for example in train]

    def fitted(place: Place, layer: int) -> Probe:
        return fit_probe(learnt[place][:, layers.index(layer)], harmful, layer=layer, place=place)

    after, before = fitted("answer", depth - 1), [fitted("request", layer) for layer in middle]
    if not development:
        return {"probe": after, "probe_request": before[len(before) // 2]}
    seen = place_residuals(model, development, question, layers)
    for probe in (after, *before):
        scores = probe.score(seen[probe.place][:, layers.index(probe.layer)]).numpy()
        tried[probe.name] = _auroc(scores, development)
    return {"probe": after, "probe_request": max(before, key=lambda probe: tried[probe.name])}


def _auroc(score: Float[np.ndarray, " prompt"], prompts: Sequence[Prompt] | Sequence[Example]) -> float:
    harmful = np.array([prompt.role == "harmful" for prompt in prompts])
    return float(auroc(score[harmful], score[~harmful]))
