"""What circuits and instruments are chosen on: spread over the categories, training and development alone, the best taken."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from triples import DEVELOPMENT, PROMPTS, SETTINGS, TEST, TRAIN, make_triples

from harmcircuits.data import Example, PromptSet
from harmcircuits.data.elicit import elicit
from harmcircuits.experiments import scores
from harmcircuits.experiments.instruments import choose_instruments
from harmcircuits.statistics import auroc
from harmcircuits.tasks.formats import QUESTIONS, SHOT_FORMATS, usable
from harmcircuits.tasks.metrics import ProbeMetric, QuestionMetric
from harmcircuits.tasks.probe import fit_probe, place_residuals
from harmcircuits.tasks.teacher_forced import teacher_forced


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
        assert {example.request for example in (*examples, *twins)} <= {prompt.request for prompt in TRAIN}


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
        assert found.settings()["primary reading of recognition"] == (after.name if better else "question in place")

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
        assert (found.primary, found.tried) == ("in_place", {})

    def test_without_training_neither_shots_nor_probe(self, tiny: Any) -> None:
        found = choose_instruments(tiny, None, None, [], [], SETTINGS)
        assert (found.shots, found.probes, found.primary) == (None, {}, "in_place")
        assert found.settings()["many-shot format"] == "none: no training split was given"

    def test_settings_hold_no_request(self, tiny: Any, taught: list[Example], heard: list[Example]) -> None:
        told = str(choose_instruments(tiny, TRAIN, DEVELOPMENT, taught, heard, SETTINGS).settings())
        assert not any(prompt.request in told for prompt in PROMPTS)
