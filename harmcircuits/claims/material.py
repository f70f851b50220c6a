"""What every claim begins with: prompts in their splits, the model's own responses, scores, and how recognition is read."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..attribution.weights import WeightAttribution, attribute_weights
from ..data import Example, PromptSet, load_prompts
from ..experiment.cache import place_to_keep
from ..experiments import judged
from ..experiments.asked import Asked, lay_out
from ..experiments.checks import ready_splits
from ..experiments.instruments import Instruments, choose_instruments
from ..experiments.kept import Kept
from ..experiments.manifest import describe_model, manifest
from ..experiments.scores import Scores, chosen_triples, respond, score, training_examples
from ..experiments.settings import ClaimSettings
from ..judges import Judge
from ..models.model_key import model_key
from ..models.protocol import HookedModel
from ..store.journal import Journal
from ..tasks.attacks import attacked

log = logging.getLogger(__name__)
ROLES = 3
SPLITS = ("train", "development", "test")


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """What claims are measured on, the same for all of them.

    Attributes:
        model: under study.
        about: `describe_model` of it.
        settings: sizes; those of everyday requests, which claims do not read, are 0.
        train, development, test: triples, those of `test` being the ones that are read, at most `settings.test_triples`.
        training: greedy responses of training triples, whole triples (harmful, near, far), at most `attribution_triples`.
        examples: responses of the test triples, sampled at temperature 1, in the same order.
        scores: A of the training examples, by role; and of the primary reading of recognition.
        instruments: how recognition is read, chosen on the development triples and frozen.
        judge: of what conditions write; None: no rate of harmful text.
        journal: where finished parts are kept.
        key: of the model's weights and configuration.
    """

    model: HookedModel
    about: dict[str, Any]
    settings: ClaimSettings
    train: PromptSet
    development: PromptSet
    test: PromptSet
    training: Sequence[Example]
    examples: Sequence[Example]
    scores: Scores
    instruments: Instruments
    judge: Judge | None = None
    journal: Journal = field(default_factory=Journal)
    key: str = ""

    @property
    def training_categories(self) -> list[str]:
        """The category of each training triple, in the order of `scores`."""
        return [example.category for example in self.training[::ROLES]]

    @property
    def training_harm_groups(self) -> list[str]:
        """The harm group of each training triple, in the order of `scores`."""
        return [example.harm_group or example.category for example in self.training[::ROLES]]

    @property
    def categories(self) -> list[str]:
        """The category of each test triple, in the order of `examples`."""
        return [example.category for example in self.examples[::ROLES]]

    @property
    def harm_groups(self) -> list[str]:
        """The harm group of each test triple, in the order of `examples`."""
        return [example.harm_group or example.category for example in self.examples[::ROLES]]

    @property
    def origins(self) -> dict[str, Any]:
        """Which prompts were read, how recognition is, and, where there is a judge, its name and errors: among a claim's
        settings."""
        who = judged.about(self.judge)
        parts = {"training": self.train, "development": self.development, "test": self.test}
        read = {f"{split} prompts sha256": part.digest[:16] for split, part in parts.items()}
        return {"prompts": self.test.name} | read | self.instruments.settings() | ({"judge": who} if who else {})

    @property
    def bootstrap(self) -> dict[str, Any]:
        """Options of every interval over the test triples: draws, seed, strata."""
        return {"draws": self.settings.bootstrap_draws, "seed": self.settings.seed, "strata": self.categories}

    @cached_property
    def asked(self) -> Asked:
        """What every condition is asked; nothing for which the intact model would have to be read beside it."""
        return lay_out(self.test, self.examples, self.instruments, self.settings, kl=False)

    @cached_property
    def weight_scores(self) -> WeightAttribution:
        """A and U of every weight: harmful training responses attributed, near and far ones protected."""
        harmful = [one for at, one in enumerate(self.training) if at % ROLES == 0]
        benign = [one for at, one in enumerate(self.training) if at % ROLES]
        return attribute_weights(self.model, harmful, benign=benign)


def prepare(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    settings: ClaimSettings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    progress: bool = False,
) -> Material:
    """Splits, elicits, attributes and chooses the instruments: what `dissociate` does before it reads any condition.

    Args:
        prompts: whole triples; None: the built-in ones.
        settings: sizes, as of `dissociate`.
        judge: as of `dissociate`.
        folder: for what is finished, so that a run that was stopped can go on; None: nothing is kept but responses.
        name: the model's name in results.

    Raises:
        ExperimentError, PromptError: prompts on which nothing can be measured (`experiments.checks`).
        ExampleError, ModelError: as their rooms say.
    """
    chosen = settings or ClaimSettings()
    parts = ready_splits(prompts if prompts is not None else load_prompts(), seed=chosen.seed)
    place = place_to_keep(model, folder)
    journal = Journal(None if place is None else place / "journal")
    kept = Kept(journal.begin(manifest(model, dict(zip(SPLITS, parts, strict=True)), chosen)), journal)
    train, development, test = (attacked(model, part, tokens=chosen.prefill_tokens) for part in parts)
    test = chosen_triples(test, chosen.test_triples, seed=chosen.seed)
    examples = respond(model, test, chosen, progress=progress)
    few = chosen_triples(development, chosen.development_triples, seed=chosen.seed)
    heard = [one for one in respond(model, few, chosen, progress=progress) if one.role != "far"]
    training, twins = training_examples(model, train, chosen, progress=progress)
    instruments = choose_instruments(model, train, development, twins, heard, chosen, many_shot=False)
    return Material(
        model=model,
        about=describe_model(model, name),
        settings=light(chosen),
        train=train,
        development=development,
        test=test,
        training=training,
        examples=examples,
        scores=score(model, training, twins, chosen, aim=instruments.aim, kept=kept, progress=progress),
        instruments=instruments,
        judge=judge,
        journal=journal,
        key=model_key(model),
    )


def light(settings: ClaimSettings) -> ClaimSettings:
    """Without what a sweep over many conditions does not read: everyday requests."""
    return replace(settings, everyday=0)
