"""Further questions to a run that was saved: the same test triples and responses, the same circuits."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ..models.protocol import HookedModel, model_hash
from ..prompts.promptset import PromptSet
from ..tasks.attacks import attacked
from .checks import ExperimentError
from .hypotheses import test_circuit
from .hypotheses_results import CircuitTests
from .result import Dissociation
from .scores import chosen_triples, respond
from .settings import Settings

QUICK = {"triples": 4, "neurons": 12}
"""Sizes of `test_circuit` in a quick run."""


def settings_of(report: Mapping[str, Any]) -> Settings:
    """The settings that a run was made with, as its report holds them."""
    names = {field.name for field in fields(Settings)}
    return Settings(**{name: value for name, value in report["settings"].items() if name in names})


def test_earlier(
    model: HookedModel,
    run: Dissociation,
    test: PromptSet,
    *,
    name: str | None = None,
    reproduce: str = "",
    progress: bool = False,
    **sizes: Any,
) -> CircuitTests:
    """`test_circuit` of a run's circuit, on that run's test triples.

    Args:
        test: the test split that the run was given.
        name: of the circuit; None: the one that the verdict is about.
        reproduce: the command to keep in `about`, beside the model's and the circuit's names.
        sizes: those of `test_circuit`, and its `folder`.

    Raises:
        ExperimentError: an unknown name, another model, other test triples, or a cross-fitted run, each of whose circuits was
            tested on a part of its own.
    """
    if "folds" in run.report["settings"]:
        raise ExperimentError(
            "this run was cross-fitted: each of its circuits has test triples of its own. Run it without folds"
        )
    chosen = next(iter(run.circuits)) if name is None else name
    if chosen not in run.circuits:
        raise ExperimentError(f"the run has no circuit {chosen!r}; its circuits are {', '.join(run.circuits)}")
    who = run.report["model"].get("name", "another model")
    if run.report["model"].get("sha256") != model_hash(model):
        raise ExperimentError(f"the run was of {who}, with other weights than this model has: give that one")
    settings = settings_of(run.report)
    few = chosen_triples(attacked(model, test, tokens=settings.prefill_tokens), settings.test_triples, seed=settings.seed)
    if run.report["settings"].get("test prompts sha256") != few.digest[:16]:
        raise ExperimentError("the run was tested on other triples than these: give the prompts and the seed that it had")
    examples = respond(model, few, settings, progress=progress)
    found = test_circuit(
        model, run.circuits[chosen], examples, scores=run.scores, seed=settings.seed, progress=progress, **sizes
    )
    about = {"model": who, "circuit": chosen, "reproduce": reproduce}
    return replace(found, about={**about, **found.about})
