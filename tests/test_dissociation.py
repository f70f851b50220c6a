"""The main job on a tiny random model: whole runs in seconds, repeatable, leaving nothing behind."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from contract import COUNTS, check_report
from triples import OWN, RICH, SETTINGS, SPLITS, TEST

from harmcircuits import store
from harmcircuits.components import Circuit
from harmcircuits.experiments import stages
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.result import Dissociation
from harmcircuits.models.protocol import model_hash

NAMED: dict[str, Any] = {**SPLITS, "settings": RICH, "name": "tiny", "reproduce": "this test"}


@dataclass(frozen=True)
class State:
    """What a run must leave as it was."""

    weights: str
    hooks: int
    modes: tuple[bool, ...]

    @classmethod
    def of(cls, model: Any) -> "State":
        points = model.hook_dict.values()
        hooks = sum(len(point.fwd_hooks) + len(point.bwd_hooks) + len(point._forward_hooks) for point in points)
        return cls(model_hash(model), hooks, tuple(parameter.requires_grad for parameter in model.parameters()))


@pytest.fixture(scope="module")
def run(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dissociation, State, State]]:
    """One default run, and the model's state before and after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("run-cache")))
        before = State.of(tiny)
        result = dissociate(tiny, None, TEST, **NAMED)
        yield result, before, State.of(tiny)


@pytest.fixture
def result(run: tuple[Dissociation, State, State]) -> Dissociation:
    return run[0]


class TestReport:
    def test_it_keeps_the_contract(self, result: Dissociation) -> None:
        check_report(result.report)
        assert json.loads(json.dumps(result.report, allow_nan=False)) == result.report

    def test_conditions_are_circuits_and_controls_of_their_size(self, result: Dissociation) -> None:
        n_weights = len(result.circuits["weights"])
        found = [tuple(c[key] for key in ("name", "kind", *COUNTS)) for c in result.report["conditions"]]
        assert found == [
            ("heads and neurons", "circuit", 2, 3, 0),
            ("heads", "circuit", 2, 0, 0),
            ("neurons", "circuit", 0, 3, 0),
            ("weights", "circuit", 0, 0, n_weights),
            ("aimed at twins", "aimed-at-twins", 2, 3, 0),
            ("aimed at recognition", "aimed-at-recognition", 2, 3, 0),
            ("matched random", "matched-random", 2, 3, 0),
        ]
        assert n_weights > 0

    def test_a_random_model_shows_nothing_and_the_reason_is_given(self, result: Dissociation) -> None:
        assert result.verdict == result.report["verdict"]
        assert result.verdict in ("undecided", "cannot be measured"), "four triples of a random model show nothing"
        assert "chance" in result.report["verdict_sentence"] or "depend on the request" in result.report["verdict_sentence"]
        assert result.report["verdict_sentence"] in result._repr_html_()

    def test_too_few_null_draws_give_no_p_value(self, result: Dissociation) -> None:
        p_values = [condition["dissociation"]["p_value"] for condition in result.report["conditions"]]
        assert p_values[0] == {"value": None, "reason": "fewer than 39 draws: 2"}
        assert {p["reason"] for p in p_values[1:]} == {"nulls are drawn for the first circuit only"}
        assert [len(draws) for draws in result.report["nulls"]["selectivity"].values()] == [2, 2]

    def test_the_intact_model_has_every_group(self, result: Dissociation) -> None:
        assert {"generation", "recognition", "explanation", "refusal", "utility"} <= set(result.report["intact"])

    def test_two_test_triples_are_too_few_and_nobodys_fault(self, tiny: Any) -> None:
        two = dissociate(tiny, OWN, TEST, settings=replace(SETTINGS, test_triples=2))
        assert two.verdict == "undecided"
        assert "2 test triples are too few for intervals" in two.report["verdict_sentence"]

    def test_table_and_figures(self, result: Dissociation) -> None:
        names = ["intact", *(condition["name"] for condition in result.report["conditions"])]
        assert result.table()["condition"].tolist() == names
        figures = result.figures()
        assert set(figures) == {"rises", "retained", "heads", "neurons", "nulls"}
        assert all(figure.data for figure in figures.values())
        assert result.verdict in repr(result)
        axis = figures["nulls"].layout.xaxis.title.text
        assert axis == "selectivity on 2 triples (nats per token)"


