"""The main job on a tiny random model: whole runs in seconds, held out, repeatable, leaving nothing behind."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from contract import check_report
from triples import OWN, PROMPTS, SETTINGS, SPLITS, TEST

from harmcircuits import store
from harmcircuits.ablation.prune import check_base
from harmcircuits.attribution.scores import AttributionError
from harmcircuits.components import Circuit, read_provenance
from harmcircuits.experiments import battery
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.result import Dissociation
from harmcircuits.models.matrices import base_hash
from harmcircuits.models.protocol import model_hash
from harmcircuits.store import files as store_files
from harmcircuits.store import tensors as store_tensors


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
        result = dissociate(tiny, None, TEST, name="tiny", reproduce="this test", **SPLITS)
        yield result, before, State.of(tiny)


@pytest.fixture
def result(run: tuple[Dissociation, State, State]) -> Dissociation:
    return run[0]


class TestReport:
    def test_it_keeps_the_contract(self, result: Dissociation) -> None:
        check_report(result.report)
        assert json.loads(json.dumps(result.report, allow_nan=False)) == result.report

    def test_what_was_run(self, result: Dissociation) -> None:
        report = result.report
        assert (report["seed"], report["n_triples"], report["reproduce"]) == (0, 4, "this test")
        assert (report["model"]["name"], report["model"]["n_layers"], report["model"]["n_heads"]) == ("tiny", 2, 4)
        assert "With 4 test triples" in report["sensitivity_before_run"]
        assert report["settings"]["attribution_triples"] == 4
        assert any("iso-damage" in limit for limit in report["limits"])

    def test_conditions_are_circuits_and_controls_of_their_size(self, result: Dissociation) -> None:
        found = [(c["name"], c["kind"], c["n_heads"], c["n_neurons"]) for c in result.report["conditions"]]
        assert found == [
            ("heads and neurons", "circuit", 2, 3),
            ("heads", "circuit", 2, 0),
            ("neurons", "circuit", 0, 3),
            ("aimed at twins", "aimed-at-twins", 2, 3),
            ("aimed at recognition", "aimed-at-recognition", 2, 3),
            ("matched random", "matched-random", 2, 3),
            ("random", "random", 2, 3),
        ]

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
        assert set(result.report["nulls"]["balance"]) == {"heads", "neurons"}

    def test_the_intact_model_has_every_group_and_the_controls_of_the_shots(self, result: Dissociation) -> None:
        intact = result.report["intact"]
        assert {"generation", "recognition", "explanation", "refusal", "utility"} <= set(intact)
        for control in ("auroc_shuffled_labels", "auroc_arbitrary_labels"):
            assert intact["recognition"][control]["value"] is not None

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

    def test_what_stands_beside_the_verdict_is_told(self, result: Dissociation) -> None:
        told = "\n".join(result.report["verdict_reasons"])
        assert "before the response, the probe at the request's last token" in told
        assert "with shuffled labels" in told
        assert "Matched random neurons have" in told


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
        for column in battery.SHOT_CONTROLS:
            assert (frame[column].notna() == (~far & (frame["condition"] == "intact"))).all()
        assert not (written & far).any()
        assert (frame[written].groupby("condition").size() == 4).all(), "two triples, harmful and near"
        assert len(result.responses) == written.sum()

    def test_the_intact_model_is_the_reference(self, result: Dissociation) -> None:
        kl = result.outcomes.groupby("condition")["kl"].max()
        assert kl["intact"] == 0
        assert (kl.drop("intact") > 0).all()

    def test_the_first_few_triples_are_of_every_category(self, result: Dissociation) -> None:
        """Rules and nulls read the first triples only."""
        written = result.outcomes.loc[result.outcomes["on_task"].notna(), "category"]
        assert set(written) == {prompt.category for prompt in TEST}


class TestSave:
    MARK = "Made-up response <b>text</b>"

    def test_every_file_is_written_atomically_and_no_text_is_in_them(
        self, result: Dissociation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[Path] = []
        atomic_file = store.atomic_file

        def recorded(path: Path) -> Any:
            written.append(Path(path))
            return atomic_file(path)

        for module in (store_files, store_tensors):
            monkeypatch.setattr(module, "atomic_file", recorded)
        marked = replace(result, responses=result.responses.assign(response=self.MARK))
        marked.save(tmp_path / "out")
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        assert files == sorted(written)
        circuits = ["heads-and-neurons.json", "heads.json", "neurons.json"]
        assert [str(path.relative_to(tmp_path / "out")) for path in files] == [
            *(f"circuits/{name}" for name in circuits),
            "outcomes.csv",
            "report.html",
            "report.json",
            *(f"scores/{name}.safetensors" for name in ("far", "harmful", "near", "nulls", "recognition")),
        ]
        everything = "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)
        for text in ("Made-up response", *(prompt.request for prompt in PROMPTS)):
            assert text not in everything
        for response in result.responses["response"]:
            assert len(response.strip()) < 8 or response not in everything

    def test_what_was_saved_is_read_back(self, result: Dissociation, tmp_path: Path) -> None:
        result.save(tmp_path)
        loaded = Dissociation.load(tmp_path)
        assert loaded.report == store.read_json(tmp_path / "report.json") == result.report
        assert loaded.circuits == result.circuits
        assert list(loaded.circuits) == list(result.circuits)
        assert loaded.scores is not None
        assert result.scores is not None
        for name, part in result.scores.parts.items():
            assert torch.equal(loaded.scores.parts[name].per_example_neurons, part.per_example_neurons)
        assert loaded.nulls is not None
        assert result.nulls is not None
        for kind, rises in result.nulls.rises.items():
            np.testing.assert_array_equal(loaded.nulls.rises[kind], rises)
        assert loaded.nulls.balance == result.nulls.balance == result.report["nulls"]["balance"]
        pd.testing.assert_frame_equal(loaded.outcomes, result.outcomes)
        pd.testing.assert_frame_equal(loaded.table(), result.table())
        assert set(loaded.figures()) == set(result.figures())
        assert loaded.responses.empty

    def test_a_folder_holds_one_run(self, result: Dissociation, tiny: Any, tmp_path: Path) -> None:
        """What the earlier run had and this one has not is gone; what is not ours stays."""
        result.save(tmp_path)
        (tmp_path / "circuits" / "mine.json").write_text("{}")
        alone = dissociate(tiny, OWN, TEST, settings=SETTINGS)
        alone.save(tmp_path)
        loaded = Dissociation.load(tmp_path)
        assert (loaded.scores, loaded.nulls, set(loaded.figures())) == (None, None, set(alone.figures()))
        assert sorted(path.name for path in (tmp_path / "circuits").iterdir()) == ["circuit.json", "mine.json"]

    def test_a_full_disk_at_the_page_keeps_the_numbers(
        self, result: Dissociation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_text = store.write_text

        def full(path: Path, text: str) -> None:
            if path.suffix == ".html":
                raise store.StoreError("disk full")
            write_text(path, text)

        monkeypatch.setattr(store, "write_text", full)
        with pytest.raises(store.StoreError, match="disk full"):
            result.save(tmp_path)
        assert Dissociation.load(tmp_path).report == result.report

    @pytest.mark.parametrize("content", ["{}", "[]", '{"conditions": null}', '{"conditions": [1]}'])
    def test_another_report_is_refused(self, result: Dissociation, tmp_path: Path, content: str) -> None:
        result.save(tmp_path)
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(store.StoreError, match="is not the report of a run"):
            Dissociation.load(tmp_path)

    def test_outcomes_with_other_columns_are_refused(self, result: Dissociation, tmp_path: Path) -> None:
        result.save(tmp_path)
        (tmp_path / "outcomes.csv").write_text("a,b\n1,2\n")
        with pytest.raises(store.StoreError, match="has no columns condition"):
            Dissociation.load(tmp_path)

    def test_circuits_name_the_model_they_are_for(self, result: Dissociation, tiny: Any, tmp_path: Path) -> None:
        result.save(tmp_path)
        origin = read_provenance(tmp_path / "circuits" / "heads-and-neurons.json")
        assert origin is not None and origin.base == base_hash(tiny) and origin.seed == result.report["seed"]
        assert origin.results["verdict"] == result.verdict and "selectivity" in origin.results
        check_base(tiny, tmp_path / "circuits" / "heads.json")

    def test_an_interrupted_save_is_no_run(self, result: Dissociation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The report goes first and comes last: an old one never stands beside new numbers."""
        result.save(tmp_path)
        monkeypatch.setattr(Circuit, "save", lambda *_, **__: (_ for _ in ()).throw(store.StoreError("disk full")))
        with pytest.raises(store.StoreError, match="disk full"):
            result.save(tmp_path)
        with pytest.raises(store.StoreError, match=r"report\.json"):
            Dissociation.load(tmp_path)

    @pytest.mark.parametrize("file", ["outcomes.csv", "scores/nulls.safetensors", "scores/far.safetensors"])
    def test_what_is_missing_or_damaged_is_named(self, result: Dissociation, tmp_path: Path, file: str) -> None:
        result.save(tmp_path)
        (tmp_path / file).write_bytes(b"")
        with pytest.raises((store.StoreError, AttributionError), match=Path(file).name):
            Dissociation.load(tmp_path)

    def test_two_names_never_share_a_file(self, result: Dissociation, tmp_path: Path) -> None:
        circuits = {"a b": OWN, "a-b": Circuit(heads=[(0, 0)]), "a  b": Circuit(heads=[(1, 1)])}
        conditions = [{"name": name, "kind": "circuit"} | result.report["conditions"][0] | {"name": name} for name in circuits]
        replace(result, circuits=circuits, report=result.report | {"conditions": conditions}).save(tmp_path)
        assert Dissociation.load(tmp_path).circuits == circuits

    def test_responses_are_shown_only_when_asked_for_and_only_on_the_page(self, result: Dissociation, tmp_path: Path) -> None:
        marked = replace(result, responses=result.responses.assign(response=self.MARK))
        marked.save(tmp_path / "hidden")
        assert f"{len(result.responses)} responses were recorded" in (tmp_path / "hidden" / "report.html").read_text("utf-8")
        marked.save(tmp_path / "shown", show_responses=True)
        assert "Made-up response &lt;b&gt;text" in (tmp_path / "shown" / "report.html").read_text("utf-8")
        for name in ("report.json", "outcomes.csv"):
            assert "Made-up" not in (tmp_path / "shown" / name).read_text("utf-8")

    def test_a_circuits_name_stays_inside_the_folder(self, result: Dissociation, tmp_path: Path) -> None:
        named = replace(result, circuits={"../../up & away": OWN, "heads": OWN})
        named.save(tmp_path / "out")
        assert sorted(path.name for path in (tmp_path / "out" / "circuits").iterdir()) == ["-up-away.json", "heads.json"]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_a_folder_that_cannot_be_written_is_an_error(self, result: Dissociation, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(store.StoreError, match="cannot be written"):
            result.save(tmp_path / "file" / "out")


class TestRuns:
    def test_the_model_is_as_it_was(self, run: tuple[Dissociation, State, State]) -> None:
        _, before, after = run
        assert before == after

    def test_also_after_an_error_inside(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        before = State.of(tiny)
        monkeypatch.setattr(battery, "write_and_read", fails)
        with pytest.raises(ZeroDivisionError):
            dissociate(tiny, OWN, TEST, settings=SETTINGS)
        assert State.of(tiny) == before

    def test_the_same_seed_gives_the_same_report(self, tiny: Any, result: Dissociation) -> None:
        again = dissociate(tiny, None, TEST, name="tiny", reproduce="this test", **SPLITS)
        assert again.report == result.report
        pd.testing.assert_frame_equal(again.outcomes, result.outcomes)

    def test_without_training_what_needs_it_is_null_with_the_reason(self, tiny: Any) -> None:
        alone = dissociate(tiny, OWN, TEST, settings=SETTINGS)
        check_report(alone.report)
        condition, random = alone.report["conditions"]
        assert (random["name"], random["kind"]) == ("random", "random")
        assert (condition["name"], condition["kind"], condition["n_neurons"]) == ("circuit", "circuit", 2)
        for key in ("auroc", "accuracy", "probe_auroc", "probe_auroc_request"):
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
        assert any("which need not be the recipe that found it" in limit for limit in found.report["limits"])
