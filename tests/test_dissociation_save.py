"""What a run leaves in its folder: every file whole or none, nothing that a model wrote, and the same run read back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from triples import OWN, PROMPTS, RICH, SETTINGS, SPLITS, TEST

from harmcircuits import store
from harmcircuits.ablation.prune import check_base
from harmcircuits.attribution.scores import AttributionError
from harmcircuits.components import Circuit, WeightMask, read_provenance
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.folder import clear
from harmcircuits.experiments.result import Dissociation
from harmcircuits.models.matrices import base_hash
from harmcircuits.report import ReportError
from harmcircuits.store import files as store_files
from harmcircuits.store import tensors as store_tensors

MARK = "Made-up response <b>text</b>"


def own_part(loaded: Dissociation) -> dict[str, Any]:
    """The report without the names of files, which a save adds."""
    return {key: value for key, value in loaded.report.items() if key not in ("circuits", "controls")}


@pytest.fixture(scope="module")
def result(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Dissociation:
    """A run with every kind of file: circuits of components and of weights, controls, scores, nulls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("run-cache")))
        return dissociate(tiny, None, TEST, name="tiny", **{**SPLITS, "settings": RICH})


@pytest.mark.parametrize(
    "name", [5, None, ["a.json"], "..", "a\0.json", "x" * 5000 + ".json", "../theirs.json", "notes.txt", ""]
)
def test_an_edited_report_costs_the_next_run_nothing_and_removes_nobody_s_files(tmp_path: Path, name: object) -> None:
    (tmp_path / "circuits").mkdir()
    theirs = [tmp_path / "theirs.json", tmp_path / "circuits" / "notes.txt"]
    for path in (*theirs, tmp_path / "circuits" / "own.json"):
        path.write_text("{}", "utf-8")
    store.write_json(tmp_path / "report.json", {"circuits": {"odd": name, "mine": "own.json"}, "controls": 3})
    clear(tmp_path)
    assert all(path.exists() for path in theirs)
    assert not (tmp_path / "circuits" / "own.json").exists() and not (tmp_path / "report.json").exists()