def test_every_number_of_the_report_has_its_own_n(result: Dissociation) -> None:
    """4 test triples, of which 2 are answered freely; 3 facts, 2 passages, 2 requests of every day."""
    n = {
        "generation": {"selectivity": 4, "kl": 4, "on_task_rate": 2},
        "recognition": {"auroc": 4, "auroc_in_place": 4, "probe_auroc": 4},
        "refusal": {"harmful_rate": 2, "near_rate": 2, "benign_rate": 4, "money_advice_rate": 1},
        "utility": {"nll_rise": 2, "facts_right": 3, "facts_margin": 3},
    }
    for condition in (result.report["intact"], *result.report["conditions"]):
        for group, keys in n.items():
            assert {key: condition[group][key]["n"] for key in keys} == keys


class TestOutcomes:
    def test_one_row_a_condition_and_prompt(self, result: Dissociation) -> None:
        frame = result.outcomes
        assert len(frame) == 8 * 4 * 3
        for _, rows in frame.groupby("condition"):
            assert rows["role"].tolist() == ["harmful", "near", "far"] * 4
            assert rows["group"].tolist() == [group for group in rows["group"].iloc[::3] for _ in range(3)]
        assert set(frame["group"]) == {prompt.group for prompt in TEST}
        assert not {"request", "response", "prefill"} & set(frame.columns)

    def test_readings_are_missing_exactly_where_none_is_taken(self, result: Dissociation) -> None:
        frame = result.outcomes
        far, written = frame["role"] == "far", frame["on_task"].notna()
        for column in ("nll", "kl", "in_place", "many_shot", "probe", "probe_request"):
            assert frame[column].notna().all()
        assert (frame["nll_other"].isna() == far).all()
        assert frame["explain"].isna().all(), "not asked for here"
        assert (frame["refused"].notna() == written).all()
        assert not (written & far).any()
        assert (frame[written].groupby("condition").size() == 4).all(), "two triples, harmful and near"
        assert len(result.responses) == written.sum()

    def test_the_intact_model_is_the_reference(self, result: Dissociation) -> None:
        kl = result.outcomes.groupby("condition")["kl"].max()
        assert kl["intact"] == 0
        assert (kl.drop("intact") > 0).all()


class TestRuns:
    def test_the_model_is_as_it_was(self, run: tuple[Dissociation, State, State]) -> None:
        _, before, after = run
        assert before == after

    def test_also_after_an_error_inside(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        before = State.of(tiny)
        monkeypatch.setattr(stages, "write", fails)
        with pytest.raises(ZeroDivisionError):
            dissociate(tiny, OWN, TEST, settings=SETTINGS)
        assert State.of(tiny) == before

    def test_without_training_what_needs_it_is_null_with_the_reason(self, tiny: Any) -> None:
        alone = dissociate(tiny, OWN, TEST, settings=SETTINGS)
        check_report(alone.report)
        (condition,) = alone.report["conditions"]
        assert (condition["name"], condition["kind"], condition["n_neurons"]) == ("circuit", "circuit", 2)
        for key in ("auroc", "probe_auroc", "probe_auroc_request"):
            assert condition["recognition"][key]["value"] is None
        assert "training split" in condition["recognition"]["auroc"]["reason"]
        assert condition["recognition"]["auroc_in_place"]["value"] is not None
        assert condition["dissociation"]["p_value"]["reason"] == "no training split was given"
        for aim in ("aimed at twins", "aimed at recognition", "matched random"):
            assert f"There is no circuit {aim}: no training split was given" in alone.report["limits"]
        assert (alone.scores, alone.nulls, set(alone.figures())) == (None, None, {"rises", "retained"})

    def test_circuits_by_name_the_first_being_judged(self, tiny: Any) -> None:
        mine = {"two neurons": Circuit(neurons=OWN.neurons), "a head": Circuit(heads=OWN.heads)}
        found = dissociate(tiny, mine, TEST, **SPLITS)
        assert found.circuits == mine
        sizes = [(c["name"], c["n_heads"], c["n_neurons"]) for c in found.report["conditions"]]
        assert sizes[:2] == [("two neurons", 0, 2), ("a head", 1, 0)]
        assert all(size[1:] == (0, 2) for size in sizes[2:]), "controls are of the first one's size"
