"""All claims on one model: planted answers, one cache, what cannot be tested, the shell command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shell import call, small, text, told, write
from tiny import tiny_model_folder

import harmcircuits as hc
from harmcircuits.claims import claim
from harmcircuits.claims.compactness import Compactness
from harmcircuits.claims.run import known_claims, sizes_of
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.settings import CompactnessSettings
from harmcircuits.organisms import planted

CLAIMS = ["dissociation", "compactness"]
SMALL = hc.Settings(
    components=("heads",), head_fractions=(0.05, 0.1), facts=0, passages=0, sampled=False, shots=0, random_draws=1,
    train_prompts=24, development_prompts=12, test_prompts=32, written_prompts=4, max_new_tokens=8, written_tokens=6,
    bootstrap_draws=200,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(scope="module")
def result(folder: Path) -> Any:
    organism = planted(0, "plain")
    return hc.paper(
        organism.model, organism.prompts, claims=CLAIMS, settings=SMALL, folder=folder, name="planted", command="typed"
    )


def test_planted_answers(result: Any) -> None:
    assert dict(zip(result.table()["claim"], result.table()["answer"], strict=True)) == {
        "dissociation": "dissociated",
        "compactness": "yes",
    }


def test_each_result_is_the_one_that_it_is_alone(result: Any, folder: Path) -> None:
    organism = planted(0, "plain")
    alone = hc.compactness(
        organism.model,
        organism.prompts,
        settings=sizes_of(CompactnessSettings, SMALL),
        folder=folder,
        name="planted",
        command="typed",
    )
    assert alone.document() == result.results["compactness"].document()
    assert hc.Finding.load(folder / "compactness.json").document() == alone.document(), "saved as soon as it is there"


def test_files_hold_the_answers_and_no_request(result: Any, folder: Path) -> None:
    page = result.save(folder)
    rows = json.loads((folder / "paper.json").read_text("utf-8"))["claims"]
    assert [row["answer"] for row in rows] == ["dissociated", "yes"]
    assert (folder / "dissociation" / "report.json").exists()
    written = page.read_text("utf-8")
    assert not any(prompt.request in written for prompt in planted(0, "plain").prompts)


def test_a_claim_that_cannot_be_tested_is_not_the_end(monkeypatch: pytest.MonkeyPatch, result: Any, folder: Path) -> None:
    def refuse(self: Any) -> Any:
        raise HarmcircuitsError("nothing to test")

    monkeypatch.setattr(Compactness, "plan", refuse)
    organism = planted(0, "plain")
    again = hc.paper(organism.model, organism.prompts, claims=CLAIMS[::-1], settings=SMALL, folder=folder)
    assert again.reasons == {"compactness": "nothing to test"}
    assert again.table()["answer"].tolist() == ["dissociated", "cannot be measured"]
    assert "nothing to test" in again.page()


def test_an_error_of_the_program_is_raised(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def fail(self: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr(Compactness, "plan", fail)
    organism = planted(0, "plain")
    with pytest.raises(ValueError, match="a bug"):
        hc.paper(organism.model, organism.prompts, claims=["compactness"], settings=SMALL)


def test_sizes_that_differ_hold_for_every_claim() -> None:
    own = sizes_of(CompactnessSettings, replace(hc.Settings(), test_prompts=7, head_fractions=(0.5,)))
    assert own == CompactnessSettings(test_prompts=7, head_fractions=(0.5,))


def test_an_unknown_claim_is_named_before_the_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HarmcircuitsError, match="'smal'"):
        hc.paper(None, claims=["smal"])  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    told(call("paper", "--claims", "smal", "--model", "no such model"), "'smal'")
    assert not [*tmp_path.iterdir()]


def test_the_command_prints_every_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    tiny_model_folder(tmp_path / "model")
    write(tmp_path / "prompts.csv")
    monkeypatch.setattr(claim, "NAMES", ("compactness",))
    out = tmp_path / "out"
    done = call(
        "paper", "--quick", "--claims", ",".join(CLAIMS), "--components", "heads", "--model", tmp_path / "model",
        "--prompts", tmp_path / "prompts.csv", "--out", out, "--device", "cpu", "--seed", "1",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    kept = json.loads((out / "paper.json").read_text("utf-8"))
    assert kept["settings"]["seed"] == 1 and [row["claim"] for row in kept["claims"]] == CLAIMS
    assert all(row["answer"] in text(done) for row in kept["claims"])
    assert known_claims()[0] == "dissociation"
