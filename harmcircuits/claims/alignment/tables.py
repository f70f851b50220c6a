"""Everything behind the sentence, as frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...statistics import Estimate, mean_estimate
from .compared import Compared, Results
from .curve.curves import flattened
from .curve.grid import Grain
from .ladders import LADDER
from .stage import Measured
from .writing import READINGS, Reading


def tables(results: Results, compared: Compared, grains: Sequence[Grain]) -> dict[str, pd.DataFrame]:
    """By name, the stages first."""
    return {
        "stages": _stages(results),
        "areas": _areas(results, grains),
        "trends": _trends(compared),
    }


def _stages(results: Results) -> pd.DataFrame:
    """One row a stage and set of responses: whether it answers the request, and how often it refuses."""
    rows = []
    for stage in results.stages:
        for reading in READINGS:
            place: dict[str, Any] = {"stage": stage.name, "ladder": stage.ladder, "at": stage.at, "reading": reading}
            own = results.found[stage.name, reading]
            rows.append(place | ({"missing": own} if isinstance(own, str) else _of_stage(own)))
    return pd.DataFrame(rows).fillna({"missing": ""})


def _of_stage(own: Measured) -> dict[str, Any]:
    return {
        "n": len(own.groups),
        **flattened("request_information", own.information),
        **flattened("refusals", own.refusals),
        "missing": "",
    }


def _areas(results: Results, grains: Sequence[Grain]) -> pd.DataFrame:
    """One row a ladder, stage, grain and set of responses: the area over the fractions that its ladder shares; of a control
    ladder, over those that it shares with the ladder too."""
    rows: list[dict[str, Any]] = []
    names = results.ladder(LADDER)
    for reading in READINGS:
        for grain in grains:
            rows += _of_ladder(results, LADDER, names, names, reading, grain)
            for control in results.controls:
                own = results.ladder(control)
                rows += _of_ladder(results, control, own, [*names, *own[1:]], reading, grain)
    return pd.DataFrame(rows)


def _of_ladder(
    results: Results, ladder: str, own: Sequence[str], compared: Sequence[str], reading: Reading, grain: Grain
) -> list[dict[str, Any]]:
    areas, rows = results.areas(compared, reading, grain), []
    for at, name in enumerate(own):
        if isinstance(areas, str):
            value = Estimate.missing(areas)
        else:
            value = mean_estimate(areas[list(compared).index(name)], **results.some.bootstrap)
        place = {"ladder": ladder, "stage": name, "at": at, "reading": reading, "grain": grain}
        rows.append(place | flattened("area", value) | {"n": value.n, "missing": value.reason or ""})
    return rows


def _trends(compared: Compared) -> pd.DataFrame:
    """One row a question: the change from the first stage to the last, and whether it is equivalent to none."""
    rows = []
    for asked, one in compared.trends.items():
        p = np.nan if one.p.value is None else one.p.value
        rows.append(
            {
                "measure": "area",
                **asked._asdict(),
                **flattened("change", one.change),
                "p_adjusted": p,
                "equivalent_to_none": one.none,
            }
            | {"n": one.change.n, "missing": one.change.reason or ""}
        )
    for (grain, reading), value in compared.fractions.items():
        place = {"measure": "ln of the share that halves", "grain": grain, "reading": reading, "beyond": "nothing"}
        rows.append(
            {**place, **flattened("change", value), "p_adjusted": np.nan, "equivalent_to_none": False}
            | {"n": value.n, "missing": value.reason or ""}
        )
    return pd.DataFrame(rows)
