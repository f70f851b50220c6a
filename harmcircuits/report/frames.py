"""A report as frames: the short table for a terminal, and what the figures draw."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .values import Measured, components, conditions, find, text

SUMMARY = {
    "harmful rise": ("generation.harmful_nll_rise", True),
    "near rise": ("generation.near_nll_rise", True),
    "far rise": ("generation.far_nll_rise", True),
    "selectivity": ("generation.selectivity", True),
    "retained harmful": ("generation.retained_harmful", False),
    "retained twin": ("generation.retained_twin", False),
    "AUROC many-shot": ("recognition.auroc", False),
    "AUROC in place": ("recognition.auroc_in_place", False),
    "AUROC probe": ("recognition.probe_auroc", False),
    "AUROC probe, request": ("recognition.probe_auroc_request", False),
}
"""Column: where it lies in a condition, and whether its sign is always written."""

_RETAINED = {"retained_harmful": "generation.retained_harmful", "retained_twin": "generation.retained_twin"}


def summary_frame(report: Mapping[str, Any]) -> pd.DataFrame:
    """The short table: one row a condition, after one for the intact model; values as text with 95 % intervals.

    Rises and selectivity in nats per token (ablated − intact; positive: the ablation hurts), retained generation as a
    fraction of the intact request information, AUROC of harmful requests against near twins. "n/a" is a null or a
    missing value; "" is what an intact model has by definition (no rise, all retained).

    Raises:
        ReportError: the report has no list of conditions, or a measured value of another shape.

    >>> generation = {"selectivity": {"value": 0.1, "low": 0, "high": 0.2}}
    >>> table = summary_frame({"conditions": [{"name": "heads", "n_heads": 2, "generation": generation}]})
    >>> table[["condition", "components", "selectivity", "near rise"]].values.tolist()
    [['heads', '2 heads', '+0.100 [+0.000, +0.200]', 'n/a']]
    """
    rows = [_row(condition) for condition in conditions(report)]
    intact = report.get("intact")
    if isinstance(intact, Mapping) and intact:
        recognition = {column: text(find(intact, SUMMARY[column][0])) for column in SUMMARY if "AUROC" in column}
        rows.insert(0, {"condition": "intact", "components": "none"} | dict.fromkeys(SUMMARY, "") | recognition)
    return pd.DataFrame(rows, columns=["condition", "components", *SUMMARY])


def rises_frame(report: Mapping[str, Any]) -> pd.DataFrame:
    """What `figures.rises` draws, one line a condition and role: condition, kind, role, value, low, high, reason.

    Raises:
        ReportError: as `summary_frame`.
    """
    rows = [
        {"condition": condition.get("name", ""), "kind": condition.get("kind", ""), "role": role}
        | _columns(find(condition, f"generation.{role}_nll_rise"), names=("value", "low", "high"))
        for condition in conditions(report)
        for role in ("harmful", "near", "far")
    ]
    return pd.DataFrame(rows, columns=["condition", "kind", "role", "value", "low", "high", "reason"])


def retained_frame(report: Mapping[str, Any]) -> pd.DataFrame:
    """What `figures.retained` draws, one line a condition.

    Columns: condition, kind; retained_harmful, retained_twin and recognition (AUROC of the primary reading), each also with
    _low and _high; intact, the intact model's AUROC in every row; reason.

    Raises:
        ReportError: as `summary_frame`.
    """
    rows, measured = [], conditions(report)
    read, before = primary_auroc(report), report.get("intact")
    intact = find(before, read) if isinstance(before, Mapping) else None
    for condition in measured:
        row = {"condition": condition.get("name", ""), "kind": condition.get("kind", ""), "intact": intact and intact.value}
        reasons = []
        for column, path in (_RETAINED | {"recognition": read}).items():
            found = _columns(find(condition, path), names=(column, f"{column}_low", f"{column}_high"))
            reasons.append(found.pop("reason"))
            row |= found
        rows.append(row | {"reason": next(filter(None, reasons), None)})
    measures = [f"{column}{end}" for column in (*_RETAINED, "recognition") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["condition", "kind", *measures, "intact", "reason"])


def primary_auroc(report: Mapping[str, Any]) -> str:
    """Where the AUROC of the primary reading lies in a condition."""
    settings = report.get("settings")
    primary = settings.get("primary reading of recognition", "") if isinstance(settings, Mapping) else ""
    return "recognition.probe_auroc" if str(primary).startswith("probe") else "recognition.auroc_in_place"


def _row(condition: Mapping[str, Any]) -> dict[str, str]:
    values = {column: text(find(condition, path), signed=signed) for column, (path, signed) in SUMMARY.items()}
    return {"condition": str(condition.get("name", "")), "components": components(condition), **values}


def _columns(result: Measured | None, *, names: tuple[str, str, str]) -> dict[str, Any]:
    result = result or Measured(None, reason="not recorded")
    return dict(zip(names, (result.value, result.low, result.high), strict=True)) | {"reason": result.reason or None}
