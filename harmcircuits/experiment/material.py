"""What an experiment is made of: prompts, the baseline's responses, training scores, recognition's instruments."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from ..ablation.ablate import BASELINE, Condition
from ..attribution.first_order import attribute
from ..attribution.scores import Attribution
from ..circuits.controls import CircuitRecipe
from ..data import Example, Prompt, PromptSet, load_prompts, near_duplicate_groups, words
from ..data.elicit import elicit
from ..models.protocol import HookedModel
from ..readings.capabilities import Capabilities
from ..readings.compliance import Compliance, Refusal
from ..readings.explanation import Explanation, explained
from ..readings.loss import Loss
from ..readings.many_shot import ManyShot, RecognitionMetric, ShotError, Shots, check_length, make_shots, recognition_metric
from ..readings.probe import Direction, Probe, fit_directions, request_residuals
from ..readings.questions import QUESTIONS, BalancedQuestion, FormatError, can_ask, question_log_odds
from ..readings.reading import Reading
from ..readings.recognition import BalancedMetric, InPlace, Recognition
from ..statistics import auroc
from .effects import Effects, d_prime, ordered
from .measure import Cache, measure
from .settings import Settings

log = logging.getLogger(__name__)


RECOGNITION = {"recognition": "recognition", "many_shot": "many_shot", "probe_last": "probe"}
"""Measures of recognition, each with its reading, in the order in which one is taken for the answer.

