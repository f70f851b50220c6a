"""Cross-fitting: every triple tested once, by a circuit that was selected without it, and all of them put together."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from contract import check_report
from triples import DEVELOPMENT, OWN, SETTINGS, SPLITS, TEST, TRAIN

from harmcircuits import store
from harmcircuits.experiments import folds, run
from harmcircuits.experiments.across_folds import on_one_scale
from harmcircuits.experiments.battery import Outcomes
from harmcircuits.experiments.checks import ExperimentError
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.folds import pooled
from harmcircuits.experiments.nulls import Nulls
from harmcircuits.experiments.result import Dissociation
from harmcircuits.experiments.run import Run
from harmcircuits.models.protocol import model_hash
from harmcircuits.prompts.errors import PromptError

NOBODY: Any = object()
FOLDS = 2
BOTH = TEST + TRAIN
LARGE = replace(SETTINGS, test_triples=10, null_triples=4, many_shot_triples=10, bootstrap_draws=60)


class Spy:
    """What each fold was given, selected and measured."""

    def __init__(self) -> None:
        self.trained: list[set[str]] = []
        self.runs: list[Run] = []

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        training, measure = run.training_examples, folds.measure

        def trained(model: Any, train: Any, *rest: Any, **options: Any) -> Any:
            self.trained.append({prompt.group for prompt in train})
            return training(model, train, *rest, **options)

        def measured(*rest: Any, **options: Any) -> Run:
            self.runs.append(measure(*rest, **options))
            return self.runs[-1]

        patch.setattr(run, "training_examples", trained)
        patch.setattr(folds, "measure", measured)


@pytest.fixture(scope="module")
def crossfit(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dissociation, Spy]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("folds-cache")))
        spy, before = Spy(), model_hash(tiny)
        spy.watch(patch)
        found = dissociate(tiny, None, TEST, **{**SPLITS, "settings": LARGE}, folds=FOLDS)
        assert model_hash(tiny) == before
        yield found, spy


def test_the_report_keeps_the_contract(crossfit: tuple[Dissociation, Spy]) -> None:
    found, _ = crossfit
    check_report(found.report)
    assert (found.report["settings"]["folds"], found.report["n_triples"]) == (FOLDS, len(BOTH.triples))
    assert found.report["settings"]["null_triples"] == LARGE.null_triples, "all folds counted together"


def test_every_triple_is_tested_once(crossfit: tuple[Dissociation, Spy]) -> None:
    found, spy = crossfit
    assert len(spy.runs) == FOLDS
    intact = found.outcomes[found.outcomes["condition"] == "intact"]
    groups = intact["group"].tolist()[::3]
    assert sorted(groups) == sorted(triple.group for triple in BOTH.triples)
    assert intact["role"].tolist() == ["harmful", "near", "far"] * len(BOTH.triples)
    assert groups == [triple.group for one in spy.runs for triple in one.test.triples]


def test_a_folds_circuit_is_selected_without_its_triples(crossfit: tuple[Dissociation, Spy]) -> None:
    _, spy = crossfit
    development = {prompt.group for prompt in DEVELOPMENT}
    for trained, one in zip(spy.trained, spy.runs, strict=True):
        tested = {triple.group for triple in one.test.triples}
        assert trained | tested == {prompt.group for prompt in BOTH}
        assert not trained & tested
        assert not development & (trained | tested)
    assert spy.runs[0].circuit != spy.runs[1].circuit, "of other training triples, another circuit"


def test_outcomes_are_those_of_the_folds_put_together(crossfit: tuple[Dissociation, Spy]) -> None:
    found, spy = crossfit
    whole = Outcomes(found.outcomes, found.responses)
    for name in found.outcomes["condition"].unique():
        arrays = whole.by_triple(name)
        parts = [replace(one.outcomes, frame=on_one_scale(one.outcomes.frame)).by_triple(name) for one in spy.runs]
        for column, values in arrays.items():
            np.testing.assert_array_equal(values, np.concatenate([part[column] for part in parts]))
    assert whole.categories() == [label for one in spy.runs for label in one.outcomes.categories()]
    seconds = [one.outcomes.seconds for one in spy.runs]
    assert found.report["seconds"] == {task: round(sum(own[task] for own in seconds), 1) for task in seconds[0]}


def test_conditions_of_the_report_are_over_all_triples(crossfit: tuple[Dissociation, Spy]) -> None:
    found, _ = crossfit
    first = found.report["conditions"][0]
    nll = {name: rows["nll"].to_numpy().reshape(-1, 3) for name, rows in found.outcomes.groupby("condition")}
    rise = (nll["heads and neurons"] - nll["intact"])[:, 0]
    assert first["generation"]["harmful_nll_rise"]["value"] == pytest.approx(rise.mean())
    assert first["generation"]["harmful_nll_rise"]["n"] == len(BOTH.triples)


def test_every_folds_circuit_is_kept(crossfit: tuple[Dissociation, Spy]) -> None:
    found, spy = crossfit
    assert [*found.circuits] == ["heads and neurons", "heads", "neurons", "heads and neurons, fold 2"]
    assert found.circuits["heads and neurons"] == spy.runs[0].circuit
    assert found.circuits["heads and neurons, fold 2"] == spy.runs[1].circuit
    assert "heads and neurons, fold 2" not in {condition["name"] for condition in found.report["conditions"]}
    assert any("every fold has its own" in limit for limit in found.report["limits"]), "not compared at equal damage"


def test_nulls_are_put_together_draw_by_draw(crossfit: tuple[Dissociation, Spy]) -> None:
    found, spy = crossfit
    nulls, parts = found.nulls, [one.nulls for one in spy.runs]
    assert nulls is not None
    n = LARGE.null_triples
    assert nulls.observed.shape == (n, 2)
    for kind in nulls.rises:
        assert nulls.rises[kind].shape == (LARGE.null_draws, n, 2)
        for draw in range(LARGE.null_draws):
            own = [part.rises[kind][draw] for part in parts if part is not None]
            np.testing.assert_array_equal(nulls.rises[kind][draw], np.concatenate(own))
            mean = np.mean([rises[:, 0] - rises[:, 1] for rises in own])
            assert nulls.selectivity(kind)[draw] == pytest.approx(mean)
    assert (nulls.falls, nulls.observed_fall.shape) == ({}, (0,)), "recognition under nulls was not asked for"


def with_falls(one: Run, nulls: Nulls) -> Run:
    """A run that also read recognition under its nulls: numbers of which no two are alike."""
    n, last = len(nulls.observed), nulls.observed[0, 0]
    falls = {kind: last + np.arange(rises[..., 0].size).reshape(-1, n) for kind, rises in nulls.rises.items()}
    return replace(one, nulls=replace(nulls, falls=falls, observed_fall=last - np.arange(1, n + 1)))


def test_so_are_falls_where_recognition_was_read(crossfit: tuple[Dissociation, Spy]) -> None:
    runs = [with_falls(one, one.nulls) for one in crossfit[1].runs if one.nulls is not None]
    nulls, parts = pooled(runs).nulls, [one.nulls for one in runs]
    assert nulls is not None
    assert nulls.observed_fall.shape == (LARGE.null_triples,)
    np.testing.assert_array_equal(nulls.observed_fall, np.concatenate([part.observed_fall for part in parts if part]))
    for kind in nulls.rises:
        assert nulls.falls[kind].shape == (LARGE.null_draws, LARGE.null_triples)
        for draw, together in enumerate(nulls.falls[kind]):
            np.testing.assert_array_equal(together, np.concatenate([part.falls[kind][draw] for part in parts if part]))


def test_a_fold_with_fewer_draws_limits_their_number(crossfit: tuple[Dissociation, Spy]) -> None:
    _, (first, second) = crossfit[0], crossfit[1].runs
    assert first.nulls is not None and second.nulls is not None
    kinds = second.nulls.rises
    few = replace(second.nulls, rises={kind: kinds[kind][:1] for kind in kinds})
    together = pooled([with_falls(first, first.nulls), with_falls(second, few)]).nulls
    assert together is not None
    assert {len(rises) for rises in (*together.rises.values(), *together.falls.values())} == {1}
    assert pooled([first, replace(second, nulls=None)]).nulls is None


def test_a_condition_that_one_fold_lacks_is_missing_with_the_reason(crossfit: tuple[Dissociation, Spy]) -> None:
    first, second = crossfit[1].runs
    fewer = {name: own for name, own in second.conditions.items() if name not in ("heads", "aimed at twins")}
    lacks = replace(second, conditions=fewer, missing={"aimed at twins": "too few eligible heads"})
    for runs in ([first, lacks], [lacks, first]):
        found = pooled(runs)
        assert not {"heads", "aimed at twins"} & set(found.conditions)
        assert found.missing["heads"] == "it could not be made in every fold"
        assert found.missing["aimed at twins"] == "too few eligible heads"
        assert "heads" not in found.circuits
        assert found.main == "heads and neurons"


class TestRefusals:
    """Before anything is computed."""

    def test_a_circuit_that_was_given(self, tiny: Any) -> None:
        with pytest.raises(ExperimentError, match="folds select a circuit anew in each: give no circuit"):
            dissociate(tiny, OWN, TEST, **SPLITS, folds=2)

    def test_no_training_triples(self, tiny: Any) -> None:
        with pytest.raises(ExperimentError, match="no training triples"):
            dissociate(tiny, None, TEST, settings=SETTINGS, folds=2)

    @pytest.mark.parametrize(
        ("n", "error", "message"),
        [
            (-2, PromptError, "k=-2: cross-fitting needs at least 2 folds"),
            (1, PromptError, "k=1: cross-fitting needs at least 2 folds"),
            (10, ExperimentError, "10 folds of 10 triples hold as few as 1, and each needs at least 2: give fewer folds"),
            (11, PromptError, "cannot fill 11 parts"),
        ],
    )
    def test_too_few_folds_or_too_many(
        self, tiny: Any, monkeypatch: pytest.MonkeyPatch, n: int, error: type[Exception], message: str
    ) -> None:
        monkeypatch.setattr(folds, "measure", lambda *_, **__: pytest.fail("nothing is computed"))
        with pytest.raises(error, match=message):
            dissociate(tiny, None, TEST, **SPLITS, folds=n)
