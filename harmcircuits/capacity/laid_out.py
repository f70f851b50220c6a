"""The splits of a run before there is a model."""

from collections.abc import Callable
from inspect import signature
from types import SimpleNamespace
from typing import Any, cast

from ..claims.material import Material, light
from ..examples import Example
from ..experiments.checks import ready_splits
from ..experiments.scores import chosen_triples, training_triples, triple_prompts
from ..experiments.settings import Settings
from ..models.shape import Shape
from ..prompts.promptset import PromptSet


def laid_out(shape: Shape, prompts: PromptSet, settings: Settings) -> Material:
    """The splits of a run as claims count them, without responses, scores or a model.

    Raises:
        ExperimentError, PromptError: prompts on which nothing can be measured.
    """
    return of_splits(shape, *ready_splits(prompts, seed=settings.seed), settings=settings)


def of_splits(shape: Shape, train: PromptSet, development: PromptSet, test: PromptSet, *, settings: Settings) -> Material:
    """The same of splits that are there."""
    test, nothing = chosen_triples(test, settings.test_triples, seed=settings.seed), cast(Any, None)
    return Material(
        model=cast(Any, SimpleNamespace(cfg=shape.geometry)),
        about={},
        settings=light(settings),
        train=train,
        development=development,
        test=test,
        training=_unwritten(training_triples(train, settings)[0]),
        examples=_unwritten(test),
        scores=nothing,
        instruments=nothing,
    )


def sizes_of(experiment: Callable[..., object]) -> dict[str, Any]:
    """The numbers that a command leaves as they are: defaults by name."""
    found = signature(experiment).parameters.values()
    return {one.name: one.default for one in found if one.default is not one.empty}


def _unwritten(prompts: PromptSet) -> list[Example]:
    """Examples whose responses nobody wrote: they are counted, by kind."""
    return [Example(**vars(prompt), response="") for prompt in triple_prompts(prompts)]
