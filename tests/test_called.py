"""The call in the report of a run from Python: typed again, it makes the run again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_bridge
from triples import RICH, TEST

import harmcircuits as hc
from harmcircuits.components import Circuit
from harmcircuits.experiments.called import _loading, in_python, verb_call, with_call
from harmcircuits.judges import RulesJudge
from harmcircuits.models.aliases import DEFAULT
from harmcircuits.models.protocol import model_hash

SMALL = replace(
    RICH, seed=3, test_triples=4, null_draws=0, damage_triples=0, explained_triples=0, everyday=0, facts=2, passages=1
)


def without_seconds(report: Any) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "seconds"}


def test_the_call_in_the_report_makes_the_same_report(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train, development, test = hc.load_prompts().split(seed=3)
    monkeypatch.setattr(tiny.cfg, "model_name", DEFAULT)
    found = hc.dissociate(tiny, None, test, train=train, development=development, settings=SMALL)
    text = found.report["reproduce"]
    assert "model = hc.load_model('smollm2-135m-instruct')" in text and "hc.load_prompts().split(seed=3)" in text
    monkeypatch.setattr(hc, "load_model", lambda name: tiny)
    *lines, last = text.splitlines()
    names: dict[str, Any] = {}
    exec("\n".join([*lines, f"again = {last}"]), names)
    assert without_seconds(names["again"].report) == without_seconds(found.report)


def test_what_only_its_caller_has_is_told_by_name_and_digest(tiny: Any) -> None:
    mine = {"mine": Circuit(heads=[(0, 1)])}
    found = hc.dissociate(tiny, mine, TEST, settings=SMALL, name="of mine").report["reproduce"]
    assert found.splitlines()[1:] == [
        f"# model: {tiny.cfg.model_name}, weights sha256 {model_hash(tiny)}, torch.float32",
        f"# test: {len(TEST)} prompts of {TEST.name!r}, sha256 {TEST.digest[:16]}",
        f"# mine: {mine['mine']!r}, saved beside this report",
        f"hc.dissociate(model, {{'mine': ...}}, test, settings={in_python(SMALL)})",
    ]


def test_a_model_is_loaded_by_a_name_that_says_where_it_is(tmp_path: Path) -> None:
    own = tiny_bridge(tmp_path / "model")  # the others' model is theirs: its weights would be rounded
    own.cfg.model_name = "someone/model"
    assert _loading(own) == ["model = hc.load_model('someone/model')"]
    own.to(torch.bfloat16)
    assert _loading(own) == ["import torch", "model = hc.load_model('someone/model', dtype=torch.bfloat16)"]


def test_a_judge_is_named(tiny: Any) -> None:
    mine, judge = Circuit(heads=[(0, 1)]), RulesJudge()
    text = hc.dissociate(tiny, mine, TEST, settings=SMALL, judge=judge).report["reproduce"]
    assert f"# judge: {judge.name}" in text.splitlines() and text.endswith(", judge=judge)")


def test_a_command_stands_as_it_was_given(tiny: Any) -> None:
    report = hc.dissociate(tiny, Circuit(heads=[(0, 1)]), TEST, settings=SMALL, reproduce="harmcircuits dissociate").report
    assert report["reproduce"] == "harmcircuits dissociate"


# Claims


def test_the_call_in_a_claims_file_makes_the_claim_again(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny.cfg, "model_name", DEFAULT)
    monkeypatch.setattr(hc, "load_model", lambda name: tiny)
    found = hc.compactness(tiny, grains=["neurons"], points=2, controls=["matched random"], rescore=False, settings=SMALL)
    *lines, last = found.command.splitlines()
    assert (
        last.startswith("hc.compactness(model, grains=['neurons'], points=2, ")
        and lines[1] == f"model = hc.load_model({DEFAULT!r})"
    )
    names: dict[str, Any] = {}
    exec("\n".join([*lines, f"again = {last}"]), names)
    assert names["again"].document() == found.document()


def test_what_only_the_caller_has_is_a_comment() -> None:
    options = {"settings": hc.Settings(seed=2), "judge": RulesJudge(), "folder": "out", "points": 3, "spans": None}
    assert verb_call("compactness", ["x", TEST], options).splitlines()[1:] == [
        "# model: of your own",
        f"# prompts: {len(TEST)} prompts of {TEST.name!r}, sha256 {TEST.digest[:16]}",
        f"# judge: {RulesJudge().name}",
        "hc.compactness(model, prompts=prompts, settings=hc.Settings(seed=2), judge=..., points=3)",
    ]


def test_a_claim_on_material_of_its_caller_has_the_command_that_it_is_given() -> None:
    told = with_call(lambda model, *, reproduce="", material=None: reproduce)
    assert told("m") and not told("m", material="prepared") and told("m", reproduce="again") == "again"
