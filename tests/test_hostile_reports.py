"""A report.json that was edited: the commands that read it say what is wrong, and never end in a bug's traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_report import fake_report
from shell import call, text, told

from harmcircuits.experiments.result import Dissociation
from harmcircuits.report import PRINTED, ReportError, checked_report
from harmcircuits.report.kinds import KINDS

OTHERS = (None, True, 5, 0.5, "text", [], {}, [[]], {"a": 1})


def saved(folder: Path, **edits: Any) -> Path:
    whole = {"seed": 0, "model": {"name": "m", "sha256": "0"}} | fake_report()
    (folder / "report.json").write_text(json.dumps(whole | edits), "utf-8")
    return folder


def unlike(kind: type) -> list[Any]:
    return [value for value in OTHERS if not isinstance(value, kind) or isinstance(value, bool)]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, kind in PRINTED.items() for value in unlike(kind)])
def test_a_part_of_another_kind_is_named(name: str, value: Any, tmp_path: Path) -> None:
    told(call("report", saved(tmp_path, **{name: value})), f'report.json: "{name}" is a', "Restore the file, or run")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("value", OTHERS, ids=repr)
def test_whatever_a_part_is_a_command_ends_with_a_message_or_a_result(name: str, value: Any, tmp_path: Path) -> None:
    result = call("report", saved(tmp_path, **{name: value}))
    assert "Traceback" not in text(result)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)


@pytest.mark.parametrize("name", KINDS)
def test_a_part_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    whole = json.loads((saved(tmp_path) / "report.json").read_text("utf-8"))
    (tmp_path / "report.json").write_text(json.dumps({key: own for key, own in whole.items() if key != name}), "utf-8")
    with pytest.raises(ReportError, match=f"report.json has no {name}: is it the report.json of a harmcircuits run"):
        Dissociation.load(tmp_path)


def test_a_whole_one_passes_as_it_is() -> None:
    whole = {"seed": 0, "model": {}} | fake_report()
    assert checked_report(whole, where="report.json") == whole
