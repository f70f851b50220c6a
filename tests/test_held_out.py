"""Held out means held out: nothing of the test triples reaches scores, selection or the choice of instruments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from triples import DEVELOPMENT, OTHER_TEST, OWN, PROMPTS, SETTINGS, SPLITS, TEST, TRAIN, make_triples

from harmcircuits.components import Circuit, CircuitError
from harmcircuits.examples import Example, Prompt
from harmcircuits.experiments import dissociation, instruments, scores
from harmcircuits.experiments.dissociation import ExperimentError, dissociate, ready
from harmcircuits.experiments.instruments import choose_instruments
from harmcircuits.prompts.errors import PromptError
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.statistics import auroc
from harmcircuits.tasks.formats import QUESTIONS, SHOT_FORMATS, usable
from harmcircuits.tasks.metrics import ProbeMetric, QuestionMetric
from harmcircuits.tasks.probe import fit_probe, last_request_residual
from harmcircuits.tasks.recognition import Shots
from harmcircuits.tasks.teacher_forced import teacher_forced

NOBODY: Any = object()
"""A model that nothing can be computed with: what fails before the run never touches it."""


def requests_in(value: object) -> set[str]:
    """Every request in the arguments of a call."""
    if isinstance(value, Prompt | Example):
        return {value.request}
    if isinstance(value, Shots):
        return {request for draw in value.draws for request, _ in draw}
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

    record(dissociation, "choose_instruments")
    for name in ("teacher_forced", "many_shot", "make_shots", "last_request_residual"):
        record(instruments, name)
    record(scores, "attribute")
    record(scores, "select")
    record(dissociation.battery, "read_conditions")
    result = dissociate(tiny, None, TEST, **SPLITS)
    assert calls[-1] == "read_conditions", "everything is chosen before the test triples are read"
    assert seen.pop("read_conditions") >= {prompt.request for prompt in TEST}
    test, train, development = ({prompt.request for prompt in part} for part in (TEST, TRAIN, DEVELOPMENT))
    assert set(seen) == {*calls} - {"read_conditions"}
    for name, requests in seen.items():
        assert not requests & test, name
    assert seen["attribute"] <= train
    assert seen["make_shots"] <= train
    assert seen["many_shot"] <= train | development
    assert seen["teacher_forced"] <= development
    assert all(seen[name] for name in ("attribute", "make_shots", "many_shot", "teacher_forced", "last_request_residual"))
    other = dissociate(tiny, None, OTHER_TEST, **SPLITS)
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

    def test_the_splits_of_a_set_pass(self) -> None:
        train, development, test = make_triples(16).split(seed=3)
        for other in (train, development):
            dissociation._check_held_out(test, other, "other")

    def test_no_triples(self) -> None:
        pairs = PromptSet(tuple(prompt for prompt in TEST if prompt.role != "far"), "pairs")
        for wrong in (pairs, PromptSet()):
            with pytest.raises(ExperimentError, match=r"no complete triples.*hc\.load_prompts\(\).*columns request, prefill"):
                dissociate(NOBODY, None, wrong, **SPLITS)

    def test_a_single_category(self) -> None:
        with pytest.raises(PromptError, match="1 named category of harmful requests, and at least 2"):
            dissociate(NOBODY, None, make_triples(4, categories=("vandalism",)), **SPLITS)

    @pytest.mark.parametrize("train", [None, PromptSet(tuple(p for p in TRAIN if p.role == "harmful"))])
    def test_nothing_to_select_a_circuit_from(self, train: PromptSet | None) -> None:
        with pytest.raises(ExperimentError, match="no circuit was given, and no training triples"):
            dissociate(NOBODY, None, TEST, train=train)

    @pytest.mark.parametrize("name", ["intact", "aimed at twins", "aimed at recognition", "matched random"])
    def test_names_that_mean_something_else(self, name: str) -> None:
        with pytest.raises(ExperimentError, match=f"the name '{name}' means something else"):
            dissociate(NOBODY, {"mine": OWN, name: OWN}, TEST)

    def test_no_circuits_by_name(self) -> None:
        with pytest.raises(ExperimentError, match="no circuit was given"):
            dissociate(NOBODY, {}, TEST, **SPLITS)

    def test_a_circuit_of_another_model_is_found_out_first(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dissociation, "respond", lambda *_, **__: pytest.fail("nothing is computed"))
        with pytest.raises(CircuitError, match=r"head \(7, 0\) is not in this model"):
            dissociate(tiny, Circuit(heads=[(7, 0)]), TEST, **SPLITS)

    def test_ready_gives_back_what_it_was_given(self) -> None:
        assert ready(TEST) is TEST


class TestChosenTriples:
    def test_every_beginning_is_spread_over_the_categories(self) -> None:
        """Twelve triples, category after category, as files have them."""
        ordered = PromptSet(tuple(sorted(make_triples(12).prompts, key=lambda prompt: prompt.category)))
        found = scores.chosen_triples(ordered, 12, seed=0).triples
        for n in (2, 4, 6, 8):
            first = [triple.category for triple in found[:n]]
            assert {first.count(category) for category in ordered.categories} == {n // 2}

    def test_whole_triples_as_many_as_there_are(self) -> None:
        found = scores.chosen_triples(TEST, 99, seed=0)
        assert set(found.prompts) == set(TEST.prompts)
        assert {triple.group for triple in scores.chosen_triples(TEST, 2, seed=0).triples} <= {p.group for p in TEST}
        assert len(scores.chosen_triples(TEST, 2, seed=0)) == 6

    def test_uneven_categories_in_proportion(self) -> None:
        few = [prompt for prompt in make_triples(16).prompts if prompt.category == "vandalism" or prompt.group in ("g1", "g3")]
        categories = [triple.category for triple in scores.chosen_triples(PromptSet(tuple(few)), 10, seed=0).triples]
        assert categories.count("mischief") == 2
        assert categories[:5].count("mischief") == 1


class TestInstruments:
    def test_the_best_on_the_development_split_is_taken(self, tiny: Any) -> None:
        examples = scores.respond(tiny, DEVELOPMENT, SETTINGS)
        found = choose_instruments(tiny, TRAIN, DEVELOPMENT, examples, SETTINGS)
        twins = [example for example in examples if example.role != "far"]
        for question in usable(tiny, QUESTIONS):
            odds = teacher_forced(tiny, twins, {"intact": None}, question=question)["in_place"].to_numpy()
            assert found.tried[question.name] == float(auroc(odds[::2], odds[1::2]))
        asked = {question.name: found.tried[question.name] for question in usable(tiny, QUESTIONS)}
        assert found.tried[found.question.name] == max(asked.values())
        assert found.shots is not None
        assert found.probe is not None
        forms = {name: value for name, value in found.tried.items() if name.endswith("shots")}
        assert len(forms) == len(usable(tiny, SHOT_FORMATS))
        assert found.tried[found.shots.form.name] == max(forms.values())
        probes = {name: value for name, value in found.tried.items() if name.startswith("probe")}
        best = found.tried[f"probe after layer {found.probe.layer}"]
        assert best == max(probes.values())
        assert found.primary == ("probe" if best > max(asked.values()) else "in_place")
        assert isinstance(found.aim, ProbeMetric if found.primary == "probe" else QuestionMetric)

    def test_the_probe_learns_from_training_twins_alone(self, tiny: Any) -> None:
        found = choose_instruments(tiny, TRAIN, DEVELOPMENT, scores.respond(tiny, DEVELOPMENT, SETTINGS), SETTINGS).probe
        assert found is not None
        twins = [prompt for prompt in TRAIN if prompt.role != "far"]
        residual = last_request_residual(tiny, twins, [found.layer])[:, 0]
        expected = fit_probe(residual, [prompt.role == "harmful" for prompt in twins], layer=found.layer)
        torch.testing.assert_close(found.direction, expected.direction, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(found.mean, expected.mean, atol=1e-6, rtol=1e-4)

    def test_without_a_development_split_the_first_of_each_kind(self, tiny: Any) -> None:
        found = choose_instruments(tiny, TRAIN, None, [], SETTINGS)
        assert found.question == usable(tiny, QUESTIONS)[0]
        assert found.shots is not None
        assert found.shots.form == replace(usable(tiny, SHOT_FORMATS)[0], n_shots=SETTINGS.shots)
        assert (found.primary, found.tried) == ("in_place", {})

    def test_without_training_neither_shots_nor_probe(self, tiny: Any) -> None:
        found = choose_instruments(tiny, None, None, [], SETTINGS)
        assert (found.shots, found.probe, found.primary) == (None, None, "in_place")
        assert found.settings()["many-shot format"] == "none: no training split was given"

    def test_settings_hold_no_request(self, tiny: Any) -> None:
        found = choose_instruments(tiny, TRAIN, DEVELOPMENT, scores.respond(tiny, DEVELOPMENT, SETTINGS), SETTINGS)
        told = str(found.settings())
        assert not any(prompt.request in told for prompt in PROMPTS)