def test_every_file_is_written_atomically_and_no_text_is_in_them(
    result: Dissociation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    atomic_file = store.atomic_file

    def recorded(path: Path) -> Any:
        written.append(Path(path))
        return atomic_file(path)

    for module in (store_files, store_tensors):
        monkeypatch.setattr(module, "atomic_file", recorded)
    marked = replace(result, responses=result.responses.assign(response=MARK))
    marked.save(tmp_path / "out")
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == sorted(written)
    assert [str(path.relative_to(tmp_path / "out")) for path in files] == [
        *(f"circuits/{name}" for name in ("heads-and-neurons.json", "heads.json", "neurons.json", "weights.safetensors")),
        *(f"controls/{name}.json" for name in ("aimed-at-recognition", "aimed-at-twins", "matched-random")),
        "items.csv",
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


def test_what_was_saved_is_read_back(result: Dissociation, tmp_path: Path) -> None:
    result.save(tmp_path)
    loaded = Dissociation.load(tmp_path)
    assert loaded.report == store.read_json(tmp_path / "report.json")
    assert own_part(loaded) == result.report
    for kind in ("circuits", "controls"):
        saved, before = getattr(loaded, kind), getattr(result, kind)
        assert list(saved) == list(before) == list(loaded.report[kind])
        assert saved == before
    assert isinstance(loaded.circuits["weights"], WeightMask)
    assert loaded.scores is not None
    assert result.scores is not None
    for name, part in result.scores.parts.items():
        assert torch.equal(loaded.scores.parts[name].per_example_neurons, part.per_example_neurons)
    assert loaded.nulls is not None
    assert result.nulls is not None
    for kind, rises in result.nulls.rises.items():
        np.testing.assert_array_equal(loaded.nulls.rises[kind], rises)
    pd.testing.assert_frame_equal(loaded.outcomes, result.outcomes)
    pd.testing.assert_frame_equal(loaded.items, result.items, check_dtype=False)
    pd.testing.assert_frame_equal(loaded.table(), result.table())
    assert set(loaded.figures()) == set(result.figures())
    assert set(loaded.tables()) == set(result.tables())
    assert loaded.responses.empty


def test_a_folder_holds_one_run(result: Dissociation, tiny: Any, tmp_path: Path) -> None:
    """What the earlier run had and this one has not is gone; what is not ours stays."""
    result.save(tmp_path)
    (tmp_path / "circuits" / "mine.json").write_text("{}")
    alone = dissociate(tiny, OWN, TEST, settings=SETTINGS)
    alone.save(tmp_path)
    loaded = Dissociation.load(tmp_path)
    assert (loaded.scores, loaded.nulls, set(loaded.figures())) == (None, None, set(alone.figures()))
    assert sorted(path.name for path in (tmp_path / "circuits").iterdir()) == ["circuit.json", "mine.json"]
    assert not [*(tmp_path / "controls").iterdir()]
    assert not [*(tmp_path / "scores").iterdir()]


def test_a_full_disk_at_the_page_keeps_the_numbers(
    result: Dissociation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = store.write_text

    def full(path: Path, text: str) -> None:
        if path.suffix == ".html":
            raise store.StoreError("disk full")
        write_text(path, text)

    monkeypatch.setattr(store, "write_text", full)
    with pytest.raises(store.StoreError, match="disk full"):
        result.save(tmp_path)
    assert own_part(Dissociation.load(tmp_path)) == result.report


@pytest.mark.parametrize("content", ["{}", "[]", '{"conditions": null}', '{"conditions": [1]}'])
def test_another_report_is_refused(result: Dissociation, tmp_path: Path, content: str) -> None:
    result.save(tmp_path)
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(ReportError, match=r"is it the report\.json of a harmcircuits run"):
        Dissociation.load(tmp_path)


def test_a_report_that_names_no_circuit_is_refused(result: Dissociation, tmp_path: Path) -> None:
    result.save(tmp_path)
    found = json.loads((tmp_path / "report.json").read_text("utf-8"))
    (tmp_path / "report.json").write_text(json.dumps(found | {"circuits": {}}), "utf-8")
    with pytest.raises(ReportError, match=r"report\.json names no circuit: it was changed"):
        Dissociation.load(tmp_path)


def test_circuits_name_the_model_they_are_for(result: Dissociation, tiny: Any, tmp_path: Path) -> None:
    result.save(tmp_path)
    origin = read_provenance(tmp_path / "circuits" / "heads-and-neurons.json")
    assert origin is not None and origin.base == base_hash(tiny) and origin.seed == result.report["seed"]
    assert origin.results["verdict"] == result.verdict and "selectivity" in origin.results
    check_base(tiny, tmp_path / "circuits" / "heads.json")


def test_an_interrupted_save_is_no_run(result: Dissociation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report goes first and comes last: an old one never stands beside new numbers."""
    result.save(tmp_path)
    monkeypatch.setattr(Circuit, "save", lambda *_, **__: (_ for _ in ()).throw(store.StoreError("disk full")))
    with pytest.raises(store.StoreError, match="disk full"):
        result.save(tmp_path)
    with pytest.raises(store.StoreError, match=r"report\.json"):
        Dissociation.load(tmp_path)


@pytest.mark.parametrize(
    "file",
    ["outcomes.csv", "items.csv", *(f"scores/{name}.safetensors" for name in ("nulls", "far"))],
)
def test_what_is_missing_or_damaged_is_named(result: Dissociation, tmp_path: Path, file: str) -> None:
    result.save(tmp_path)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises((store.StoreError, AttributionError), match=Path(file).name):
        Dissociation.load(tmp_path)


def test_two_names_never_share_a_file(result: Dissociation, tmp_path: Path) -> None:
    circuits = {"a b": OWN, "a-b": Circuit(heads=[(0, 0)]), "a  b": Circuit(heads=[(1, 1)])}
    conditions = [{"name": name, "kind": "circuit"} | result.report["conditions"][0] | {"name": name} for name in circuits]
    named = replace(result, circuits=circuits, report=result.report | {"conditions": conditions})
    named.save(tmp_path)
    assert Dissociation.load(tmp_path).circuits == circuits


def test_responses_are_shown_only_when_asked_for_and_only_on_the_page(result: Dissociation, tmp_path: Path) -> None:
    marked = replace(result, responses=result.responses.assign(response=MARK))
    marked.save(tmp_path / "hidden")
    assert f"{len(result.responses)} responses were recorded" in (tmp_path / "hidden" / "report.html").read_text("utf-8")
    marked.save(tmp_path / "shown", show_responses=True)
    assert "Made-up response &lt;b&gt;text" in (tmp_path / "shown" / "report.html").read_text("utf-8")
    for name in ("report.json", "outcomes.csv"):
        assert "Made-up" not in (tmp_path / "shown" / name).read_text("utf-8")


def test_a_circuits_name_stays_inside_the_folder(result: Dissociation, tmp_path: Path) -> None:
    named = replace(result, circuits={"../../up & away": OWN, "heads": OWN})
    named.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "circuits").iterdir()) == ["-up-away.json", "heads.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
