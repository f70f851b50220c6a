"""Held out means held out: nothing of the test triples reaches scores, selection or the choice of instruments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from triples import DEVELOPMENT, OTHER_TEST, OWN, PROMPTS, SETTINGS, SPLITS, TEST, TRAIN, make_triples

from harmcircuits.components import Circuit, CircuitError
from harmcircuits.elicitation import elicit
from harmcircuits.examples import Example, Prompt
from harmcircuits.experiments import dissociation, instruments, scores
from harmcircuits.experiments.checks import ExperimentError, check_held_out, ready, ready_splits
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.instruments import choose_instruments
from harmcircuits.experiments.settings import Settings, SettingsError
from harmcircuits.prompts.errors import PromptError
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.statistics import auroc
from harmcircuits.tasks.formats import QUESTIONS, SHOT_FORMATS, usable
from harmcircuits.tasks.metrics import ProbeMetric, QuestionMetric
from harmcircuits.tasks.probe import fit_probe, place_residuals
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
    for name in ("teacher_forced", "many_shot", "make_shots", "place_residuals"):
        record(instruments, name)
    record(scores, "attribute")
    record(dissociation, "read_conditions")
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
    assert all(seen[name] for name in ("attribute", "make_shots", "many_shot", "teacher_forced", "place_residuals"))
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

    def test_five_triples_in_each_of_two_categories_can_be_split(self) -> None:
        for seed in range(20):
            parts = ready_splits(make_triples(10), seed=seed)
            assert sum(len(part.triples) for part in parts) == 10
            assert len(parts[2].categories) == 2

    def test_one_triple_of_a_second_category_is_too_few(self) -> None:
        prompts = make_triples(12).prompts
        few = PromptSet(tuple(prompt for prompt in prompts if prompt.category == "vandalism" or prompt.group == "g1"), "few")
        refused = 0
        for seed in range(5):
            if len(few.split(seed=seed)[2].categories) < 2:
                refused += 1
                with pytest.raises(ExperimentError, match=r"'few' has too few triples: 7, .* in 1 named category"):
                    ready_splits(few, seed=seed)
        assert refused

    def test_the_splits_of_a_set_pass(self) -> None:
        train, development, test = make_triples(16).split(seed=3)
        for other in (train, development):
            check_held_out(test, other, "other")

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

    @pytest.mark.parametrize("name", ["intact", "aimed at twins", "aimed at recognition", "matched random", "random"])
    def test_names_that_mean_something_else(self, name: str) -> None:
        with pytest.raises(ExperimentError, match=f"the name '{name}' means something else"):
            dissociate(NOBODY, {"mine": OWN, name: OWN}, TEST)

    def test_no_circuits_by_name(self) -> None:
        with pytest.raises(ExperimentError, match="no circuit was given"):
            dissociate(NOBODY, {}, TEST, **SPLITS)

    def test_a_circuit_without_components(self, tiny: Any) -> None:
        with pytest.raises(ExperimentError, match="the circuit 'none' has no components"):
            dissociate(tiny, {"mine": OWN, "none": Circuit()}, TEST, **SPLITS)

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


def twins_of(examples: list[Example]) -> list[Example]:
    return [example for example in examples if example.role != "far"]


class TestTrainingExamples:
    @pytest.mark.parametrize(("attribution", "probe"), [(2, 5), (5, 2), (6, 6), (99, 99)])
    def test_scores_and_probes_share_their_first_triples(self, tiny: Any, attribution: int, probe: int) -> None:
        settings = replace(SETTINGS, attribution_triples=attribution, probe_triples=probe)
        examples, twins = scores.training_examples(tiny, TRAIN, settings)
        assert [example.role for example in examples] == ["harmful", "near", "far"] * min(attribution, 6)
        assert [example.role for example in twins] == ["harmful", "near"] * min(probe, 6)
        shared = 2 * min(attribution, probe, 6)
        asked = lambda found: [(example.request, example.prefill) for example in found]
        assert asked(twins)[:shared] == asked(twins_of(examples))[:shared]
        greedy = elicit(tiny, TRAIN.prompts, max_new_tokens=settings.max_new_tokens, temperature=0, cache=False)
        sampled = elicit(tiny, TRAIN.prompts, max_new_tokens=settings.max_new_tokens, cache=False)
        assert set(examples) <= set(greedy) and set(twins) <= set(sampled), "circuits on greedy text, recognition on sampled"
        assert len({example.request for example in twins}) == len(twins)
        assert requests_in(examples) | requests_in(twins) <= {prompt.request for prompt in TRAIN}


class TestInstruments:
    @pytest.fixture
    def heard(self, tiny: Any) -> list[Example]:
        return twins_of(scores.respond(tiny, DEVELOPMENT, SETTINGS))

    @pytest.fixture
    def taught(self, tiny: Any) -> list[Example]:
        return scores.training_examples(tiny, TRAIN, SETTINGS)[1]

    def test_the_best_on_the_development_split_is_taken(self, tiny: Any, taught: list[Example], heard: list[Example]) -> None:
        found = choose_instruments(tiny, TRAIN, DEVELOPMENT, taught, heard, SETTINGS)
        asked = {}
        for question in usable(tiny, QUESTIONS):
            odds = teacher_forced(tiny, heard, {"intact": None}, question=question)["in_place"].to_numpy()
            asked[question.name] = found.tried[question.name]
            assert asked[question.name] == float(auroc(odds[::2], odds[1::2]))
            if question == found.question:
                assert found.thresholds["in_place"] == pytest.approx(np.median(odds))
        assert found.tried[found.question.name] == max(asked.values())
        assert found.shots is not None
        forms = {name: value for name, value in found.tried.items() if name.endswith("shots")}
        assert len(forms) == len(usable(tiny, SHOT_FORMATS))
        assert found.tried[found.shots.form.name] == max(forms.values())
        before = {name: value for name, value in found.tried.items() if "request's last token" in name}
        assert found.tried[found.probes["probe_request"].name] == max(before.values())

    def test_only_a_reading_after_the_response_is_primary(self, tiny: Any, taught: list[Example], heard: list[Example]) -> None:
        found = choose_instruments(tiny, TRAIN, DEVELOPMENT, taught, heard, SETTINGS)
        after = found.probes["probe"]
        assert (after.place, after.layer) == ("answer", 1), "after the last layer: nothing comes later"
        better = found.tried[after.name] > found.tried[found.question.name]
        assert found.primary == ("probe" if better else "in_place")
        assert isinstance(found.aim, ProbeMetric if better else QuestionMetric)
        assert found.blind(OWN) == 0
        assert found.settings()["primary reading of recognition"] == (after.name if better else "question in place")
        low = replace(after, layer=0)
        assert replace(found, primary="probe", probes={"probe": low}).blind(OWN) == 1

    def test_the_probes_learn_from_training_twins_alone(self, tiny: Any, taught: list[Example], heard: list[Example]) -> None:
        found = choose_instruments(tiny, TRAIN, DEVELOPMENT, taught, heard, SETTINGS)
        harmful = [example.role == "harmful" for example in taught]
        for probe in found.probes.values():
            residual = place_residuals(tiny, taught, found.question, [probe.layer])[probe.place][:, 0]
            expected = fit_probe(residual, harmful, layer=probe.layer, place=probe.place)
            torch.testing.assert_close(probe.direction, expected.direction, atol=1e-5, rtol=1e-3)
            torch.testing.assert_close(probe.mean, expected.mean, atol=1e-5, rtol=1e-3)

    def test_without_a_development_split_the_first_of_each_kind(self, tiny: Any, taught: list[Example]) -> None:
        found = choose_instruments(tiny, TRAIN, None, taught, [], SETTINGS)
        assert found.question == usable(tiny, QUESTIONS)[0]
        assert found.shots is not None
        assert found.shots.form == replace(usable(tiny, SHOT_FORMATS)[0], n_shots=SETTINGS.shots)
        assert (found.primary, found.tried, found.thresholds) == ("in_place", {}, {})

    def test_without_training_neither_shots_nor_probe(self, tiny: Any) -> None:
        found = choose_instruments(tiny, None, None, [], [], SETTINGS)
        assert (found.shots, found.probes, found.shot_controls, found.primary) == (None, {}, {}, "in_place")
        assert found.settings()["many-shot format"] == "none: no training split was given"

    def test_the_shots_controls_are_one_draw_of_the_same_requests(
        self, tiny: Any, taught: list[Example], heard: list[Example]
    ) -> None:
        found = choose_instruments(tiny, TRAIN, DEVELOPMENT, taught, heard, replace(SETTINGS, shot_draws=2))
        assert found.shots is not None
        for shots in found.shot_controls.values():
            (draw,) = shots.draws
            assert [request for request, _ in draw] == [request for request, _ in found.shots.draws[0]]

    def test_settings_hold_no_request(self, tiny: Any, taught: list[Example], heard: list[Example]) -> None:
        told = str(choose_instruments(tiny, TRAIN, DEVELOPMENT, taught, heard, SETTINGS).settings())
        assert not any(prompt.request in told for prompt in PROMPTS)


class TestSettings:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"written_triples": 0},
            {"test_triples": -1},
            {"seed": -1},
            {"margin": 0.0},
            {"margin": 0.6},
            {"protect_heads": 1.5},
            {"shots": 1},
            {"null_draws": -1},
            {"bootstrap_draws": 10},
            {"head_fraction": float("nan")},
        ],
        ids=str,
    )
    def test_a_number_that_makes_no_sense_is_named_with_its_range(self, wrong: dict[str, float]) -> None:
        (name,) = wrong
        with pytest.raises(SettingsError, match=rf"{name} must be at least .*, not {wrong[name]}"):
            Settings(**wrong)  # type: ignore[arg-type]

    def test_the_ends_are_included(self) -> None:
        assert Settings(null_draws=0, shots=2, protect_heads=1.0, head_fraction=0.0, seed=0).null_draws == 0
        assert Settings.quick(seed=3).seed == 3
