"""Further questions to a saved run: its own settings, triples and weights, and clear errors where they are others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_bridge
from triples import OTHER_TEST, OWN, SETTINGS, TEST

from harmcircuits import store
from harmcircuits.experiments import earlier
from harmcircuits.experiments.checks import ExperimentError
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.earlier import settings_of
from harmcircuits.experiments.hypotheses import test_circuit as asked_of
from harmcircuits.experiments.hypotheses_results import CircuitTests
from harmcircuits.experiments.result import Dissociation
from harmcircuits.experiments.scores import chosen_triples, respond
from harmcircuits.experiments.settings import Settings
from harmcircuits.tasks.attacks import attacked

SIZES: dict[str, Any] = {"triples": 2, "draws": 3, "added": 3, "neurons": 2}
SMALL = replace(SETTINGS, test_triples=3, prefill_tokens=1, seed=2)
NOBODY: Any = object()


@pytest.fixture(scope="module")
def folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three of the four test triples, under a prefill of one token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("earlier-cache")))
        place = tmp_path_factory.mktemp("run")
        dissociate(tiny, {"mine": OWN, "other": OWN - OWN.random_like(tiny, seed=0)}, TEST, settings=SMALL).save(place)
        return place


@pytest.fixture
def run(folder: Path) -> Dissociation:
    return Dissociation.load(folder)


@pytest.fixture
def nothing_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "respond", lambda *_, **__: pytest.fail("nothing is computed"))


@pytest.mark.parametrize("settings", [Settings(), Settings.quick(seed=7), SETTINGS, SMALL])
def test_settings_come_back_from_a_report(settings: Settings, tmp_path: Path) -> None:
    """With what instruments and prompts add to them, through a file."""
    report = {"settings": settings.as_dict() | {"prompts": "mine", "folds": 3, "development AUROC, a question": "0.600"}}
    store.write_json(tmp_path / "r.json", report)
    found = store.read_json(tmp_path / "r.json")
    assert isinstance(found, dict)
    assert settings_of(found) == settings


def test_a_runs_own_settings_come_back(run: Dissociation) -> None:
    assert settings_of(run.report) == SMALL


def test_it_asks_about_the_circuit_on_the_runs_own_triples_and_responses(tiny: Any, run: Dissociation) -> None:
    found = earlier.test_earlier(tiny, run, TEST, reproduce="harmcircuits circuit-tests out", **SIZES)
    few = chosen_triples(attacked(tiny, TEST, tokens=1), 3, seed=2)
    expected = asked_of(tiny, OWN, respond(tiny, few, SMALL), seed=2, **SIZES)
    assert isinstance(found, CircuitTests)
    who = {"model": run.report["model"]["name"], "circuit": "mine", "reproduce": "harmcircuits circuit-tests out"}
    assert found.about == who | dict(expected.about)
    assert found.about["triples"] == 3
    assert found.findings == expected.findings
    other = earlier.test_earlier(tiny, run, TEST, name="other", **SIZES)
    assert other.about["heads"] + other.about["neurons"] == len(run.circuits["other"])


@pytest.mark.usefixtures("nothing_computed")
class TestErrors:
    def test_a_circuit_that_it_has_not(self, tiny: Any, run: Dissociation) -> None:
        with pytest.raises(ExperimentError, match="the run has no circuit 'yours'; its circuits are mine, other"):
            earlier.test_earlier(tiny, run, TEST, name="yours")

    def test_a_model_with_other_weights(self, run: Dissociation, tmp_path: Path) -> None:
        with pytest.raises(ExperimentError, match="with other weights than this model has: give that one"):
            earlier.test_earlier(tiny_bridge(tmp_path, seed=1), run, TEST)

    def test_one_weight_more_or_less_is_another_model(self, run: Dissociation, tmp_path: Path) -> None:
        model = tiny_bridge(tmp_path)
        with torch.no_grad():
            next(iter(model.parameters())).view(-1)[0] += 0.5
        with pytest.raises(ExperimentError, match="with other weights"):
            earlier.test_earlier(model, run, TEST)

    def test_other_triples(self, tiny: Any, run: Dissociation) -> None:
        for wrong in (OTHER_TEST, TEST[:6]):
            with pytest.raises(ExperimentError, match="tested on other triples than these: give the prompts and the seed"):
                earlier.test_earlier(tiny, run, wrong)

    def test_a_cross_fitted_run(self, run: Dissociation) -> None:
        crossfit = replace(run, report=run.report | {"settings": run.report["settings"] | {"folds": 5}})
        with pytest.raises(ExperimentError, match=r"this run was cross-fitted: .* Run it without folds"):
            earlier.test_earlier(NOBODY, crossfit, TEST)
