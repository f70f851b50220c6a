"""What other programs read in report.json: its keys and the shape of its values."""

from numbers import Real
from typing import Any

TOP = (
    "schema_version", "harmcircuits", "model", "prompts", "settings", "recognition", "answer", "reason", "sentences", "answers",
    "conditions", "versions",
)  # fmt: skip
ANSWERS = {"dissociated", "shared", "not selective", "undecided", "cannot be measured"}


def check_value(value: Any) -> None:
    """`{value, low, high, n}` with an interval around most values, or `{value: null, reason}`: nothing else."""
    if value["value"] is None:
        assert set(value) == {"value", "reason"}
        assert isinstance(value["reason"], str)
        assert value["reason"]
        return
    assert set(value) == {"value", "low", "high", "n"}
    assert isinstance(value["value"], Real)
    assert isinstance(value["n"], int)
    assert value["n"] >= 1
    assert (value["low"] is None) == (value["high"] is None)
    assert value["low"] is None or value["low"] <= value["high"]


def check_report(report: dict[str, Any]) -> None:
    assert set(TOP) <= set(report) and report["schema_version"] == 2
    assert {report["answer"], *(row["answer"] for row in report["answers"])} <= ANSWERS
    names = [condition["name"] for condition in report["conditions"]]
    assert names[0] == "baseline" and len(set(names)) == len(names)
    for condition in report["conditions"]:
        assert isinstance(condition["size"], int) and (condition["size"] > 0) == (condition["name"] != "baseline")
        for effect, by_role in condition["effects"].items():
            assert by_role, effect
            for value in by_role.values():
                check_value(value)
