"""What an experiment is made of: prompts, the baseline's responses, training scores, recognition's instruments."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from ..ablation.ablate import BASELINE, Condition
from ..attribution.first_order import attribute
from ..attribution.scores import Attribution
from ..circuits.controls import CircuitRecipe
from ..data import Example, Prompt, PromptSet
from ..data.elicit import elicit
from ..errors import HarmcircuitsError
from ..models.model_key import model_key
from ..models.protocol import HookedModel, geometry
from ..readings.capabilities import Capabilities
from ..readings.compliance import Compliance, Refusal
from ..readings.loss import Explanation, Loss, explain
from ..readings.many_shot import ManyShot, RecognitionMetric, Shots, check_length, make_shots, recognition_metric
from ..readings.probe import Direction, Probe, fit_directions, request_residuals
from ..readings.reading import Reading
from ..readings.recognition import (
    QUESTIONS,
    BalancedMetric,
    BalancedQuestion,
    InPlace,
    Recognition,
    can_ask,
    question_log_odds,
)
from ..statistics import auroc
from .effects import Effects, d_prime, ordered
from .measure import Cache, measure
from .settings import Settings

log = logging.getLogger(__name__)
RECOGNITION = {"recognition": "recognition", "many_shot": "many_shot", "probe_last": "probe"}
"""Measures of recognition with their readings, in the order of preference. Of probes that after the last layer: components
after an earlier one could not change it."""


@dataclass(frozen=True, eq=False)
class Material:
    """Everything of an experiment that is no condition; made when it is first used.

    Attributes:
        test: requests that nothing else touches.
        train: requests for scores, shots and probes; None: only given circuits can be tested.
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

    @property
    def control_responses(self) -> tuple[Example, ...]:
        """The first of them, on which controls are measured."""
        return self.responses[: len(self.control_prompts)]

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
            raise HarmcircuitsError(
                f"{len(harmful)} harmful and {len(prompts) - len(harmful)} benign training requests, and "
                "at least one of each is needed to score components. Give train= with both: load_prompts(harmful=…, benign=…)."
            )
        return harmful, benign

    @cached_property
    def recognition_prompts(self) -> list[Prompt]:
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
        prompts, metric = self.recognition_prompts, self.recognition_metric
        A = self.scores("harmful", harmful, lambda: attribute(self.model, harmful))
        U = self.scores("benign", benign, lambda: attribute(self.model, benign))
        R = self.scores("recognition", [metric, prompts], lambda: attribute(self.model, prompts, metric=metric))
        return CircuitRecipe(A, U, self.settings.protect, R)

    def scores(self, name: str, about: object, make: Callable[[], Attribution]) -> Attribution:
        """Return scores of heads and neurons, cached."""
        return self.cache.file(f"scores-{name}", about, make, load=Attribution.load, save=Attribution.save)

    @cached_property
    def recognition_metric(self) -> BalancedMetric | RecognitionMetric:
        """What the control aimed at recognition attributes: the right answer to the question and its twin, or after shots."""
        if self.primary == "many_shot" and self.shots is not None:
            return recognition_metric(self.shots)
        return BalancedMetric(self.question)

    @cached_property
    def question(self) -> BalancedQuestion:
        """The question with the highest AUROC (of equal ones, d′) on development prompts; frozen before any ablation."""
        usable = [question for question in QUESTIONS if can_ask(self.model, question)]
        if not usable:
            raise HarmcircuitsError("no question about harm has two labels that this model's tokenizer tells apart")
        if not self.development_prompts:
            return usable[0]
        separations = {}
        for question in usable:
            odds = [question_log_odds(self.model, self.development_prompts, each)[0].numpy() for each in question.both]
            separations[question.name] = self._separation(odds[0] + odds[1])
        log.info("AUROC and d′ of recognition on development requests: %s", separations)
        return max(usable, key=lambda question: separations[question.name])

    def _separation(self, scores: Float[np.ndarray, " prompt"]) -> tuple[float, float]:
        """AUROC and d′ of harmful against all benign development requests; d′ is 0 where a kind has one request alone."""
        is_harmful = np.array([prompt.role == "harmful" for prompt in self.development_prompts])
        harmful, benign = scores[is_harmful], scores[~is_harmful]
        with np.errstate(divide="ignore", invalid="ignore"):
            sensitivity = np.nan_to_num(d_prime(harmful[None], benign[None]))
        return float(auroc(harmful, benign)), float(sensitivity[0])

    @cached_property
    def shots(self) -> Shots | None:
        """Labelled training requests; None where there are too few, or none are asked for."""
        if not self.settings.shots or self.train is None:
            return None
        try:
            shots = make_shots(self.train.prompts, n_shots=self.settings.shots, seed=self.settings.seed)
            check_length(self.model, shots, [each.request for each in (*self.prompts, *self.development_prompts, *self.train)])
        except HarmcircuitsError as error:
            log.warning("many-shot recognition is not read: %s", error)
            return None
        return shots

    @cached_property
    def directions(self) -> tuple[Direction, Direction] | None:
        """Probes at the layer with the highest AUROC on development requests, and after the last layer."""
        if self.train is None or not self.development_prompts:
            return None
        every = fit_directions(self.model, [prompt for kind in self.train_prompts for prompt in kind])
        residual = request_residuals(self.model, self.development_prompts, range(len(every)))
        best = max(range(len(every)), key=lambda layer: self._separation(every[layer].score(residual[layer]).numpy())[0])
        return every[best], every[-1]

    @cached_property
    def primary(self) -> str:
        """The measure of recognition that the answer rests on: the first of `RECOGNITION` with an AUROC above chance on the
        baseline's development requests, against every kind of benign request; else against any; else the question."""
        readings = self.recognition_readings(self.development_prompts, one_sided=False)
        if not self.development_prompts or len(readings) == 1:
            return "recognition"
        baseline = measure(self.model, [Condition(BASELINE)], readings, cache=self.cache)
        effects = Effects(baseline, self.development_prompts)
        shown = {
            name: [(effects.auroc(BASELINE, name, role).low or 0) > 0.5 for role in effects.roles[1:]]
            for name in RECOGNITION
            if effects.outcomes.has(BASELINE, name)
        }
        log.info("recognition above chance on development requests, by kind of benign request: %s", shown)
        return next((name for enough in (all, any) for name, above in shown.items() if enough(above)), "recognition")

    def recognition_readings(self, prompts: tuple[Prompt, ...], *, one_sided: bool = True) -> list[Reading]:
        """Every reading of recognition that can be taken, the question first."""
        return [
            Recognition(prompts, self.question, one_sided=one_sided),
            *([ManyShot(prompts, self.shots)] if self.shots else []),
            *([Probe(prompts, *self.directions)] if self.directions else []),
        ]

    @cached_property
    def control_readings(self) -> tuple[Reading, ...]:
        """Losses and recognition, with the measure that the answer rests on, of the first test requests."""
        question, *others = self.recognition_readings(self.control_prompts, one_sided=False)
        primary = RECOGNITION[self.primary]
        return (Loss(self.control_responses), question, *(other for other in others if other.name == primary))

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Everything that baseline and circuits are measured by."""
        settings, length = self.settings, self.settings.written_tokens
        harmful = [prompt for prompt in self.written if prompt.role == "harmful"]
        question, *others = self.recognition_readings(self.prompts)
        sampled = [Compliance(self.written, temperature=1.0, max_new_tokens=length, seed=settings.seed)]
        return (
            Loss(self.responses),
            question,
            Compliance(self.written, max_new_tokens=length),
            *(sampled if settings.sampled else ()),
            Refusal(self.written),
            InPlace(self.control_responses, self.question),
            *others,
            *([Explanation(explain(self.model, harmful))] if len(harmful) > 1 else []),
            *([Capabilities(settings.facts, settings.passages)] if settings.facts or settings.passages else []),
        )

    def describe_model(self, name: str) -> dict[str, Any]:
        """Return name, key, shape and type of the weights."""
        shape = geometry(self.model)
        return {
            "name": name or str(self.model.cfg.model_name),
            "key": model_key(self.model),
            **{size: getattr(shape, size) for size in ("n_layers", "n_heads", "d_mlp")},
            "dtype": str(next(iter(self.model.parameters())).dtype).removeprefix("torch."),
        }

    def describe_prompts(self, effects: Effects) -> dict[str, Any]:
        """Return which sets were read, and how many test requests of each role."""
        sets = {"test": self.test, "train": self.train, "development": self.development}
        return {
            "paired": effects.paired,
            "test_requests": {role: sum(prompt.role == role for prompt in self.prompts) for role in effects.roles},
            **{name: None if part is None else {"name": part.name, "digest": part.digest} for name, part in sets.items()},
        }
