"""Whole runs from the shell on a tiny model: the main job in each of its ways, and what is asked of it afterwards."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract import check_report
from shell import dissociate, small, text, write
from tiny import tiny_model_folder
from triples import PROMPTS
from typer.testing import Result

from harmcircuits import cli, store
from harmcircuits.experiments.checks import ready_splits
from harmcircuits.experiments.scores import chosen_triples
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.prompts.readers import load_prompts

FILES = {"circuits", "controls", "scores", "report.json", "report.html", "outcomes.csv", "items.csv", "journal"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model and a file of prompts; runs in it are small, and share a cache of responses."""
    place = tmp_path_factory.mktemp("shell")
    tiny_model_folder(place / "model")
    write(place / "prompts.csv")
    (place / "cache").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        yield place


@pytest.fixture(autouse=True)
def shared_cache(place: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.CACHE_VARIABLE, str(place / "cache"))


def run(place: Path, out: Path, *flags: str, **options: object) -> Result:
    return dissociate(*flags, model=place / "model", prompts=place / "prompts.csv", out=out, device="cpu", **options)


def report_of(result: Result, out: Path) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    check_report(found)
    assert f"Verdict: {found['verdict']}" in text(result)
    assert not any(prompt.request in result.output for prompt in PROMPTS)
    return found


@pytest.fixture(scope="module")
def plain(place: Path) -> tuple[Result, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(place / "cache"))
        return run(place, place / "plain"), place / "plain"


@pytest.mark.model
def test_a_run_prints_a_table_and_writes_its_folder(plain: tuple[Result, Path]) -> None:
    result, out = plain
    report = report_of(result, out)
    for words in ("With 4 test triples", "heads and neurons", "aimed at"):
        assert words in result.output
    assert {"aimed at recognition", "matched random"} < {condition["name"] for condition in report["conditions"]}
    assert str(out / "report.json") in "".join(result.output.split("\n"))
    assert report["reproduce"].startswith("harmcircuits")
    assert report["settings"]["prefill_tokens"] == -1
    assert {path.name for path in out.iterdir()} == FILES
    assert sum(path.stat().st_size for path in out.rglob("*")) < cli.shared.TRIAL_BYTES, "room for it is looked for before"
    assert "crossed" not in report


def test_crossed_adds_the_table_of_aims_and_tasks(place: Path, tmp_path: Path, plain: tuple[Result, Path]) -> None:
    report = report_of(run(place, tmp_path / "o", "--crossed"), tmp_path / "o")
    assert report["crossed"]["aims"] == {"generation": "heads and neurons", "recognition": "aimed at recognition"}
    assert any(
        "There is no circuit aimed at explanation: explanations were not asked for: aim_triples is 2" in limit
        for limit in report["limits"]
    )
    same = {c["name"]: c["generation"]["selectivity"] for c in report_of(*plain)["conditions"]}
    assert {c["name"]: c["generation"]["selectivity"] for c in report["conditions"]} == same, "what was measured stays"


def test_without_an_attack_nothing_is_put_in_the_models_mouth(place: Path, tmp_path: Path, plain: tuple[Result, Path]) -> None:
    report = report_of(run(place, tmp_path / "o", attack="none"), tmp_path / "o")
    assert report["settings"]["prefill_tokens"] == 0
    digest = lambda found: found["settings"]["test prompts sha256"]
    assert digest(report) != digest(report_of(*plain))
    *_, test = ready_splits(load_prompts(place / "prompts.csv"), seed=0)
    bare = PromptSet(tuple(replace(prompt, prefill="") for prompt in test))
    assert digest(report) == chosen_triples(bare, 4, seed=0).digest[:16]