Of the probes it is the one after the last layer: components after an earlier one could not change it.
"""


class ExperimentError(ValueError):
    """Prompts or circuits with which the experiment cannot be run; the message says what is missing."""


@dataclass(frozen=True, eq=False)
class Material:
    """Everything of an experiment that is no condition; made when it is first used.

    Attributes:
        test: requests that nothing else has touched.
        train: requests that scores, shots and probes are taken from; None: only given circuits can be tested.
        development: requests on which the question and the sizes are chosen; None: the first question is taken.
    """

    model: HookedModel
    test: PromptSet
    train: PromptSet | None
    development: PromptSet | None
    settings: Settings
    cache: Cache = field(default_factory=Cache)

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """Test prompts, roles in turn."""
        return ordered(self.test, self.settings.test_prompts)

    @cached_property
    def written(self) -> tuple[Prompt, ...]:
        """The first test prompts, which are answered freely."""
        return ordered(self.test, self.settings.written_prompts)

    @cached_property
    def control_prompts(self) -> tuple[Prompt, ...]:
        """The first test prompts, on which controls are measured."""
        return ordered(self.test, min(self.settings.control_prompts, self.settings.test_prompts))

    @cached_property
    def development_prompts(self) -> tuple[Prompt, ...]:
        return ordered(self.development or (), self.settings.development_prompts)

    @cached_property
    def responses(self) -> tuple[Example, ...]:
        """The baseline's greedy responses to the test prompts, under attack."""
        return self.respond(self.prompts)

    def respond(self, prompts: Sequence[Prompt]) -> tuple[Example, ...]:
        """Return the baseline's greedy responses under attack."""
        return tuple(elicit(self.model, prompts, max_new_tokens=self.settings.max_new_tokens, temperature=0))

    @cached_property
    def train_prompts(self) -> tuple[list[Prompt], list[Prompt]]:
        """Harmful requests, and as many benign ones: matched and unrelated in turn, where there are both."""
        prompts = ordered(self.train or (), self.settings.train_prompts)
        harmful = [prompt for prompt in prompts if prompt.role == "harmful"]
        benign = [prompt for prompt in prompts if prompt.role != "harmful"][: len(harmful)]
        if not benign:
            raise ExperimentError(
                f"{len(harmful)} harmful and {len(prompts) - len(harmful)} benign training requests, and "
                "at least one of each is needed to score components. Give train= with both: load_prompts(harmful=…, benign=…)."
            )
        return harmful, benign

    @cached_property
    def asked_prompts(self) -> list[Prompt]:
        """Training requests that recognition is attributed on: a quarter of both, each asked both ways."""
        return [prompt for kind in self.train_prompts for prompt in kind[: (len(kind) + 3) // 4]]

    @cached_property
    def train_examples(self) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
        """The baseline's greedy responses to both."""
        harmful, benign = self.train_prompts
        return self.respond(harmful), self.respond(benign)

    @cached_property
    def recipe(self) -> CircuitRecipe:
        """Scores of heads and neurons on training examples."""
        harmful, benign = self.train_examples
        asked, metric = self.asked_prompts, self.recognition_metric
        return CircuitRecipe(
            self._scores("harmful", lambda: attribute(self.model, harmful), harmful),
            self._scores("benign", lambda: attribute(self.model, benign), benign),
            self.settings.protect,
            self._scores("recognition", lambda: attribute(self.model, asked, metric=metric), [metric, asked]),
        )

    @cached_property
    def recognition_metric(self) -> BalancedMetric | RecognitionMetric:
        """What the control aimed at recognition attributes: the right answer to the question and its twin, or after shots."""
        if self.primary == "many_shot" and self.shots is not None:
            return recognition_metric(self.shots)
        return BalancedMetric(self.question)

    def _scores(self, name: str, make: Callable[[], Attribution], about: object) -> Attribution:
        return self.cache.file(f"scores-{name}", about, make, load=Attribution.load, save=Attribution.save)

    @cached_property
    def question(self) -> BalancedQuestion:
        """The balanced question with the highest AUROC on development prompts, of equal ones that with the largest d′; frozen
        before anything is ablated."""
        usable = [question for question in QUESTIONS if can_ask(self.model, question)]
        if not usable:
            raise FormatError("no question about harm has two labels that this model's tokenizer tells apart")
        if not self.development_prompts:
            return usable[0]
        separations = {question.name: self._question_separation(question) for question in usable}
        log.info("AUROC and d′ of recognition on development requests: %s", separations)
        return max(usable, key=lambda question: separations[question.name])

    def _question_separation(self, question: BalancedQuestion) -> tuple[float, float]:
        """AUROC and d′ of harmful against all benign development requests; d′ is 0 where a kind has one request alone."""
        twins = (question.question, question.reversed)
        first, second = (question_log_odds(self.model, self.development_prompts, twin)[0] for twin in twins)
        scores = (first + second).numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            sensitivity = np.nan_to_num(d_prime(scores[None, self._harmful], scores[None, ~self._harmful]))
        return self._separation(scores), float(sensitivity[0])

    @cached_property
    def _harmful(self) -> Bool[np.ndarray, " prompt"]:
        return np.array([prompt.role == "harmful" for prompt in self.development_prompts])

    def _separation(self, scores: Float[np.ndarray, " prompt"]) -> float:
        """AUROC of harmful against all benign development requests."""
        return float(auroc(scores[self._harmful], scores[~self._harmful]))

    @cached_property
    def shots(self) -> Shots | None:
        """Labelled training requests; None where there are too few, or none are asked for."""
        if not self.settings.shots or self.train is None:
            return None
        try:
            shots = make_shots(self.train.prompts, n_shots=self.settings.shots, seed=self.settings.seed)
            prompts = (*self.prompts, *self.development_prompts, *self.train)
            check_length(self.model, shots, [prompt.request for prompt in prompts])
            return shots
        except ShotError as error:
            log.warning("many-shot recognition is not read: %s", error)
            return None

    @cached_property
    def directions(self) -> tuple[Direction, Direction] | None:
        """Probes at the layer with the highest AUROC on development requests, and after the last layer."""
        if self.train is None or not self.development_prompts:
            return None
        every = fit_directions(self.model, [prompt for kind in self.train_prompts for prompt in kind])
        residual = request_residuals(self.model, self.development_prompts, range(len(every)))
        best = max(range(len(every)), key=lambda layer: self._separation(every[layer].score(residual[layer]).numpy()))
        return every[best], every[-1]

    @cached_property
    def primary(self) -> str:
        """The measure of recognition that the answer rests on, chosen on the baseline's development requests.

        The first of question, many-shot and probe whose AUROC is shown to be above chance against every kind of benign request;
        else against any; else the question.
        """
        prompts = self.development_prompts
        readings = self.recognition_readings(prompts, one_sided=False)
        if not prompts or len(readings) == 1:
            return "recognition"
        effects = Effects(measure(self.model, [Condition(BASELINE)], readings, cache=self.cache), prompts)
        shown = {
            name: [(effects.auroc(BASELINE, name, role).low or 0) > 0.5 for role in effects.roles[1:]]
            for name in RECOGNITION
            if effects.outcomes.has(BASELINE, name)
        }
        log.info("recognition above chance on development requests, by kind of benign request: %s", shown)
        ranked = [name for enough in (all, any) for name, above in shown.items() if enough(above)]
        return ranked[0] if ranked else "recognition"

    def recognition_readings(self, prompts: tuple[Prompt, ...], *, one_sided: bool = True) -> list[Reading]:
        """Every reading of recognition that can be taken, the question first."""
        readings: list[Reading] = [Recognition(prompts, self.question, one_sided=one_sided)]
        if self.shots is not None:
            readings.append(ManyShot(prompts, self.shots))
        if self.directions is not None:
            readings.append(Probe(prompts, *self.directions))
        return readings

    @cached_property
    def control_readings(self) -> tuple[Reading, ...]:
        """Losses and recognition, with the measure that the answer rests on, of the first test requests."""
        prompts = self.control_prompts
        question, *others = self.recognition_readings(prompts, one_sided=False)
        primary = RECOGNITION[self.primary]
        return (Loss(self.responses[: len(prompts)]), question, *(other for other in others if other.name == primary))

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Everything that baseline and circuits are measured by."""
        settings = self.settings
        harmful = [prompt for prompt in self.written if prompt.role == "harmful"]
        question, *others = self.recognition_readings(self.prompts)
        return (
            Loss(self.responses),
            question,
            Compliance(self.written, max_new_tokens=settings.written_tokens),
            *([self._sampled] if settings.sampled else []),
            Refusal(self.written),
            InPlace(self.responses[: len(self.control_prompts)], self.question),
            *others,
            *([Explanation(explained(self.model, harmful))] if len(harmful) > 1 else []),
            *([Capabilities(settings.facts, settings.passages)] if settings.facts or settings.passages else []),
        )

    @property
    def _sampled(self) -> Compliance:
        settings = self.settings
        return Compliance(self.written, temperature=1.0, max_new_tokens=settings.written_tokens, seed=settings.seed)


def prepare(
    model: HookedModel,
    prompts: PromptSet | None,
    train: PromptSet | None,
    development: PromptSet | None,
    settings: Settings,
    *,
    folder: str | Path | None,
    select: bool = True,
) -> Material:
    """Return the material of a run; without training requests, and where circuits are to be selected, prompts are split.

    Raises:
        ExperimentError: no harmful or no benign requests, one in two of the sets, or development= without train=.
        PromptError: too few prompts to split.
        StoreError: the folder cannot be written.
    """
    test = load_prompts() if prompts is None else prompts
    if train is None and select:
        if development is not None:
            raise ExperimentError("development= was given without train=: give both, or neither, and prompts are split.")
        train, development, test = test.split(seed=settings.seed)
    _check(test, train, development)
    return Material(model, test, train, development, settings, Cache.at(model, folder))


def _check(test: PromptSet, train: PromptSet | None, development: PromptSet | None) -> None:
    if not test.harmful or not test.benign:
        raise ExperimentError(
            f"{test.name}: {len(test.harmful)} harmful and {len(test.benign)} benign test requests, and both are needed: what "
            "is harm's own shows beside benign requests. Give them with load_prompts(harmful=…, benign=…)."
        )
    if development is not None and not (development.harmful and development.benign):
        raise ExperimentError(f"{development.name}: development requests of one kind alone; question and sizes need both.")
    sets = {"test": test, "training": train, "development": development}
    known = {name: own for name, own in sets.items() if own is not None}
    requests = lambda prompts: {tuple(words(prompt.request)) for prompt in prompts}
    for name, own in known.items():
        if both := requests(own.harmful) & requests(own.benign):
            raise ExperimentError(f"{len(both)} {name} requests are given as harmful and as benign: leave one of each out.")
    for (name, first), (other, second) in combinations(known.items(), 2):
        if common := requests(first) & requests(second):
            raise ExperimentError(
                f"{len(common)} {name} requests are {other} requests too, word for word: give sets without common ones."
            )
        groups = near_duplicate_groups([*first, *second])
        if alike := [group for group in groups if min(group) < len(first) <= max(group)]:
            log.warning("%d groups of near-duplicates or triples lie in %s and %s requests", len(alike), name, other)
    harmful, benign = ({prompt.category for prompt in kind} for kind in (test.harmful, test.benign))
    if harmful & benign and harmful ^ benign:
        names = ", ".join(sorted(map(repr, harmful ^ benign)))
        warnings.warn(f"{test.name}: categories with harmful or with benign test requests alone: {names}", stacklevel=4)
