"""What other programs read in report.json: its keys and the shape of its values."""

from numbers import Real
from typing import Any

TOP = (
    "schema_version", "harmcircuits_version", "transformer_lens_version", "model", "seed", "verdict", "intact", "conditions",
)  # fmt: skip
GENERATION = (
    "harmful_nll_rise", "near_nll_rise", "far_nll_rise", "selectivity", "kl", "retained_harmful", "retained_twin",
    "on_task_rate", "refusal_rate", "degenerate_rate", "harmful_rate",
)  # fmt: skip
RECOGNITION = ("auroc", "auroc_in_place", "probe_auroc", "retained")
CONDITION = {
    "generation": GENERATION,
    "recognition": RECOGNITION,
    "explanation": ("score",),
    "refusal": ("harmful_rate", "benign_rate"),
    "utility": ("nll_rise",),
    "dissociation": ("p_value",),
}
COUNTS = ("n_heads", "n_neurons", "n_weights")
KINDS = {"circuit", "aimed-at-twins", "aimed-at-recognition", "random", "matched-random", "label-swap"}
VERDICTS = {"dissociated", "shared", "insensitive", "undecided", "cannot be measured"}


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


def check_condition(condition: dict[str, Any]) -> None:
    assert condition["kind"] in KINDS
    assert isinstance(condition["name"], str)
    assert all(type(condition[count]) is int for count in COUNTS)
    for section, keys in CONDITION.items():
        assert set(keys) <= set(condition[section]), section
        for value in condition[section].values():
            check_value(value)


def check_report(report: dict[str, Any]) -> None:
    assert set(TOP) <= set(report)
    assert report["verdict"] in VERDICTS
    for section in ("generation", "recognition"):
        assert set(CONDITION[section]) <= set(report["intact"][section])
        for value in report["intact"][section].values():
            check_value(value)
    assert report["conditions"]
    for condition in report["conditions"]:
        check_condition(condition)
    names = [condition["name"] for condition in report["conditions"]]
    assert len(set(names)) == len(names)
