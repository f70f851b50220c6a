"""Held out means held out: nothing of the test triples reaches scores, selection or the choice of instruments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from triples import DEVELOPMENT, OTHER_TEST, OWN, SETTINGS, SPLITS, TEST, TRAIN, make_triples

from harmcircuits.components import Circuit, CircuitError
from harmcircuits.examples import Example, Prompt
from harmcircuits.experiments import instruments, run, scores
from harmcircuits.experiments.asked import Asked
from harmcircuits.experiments.checks import TAKEN, ExperimentError, check_held_out
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.tasks.recognition import Shots

NOBODY: Any = object()
"""A model that nothing can be computed with: what fails before the run never touches it."""


def requests_in(value: object) -> set[str]:
    """Every request in the arguments of a call."""
    if isinstance(value, Prompt | Example):
        return {value.request}
    if isinstance(value, Shots):
        return {request for draw in value.draws for request, _ in draw}
    if isinstance(value, Asked):
        return requests_in([*value.prompts, *value.examples, *value.greedy])
    if isinstance(value, PromptSet | list | tuple):
        return set().union(*map(requests_in, value))
    return set()


def test_no_test_text_reaches_scores_selection_or_instruments(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {}
    calls: list[str] = []

    def record(module: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def recorded(*args: Any, **options: Any) -> Any:
            calls.append(name)
            seen.setdefault(name, set()).update(*map(requests_in, (*args, *options.values())))
            return original(*args, **options)

        monkeypatch.setattr(module, name, recorded)

    record(run, "choose_instruments")
    for name in ("teacher_forced", "many_shot", "make_shots", "place_residuals"):
        record(instruments, name)
    for name in ("attribute", "attribute_weights"):
        record(scores, name)
    record(run, "read_conditions")
    options = {**SPLITS, "settings": replace(SETTINGS, weight_q=0.01)}
    result = dissociate(tiny, None, TEST, **options)
    assert calls[-1] == "read_conditions", "everything is chosen before the test triples are read"
    assert seen.pop("read_conditions") >= {prompt.request for prompt in TEST}
    test, train, development = ({prompt.request for prompt in part} for part in (TEST, TRAIN, DEVELOPMENT))
    assert set(seen) == {*calls} - {"read_conditions"}
    for name, requests in seen.items():
        assert not requests & test, name
    for name in ("attribute", "attribute_weights"):
        assert seen[name] <= train
    assert seen["make_shots"] <= train
    assert seen["many_shot"] <= train | development
    assert seen["teacher_forced"] <= development
    assert all(seen[name] for name in ("attribute", "attribute_weights", "make_shots", "teacher_forced", "place_residuals"))
    other = dissociate(tiny, None, OTHER_TEST, **options)
    assert "weights" in result.circuits
    assert other.circuits == result.circuits, "whatever the test triples, the same is chosen"
    assert other.scores is not None
    assert result.scores is not None
    assert torch.equal(other.scores.harmful.per_example_neurons, result.scores.harmful.per_example_neurons)
    tested = {"prompts", "test prompts sha256"}
    chosen, again = ({k: v for k, v in r.report["settings"].items() if k not in tested} for r in (result, other))
    assert chosen == again
    assert other.report["settings"]["test prompts sha256"] != result.report["settings"]["test prompts sha256"]


def near_duplicate(prompt: Prompt) -> Prompt:
    return replace(prompt, request=f"{prompt.request}, please", group="another", role="harmful")


class TestRefusals:
    @pytest.mark.parametrize("part", ["train", "development"])
    @pytest.mark.parametrize("whole", [True, False], ids=["a test triple", "a near-duplicate"])
    def test_held_out(self, part: str, whole: bool) -> None:
        leaked = TEST.prompts[:3] if whole else (near_duplicate(TEST.prompts[0]),)
        spoiled = PromptSet(SPLITS[part].prompts + leaked)  # type: ignore[attr-defined]
        what = {"train": "training", "development": "development"}[part]
        with pytest.raises(ExperimentError, match=rf"{int(whole)} test triples are also in the {what} split, and 1 groups of"):
            dissociate(NOBODY, None, TEST, **{**SPLITS, part: spoiled})

    @pytest.mark.parametrize("whole", [True, False], ids=["a training triple", "a near-duplicate"])
    def test_development_is_apart_from_training(self, whole: bool) -> None:
        leaked = TRAIN.prompts[:3] if whole else (near_duplicate(TRAIN.prompts[0]),)
        spoiled = PromptSet(DEVELOPMENT.prompts + leaked)
        message = (
            rf"{int(whole)} development triples are also in the training split, and 1 groups of near-duplicates lie in both: "
            "the instruments would be chosen on what they were trained on"
        )
        with pytest.raises(ExperimentError, match=message):
            dissociate(NOBODY, None, TEST, **{**SPLITS, "development": spoiled})

    def test_the_splits_of_a_set_pass(self) -> None:
        train, development, test = make_triples(16).split(seed=3)
        for other in (train, development):
            check_held_out(test, other, "other")

    @pytest.mark.parametrize("train", [None, PromptSet(tuple(p for p in TRAIN if p.role == "harmful"))])
    def test_nothing_to_select_a_circuit_from(self, train: PromptSet | None) -> None:
        with pytest.raises(ExperimentError, match="no circuit was given, and no training triples"):
            dissociate(NOBODY, None, TEST, train=train)

    @pytest.mark.parametrize("name", TAKEN)
    def test_names_that_mean_something_else(self, name: str) -> None:
        with pytest.raises(ExperimentError, match=f"the name '{name}' means something else"):
            dissociate(NOBODY, {"mine": OWN, name: OWN}, TEST)

    def test_a_circuit_without_components(self, tiny: Any) -> None:
        with pytest.raises(ExperimentError, match="the circuit 'none' has no components"):
            dissociate(tiny, {"mine": OWN, "none": Circuit()}, TEST, **SPLITS)

    def test_a_circuit_of_another_model_is_found_out_first(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run, "respond", lambda *_, **__: pytest.fail("nothing is computed"))
        with pytest.raises(CircuitError, match=r"head \(7, 0\) is not in this model"):
            dissociate(tiny, Circuit(heads=[(7, 0)]), TEST, **SPLITS)
