"""A run in the shape of real ones, every number made up; and what other programs read in report.json, its keys and values."""

from numbers import Real
from typing import Any

import pandas as pd

from harmcircuits.circuits import Circuit
from harmcircuits.experiment.measure import Outcomes
from harmcircuits.experiment.result import Dissociation

N = 99
"""Requests that the fake run claims."""


def measured(value: float, half: float = 0.05, n: int = N) -> dict[str, Any]:
    return {"value": value, "low": round(value - half, 6), "high": round(value + half, 6), "n": n}


def null(reason: str) -> dict[str, Any]:
    return {"value": None, "reason": reason}


CHANGES = ("recognition_auroc", "one_sided_auroc", "recognition_auroc_change", "one_sided_auroc_change")


def effects(harmful: float) -> dict[str, Any]:
    """A loss increase by role, and AUROCs by benign role; what is missing has a reason."""
    increase = {role: measured(round(harmful / size, 4)) for role, size in (("harmful", 1), ("near", 2), ("far", 4))}
    aurocs = {effect: dict.fromkeys(("near", "far"), measured(0.111 * (at + 1))) for at, effect in enumerate(CHANGES)}
    return {"loss_increase": increase, **aurocs, "explanation": {"all": null("not measured")}}


def fake_run(name: str = "heads", words: str = "made up") -> Dissociation:
    """A circuit and a control of it, "dissociated" against one kind of benign requests and undecided against the other."""
    control = f"{name}: random 0"
    answers = [("matched", "dissociated"), ("unrelated", "undecided")]
    report = {
        "schema_version": 2,
        "harmcircuits": "0.0.0",
        "model": {"name": f"fake-model-0b {words}", "key": "0" * 64},
        "prompts": {"paired": True, "test_requests": {"harmful": N, "near": N, "far": N}, "train": None},
        "settings": {"seed": 12345, "recipe": words},
        "recognition": {"question": "yes/no", "measure": "recognition"},
        "answer": "dissociated",
        "reason": "",
        "command": "",
        "leads": [name, "matched"],
        "sentences": [f"Every number is {words}."],
        "answers": [{"circuit": name, "contrast": kind, "answer": found, "reasons": [words]} for kind, found in answers],
        "conditions": [
            {"name": label, "size": 3, "labels": {"component": "heads", **labels}, "effects": effects(harmful)}
            for label, labels, harmful in ((name, {}, 0.555), (control, {"control": "random"}, 0.0222))
        ],
        "sweep": [
            {"component": "heads", "label": f"{n} {name}", "size": n, "harmful": n / 9, "near": n / 18, "chosen": n == 9}
            for n in (3, 9)
        ],
        "versions": {"python": "0.0"},
    }
    rows = pd.DataFrame([(name, "loss", 0, 0.5)], columns=["condition", "measure", "item", "value"])
    outcomes = Outcomes(rows, pd.DataFrame())
    circuits = {name: Circuit(heads=[(0, 1), (1, 2), (2, 3)])}
    return Dissociation(report, outcomes, circuits, {control: Circuit(heads=[(0, 2)])})


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
