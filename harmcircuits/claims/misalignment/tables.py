"""What stands behind the sentence, as a table; and the check that answers are no nonsense."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from ...statistics import Estimate
from .effects import EQUAL, LAST, PARTS, Arm, Measured, Where
from .plan import ALL, NOTHING, Run
from .questions import ANSWERS

WHERE: dict[str, tuple[Where, ...]] = {"bad": (LAST, EQUAL), "good": (LAST,)}
"""Models that learn good advice have no narrow-domain loss in common with those that learn bad advice."""


def advice_table(measured: Measured) -> pd.DataFrame:
    """One row a domain learnt ("all": over all of them), arm, kind of question and place where it was read: Δb."""
    rows = []
    arms = dict.fromkeys((run.lesson, run.pruned) for run in measured.curves)
    for learnt, (lesson, pruned), part in product((ALL, *measured.learnt), arms, PARTS):
        among = measured.learnt if learnt == ALL else [learnt]
        for where in WHERE[lesson]:
            value = measured.effect(Arm(lesson, pruned, where), part, among=among)
            rows.append({"learnt": learnt, "advice": lesson, "pruned": pruned, "asked": part, "read": where, **_row(value)})
    return pd.DataFrame(rows)


def degenerate_excess(answers: Mapping[Run, pd.DataFrame]) -> float | None:
    """The share of degenerate answers after bad advice − after good advice, nothing pruned; None where none were written."""
    of = lambda lesson: [
        frame["degenerate"] for run, frame in answers.items() if (run.lesson, run.pruned) == (lesson, NOTHING) and len(frame)
    ]
    good, bad = map(of, ANSWERS)
    return float(pd.concat(bad).mean() - pd.concat(good).mean()) if good and bad else None


def _row(value: Estimate) -> dict[str, Any]:
    cells = {"value": value.value, "low": value.low, "high": value.high}
    numbers = {name: np.nan if cell is None else cell for name, cell in cells.items()}
    return {**numbers, "n": value.n, "reason": value.reason or ""}
