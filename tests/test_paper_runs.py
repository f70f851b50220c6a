"""All real claims on a tiny model, and the shell command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from fake_claims import ENTRIES
from judging import judge
from shell import small, text, told, write
from tiny import tiny_model_folder
from triples import SETTINGS, make_triples
from typer.testing import CliRunner, Result

from harmcircuits.claims.earlier import FOUND, Claim
from harmcircuits.claims.paper import CLAIMS, paper, registry
from harmcircuits.cli.paper import paper as command


def test_every_claim_on_a_tiny_model(tiny: Any, tmp_path: Path) -> None:
    settings = replace(SETTINGS, head_fraction=0.125, protect_heads=0.1, weight_q=0.01, weight_p=0.05, facts=6)
    found = paper(tiny, make_triples(20), settings=settings, quick=True, judge=judge(), folder=tmp_path, reproduce="paper")
    table = found.table()
    assert list(table["claim"]) == list(CLAIMS)
    assert set(table["found"]) <= set(FOUND) and all(table["sentence"])
    assert found.failed == {}, "each is measured, whatever is found"
    found.save(tmp_path)
    for name, entry in CLAIMS.items():
        loaded: Claim = entry.kind.load(tmp_path)
        assert loaded.document() == json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
        assert loaded.sentence == found.claims[name].sentence
        assert list(loaded.figures()) == list(found.claims[name].figures())
        assert loaded.settings["judge"]["passed"], "and how often it is right stands beside"
    page = (tmp_path / "paper.html").read_text("utf-8")
    assert not any(prompt.request in page for prompt in make_triples(20)), "no text of a request or response"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small(monkeypatch)
    monkeypatch.setattr(registry, "CLAIMS", dict(ENTRIES))
    tiny_model_folder(tmp_path / "model")
    write(tmp_path / "prompts.csv")
    return tmp_path


def call(place: Path, *flags: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    fixed = ["--quick", "--model", place / "model", "--prompts", place / "prompts.csv", "--out", place / "o", "--device", "cpu"]
    return CliRunner().invoke(app, [str(part) for part in (*fixed, *flags)])


def test_the_command_tells_the_claims_and_where_the_page_is(place: Path) -> None:
    result = call(place, "--claims", "small, stopped", "--seed", "1")
    assert result.exit_code == 0, result.output
    printed = text(result)
    assert "small: It is <not> known." in printed
    assert "stopped: there is nothing to stop" in printed
    assert str(place / "o" / "paper.html") in "".join(result.output.split("\n"))
    kept = json.loads((place / "o" / "paper.json").read_text("utf-8"))
    assert [row["claim"] for row in kept["claims"]] == ["small", "stopped"]
    assert kept["settings"]["seed"] == 1
    assert {path.name for path in (place / "o").iterdir()} == {"journal", "paper.html", "paper.json", "small.json"}


def test_an_unknown_claim_is_told_before_the_model_is_loaded(place: Path) -> None:
    told(call(place, "--claims", "smal", "--model", "no such model"), "error: there is no claim 'smal'")
    assert not (place / "o").exists()
