"""What a model wrote reaches none of what the other commands print, write and raise: claims, fine-tunings.

`test_no_text_leaks` has the commands of the main job, and the word by which text is known.
"""

from pathlib import Path
from typing import Any

import pytest
import test_no_text_leaks as leaks
from shell import call, small, write
from test_no_text_leaks import CANARY, holding
from tiny import tiny_model_folder
from transformers import AutoModelForCausalLM
from triples import make_triples

from harmcircuits import cli, store
from harmcircuits.circuits import Circuit
from harmcircuits.claims.claim import Finding

words = leaks.words
"""The fixture: every text that is decoded begins with the word, and neither logs nor warnings hold it."""
THERE = {"dissociate", "report"}
"""Driven by `test_no_text_leaks`."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shell")
    for seed, name in enumerate(("model", "later")):
        tiny_model_folder(place / name, n_layers=1, seed=seed)
    write(place / "prompts.csv")
    return place


@pytest.fixture(autouse=True)
def small_runs(place: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.CACHE_VARIABLE, str(place / "cache"))
    small(monkeypatch)


def options(place: Path, out: str, *, quick: bool = True) -> list[str]:
    files = ["--prompts", str(place / "prompts.csv"), "--out", str(place / out), "--device", "cpu"]
    return [*files, "--quick"] if quick else files


def silent(place: Path, capfd: pytest.CaptureFixture[str], command: str, *arguments: object) -> None:
    """The command ends well, and the word is neither printed nor in any file, the cache's among them."""
    result = call("-v", command, *arguments)
    assert result.exit_code == 0, result.output
    assert CANARY not in result.output and CANARY not in "".join(capfd.readouterr())
    assert holding(place) == []


def unseen(*results: Any) -> None:
    for one in results:
        shown = f"{one!r} {one} {one._repr_html_()} {one.table().to_string()} {[f.to_json() for f in one.figures().values()]}"
        assert CANARY not in shown, type(one).__name__


def test_every_command_is_driven_somewhere() -> None:
    here = {"compactness", "generality", "distinct", "paper", "alignment", "misalignment", "attribute", "generate", "export"}
    assert {command.__name__.replace("_", "-") for command in cli.COMMANDS} == here | THERE


def test_claims(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("compactness", "distinct"):
        silent(place, capfd, name, "--model", place / "model", *options(place, "one"))
        unseen(Finding.load(place / "one" / f"{name}.json"))
    silent(place, capfd, "paper", "--model", place / "model", *options(place, "claims"), "--claims", "compactness")
    assert (place / "claims" / "paper.html").exists()
    many = [
        "--prompts",
        write(place / "many.csv", make_triples(24).prompts),
        "--test-prompts",
        "8",
        "--label-swaps",
        "40",
        "--components",
        "neurons",
    ]
    silent(place, capfd, "generality", "--model", place / "model", *options(place, "one"), *many)
    unseen(Finding.load(place / "one" / "generality.json"))


def test_a_circuit_is_selected_and_left_out(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, out = ("--model", place / "model", "--device", "cpu"), place / "scores"
    prompts = ("--prompts", place / "prompts.csv", "--requests", 4, "--heads", 0, "--neurons", 4)
    silent(place, capfd, "attribute", *model, *prompts, "--out", out)
    assert {path.name for path in out.iterdir()} == {"circuit.json", "heads.html", "scores.csv"}
    assert len(Circuit.load(out / "circuit.json")) == 4
    silent(place, capfd, "export", out / "circuit.json", *model, "--out", place / "pruned")
    pruned = AutoModelForCausalLM.from_pretrained(place / "pruned")
    assert sum(int((weight == 0).sum()) for weight in pruned.parameters()) > 0


def test_generate_shows_text_on_the_terminal_alone(place: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = ("--model", place / "model", "--device", "cpu", "--max-new-tokens", 4)
    Circuit(neurons=[(0, 3)]).save(tmp_path / "circuit.json")
    for arguments in (["Bread?", "Tea?"], ["--prompts", place / "prompts.csv", "--circuit", tmp_path / "circuit.json"]):
        result = call("-v", "generate", *arguments, *model, "--temperature", 1)
        assert result.exit_code == 0 and CANARY in result.output and holding(place) == []
        assert CANARY not in "".join(capfd.readouterr())


def test_alignment(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    series = f"base={place / 'model'}", f"tuned={place / 'later'}"
    silent(place, capfd, "alignment", *series, *options(place, "alignment"))
    unseen(Finding.load(place / "alignment" / "alignment.json"))


def test_misalignment(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft")
    few = ["--lessons", "8", "--questions", "2", "--epochs", "1", "--rank", "2", "--fine-tunings", "1", "--batch-size", "8"]
    command = ["misalignment", "--model", place / "model", "--components", "neurons", *few]
    silent(place, capfd, *command, *options(place, "misalignment"))
    unseen(Finding.load(place / "misalignment" / "misalignment.json"))
