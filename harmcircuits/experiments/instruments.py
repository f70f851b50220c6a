"""How recognition is read: chosen on the development split by the intact model, then frozen.

Two readings are taken in generation's own chat context, a question after the response and a linear probe at the end of the
request; the one with the better AUROC on the development split is the *primary* reading, which the verdict rests on. Many-shot
labels in plain text are the second context.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from ..attribution.activations import ModelMetric
from ..examples import Example, Prompt
from ..models.protocol import HookedModel, geometry
from ..prompts.promptset import PromptSet
from ..statistics import auroc
from ..tasks.formats import QUESTIONS, SHOT_FORMATS, Question, usable
from ..tasks.metrics import ProbeMetric, QuestionMetric
from ..tasks.probe import Probe, fit_probe, last_request_residual
from ..tasks.recognition import ShotError, Shots, make_shots, many_shot
from ..tasks.teacher_forced import teacher_forced
from .scores import chosen_triples, triple_prompts
from .settings import Settings

log = logging.getLogger(__name__)

Reading = Literal["in_place", "probe"]


@dataclass(frozen=True, eq=False)
class Instruments:
    """What recognition is read with; `tried` holds each candidate's AUROC on the development split."""

    question: Question
    shots: Shots | None = None
    probe: Probe | None = None
    primary: Reading = "in_place"
    tried: dict[str, float] = field(default_factory=dict)

    @property
    def aim(self) -> ModelMetric:
        """What a circuit aimed at recognition is found with: the loss of the primary reading."""
        return ProbeMetric(self.probe) if self.primary == "probe" and self.probe else QuestionMetric(self.question)

    def settings(self) -> dict[str, str]:
        none = "none: no training split was given"
        return {
            "many-shot format": self.shots.form.name if self.shots else none,
            "question in place": self.question.name,
            "probe": f"last request token, after layer {self.probe.layer}" if self.probe else none,
            "primary reading of recognition": "probe" if self.primary == "probe" else "question in place",
        } | {f"development AUROC, {name}": f"{value:.3f}" for name, value in self.tried.items()}


def choose_instruments(
    model: HookedModel,
    train: PromptSet | None,
    development: PromptSet | None,
    development_examples: Sequence[Example],
    settings: Settings,
    *,
    progress: bool = False,
) -> Instruments:
    """The question, shot format and probe layer with the best AUROC (harmful against near twins) on the development split.

    Shots and the probe's training come from `train`. Without a development split the first question and format and the middle
    layer are taken, and the question is primary; without training triples there are neither shots nor a probe.
    """
    tried: dict[str, float] = {}
    with tqdm(total=3, desc="choose formats", unit="kind", disable=not progress) as bar:
        question = _choose_question(model, development_examples, tried)
        bar.update()
        if train is None or not train.triples:
            return Instruments(question, tried=tried)
        shots = _choose_shots(model, train, development, settings, tried)
        bar.update()
        probe, probe_auroc = _choose_probe(model, train, development, tried)
        bar.update()
    primary: Reading = "probe" if probe_auroc > tried.get(question.name, 0.5) else "in_place"
    return Instruments(question, shots, probe, primary, tried)


def _choose_question(model: HookedModel, examples: Sequence[Example], tried: dict[str, float]) -> Question:
    twins = [example for example in examples if example.role != "far"]
    questions = usable(model, QUESTIONS)
    if not twins:
        return questions[0]
    for question in questions:
        odds = teacher_forced(model, twins, {"intact": None}, question=question)["in_place"].to_numpy()
        tried[question.name] = _auroc(odds, twins)
    return max(questions, key=lambda question: tried[question.name])


def _choose_shots(
    model: HookedModel, train: PromptSet, development: PromptSet | None, settings: Settings, tried: dict[str, float]
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
    asked = _twins(chosen_triples(development, settings.development_triples, seed=settings.seed))
    for shots in candidates:
        tried[shots.form.name] = _auroc(many_shot(model, asked, shots).numpy(), asked)
    return max(candidates, key=lambda shots: tried[shots.form.name])


def _choose_probe(
    model: HookedModel, train: PromptSet, development: PromptSet | None, tried: dict[str, float]
) -> tuple[Probe, float]:
    """Layers from the middle to three quarters of the depth; a probe needs requests only, so every triple is used."""
    depth = geometry(model).n_layers
    layers = sorted({min(depth - 1, depth * eighth // 8) for eighth in (3, 4, 5, 6)})
    learn = _twins(train)
    residual = last_request_residual(model, learn, layers)
    harmful = [prompt.role == "harmful" for prompt in learn]
    probes = [fit_probe(residual[:, at], harmful, layer=layer) for at, layer in enumerate(layers)]
    if development is None or not development.triples:
        return probes[len(probes) // 2], 0.0
    check = _twins(development)
    seen = last_request_residual(model, check, layers)
    values = [_auroc(probe.score(seen[:, at]).numpy(), check) for at, probe in enumerate(probes)]
    tried.update({f"probe after layer {layer}": value for layer, value in zip(layers, values, strict=True)})
    best = int(np.argmax(values))
    return probes[best], values[best]


def _twins(prompts: PromptSet) -> list[Prompt]:
    return [prompt for prompt in triple_prompts(prompts) if prompt.role != "far"]


def _auroc(score: np.ndarray, prompts: Sequence[Prompt] | Sequence[Example]) -> float:
    harmful = np.array([prompt.role == "harmful" for prompt in prompts])
    return float(auroc(score[harmful], score[~harmful]))
