"""A whole run from the shell on a tiny model, and one that ends early because there is nothing to lose."""

import json
from pathlib import Path

import pytest
from fake_report import check_report
from shell import dissociate, small, text, write
from tiny import tiny_model_folder
from triples import PROMPTS

from harmcircuits.experiment import dissociation

FILES = {"circuits", "controls", "report.json", "report.html", "effects.csv", "outcomes.csv", "sweep.csv", "cache"}


@pytest.mark.model
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "nothing to lose"])
def test_a_run_prints_a_table_and_writes_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    small(monkeypatch)
    monkeypatch.setattr(dissociation, "_nothing_to_lose", lambda effects: "" if whole else "there is nothing to lose")
    model, prompts, out = tiny_model_folder(tmp_path / "model"), write(tmp_path / "p.csv"), tmp_path / "out"
    result = dissociate(model=model, prompts=prompts, out=out, device="cpu", components="heads,weights")
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text("utf-8"))
    check_report(report)
    assert f"Answer: {report['answer']}" in text(result) and "Effect sizes, 95 % intervals" in result.output
    assert not any(prompt.request in result.output for prompt in PROMPTS)
    assert str(out / "report.json") in "".join(result.output.split("\n"))
    kinds = {condition["labels"].get("control", condition["name"]) for condition in report["conditions"]}
    if whole:
        assert kinds >= {"baseline", "heads", "weights", "random", "matched random", "aimed at benign", "aimed at recognition"}
        assert {path.name for path in out.iterdir()} == FILES
    else:
        assert kinds == {"baseline"} and report["answer"] == "cannot be measured"
        assert "there is nothing to lose" in text(result) + (out / "report.html").read_text("utf-8")
