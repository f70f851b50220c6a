"""What else changes: facts and plain prose, under one condition."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..statistics import Estimate, mean_estimate
from ..tasks.teacher_forced import INTACT
from .battery import Outcomes
from .measures import rate


def utility(outcomes: Outcomes, name: str, options: Mapping[str, Any]) -> dict[str, Estimate]:
    """`nll_rise`: of L on passages of plain benign prose, nats per token. `facts_right`: share of everyday facts whose right
    completion is the likeliest, `facts_margin`: how much likelier, nats per token. Intervals are over passages and facts."""
    own = {key: value for key, value in options.items() if key != "strata"}
    passages, before = (_column(outcomes.of_items(who, "passage"), "nll") for who in (name, INTACT))
    facts = outcomes.of_items(name, "fact")
    why = "no passages or facts were read"
    return {
        "nll_rise": mean_estimate(passages - before, **own) if len(passages) else Estimate.missing(why),
        "facts_right": rate(_column(facts, "right"), why),
        "facts_margin": mean_estimate(_column(facts, "margin"), **own) if len(facts) else Estimate.missing(why),
    }


def _column(items: pd.DataFrame, name: str) -> Float[np.ndarray, " item"]:
    return items[name].to_numpy(dtype=float) if len(items) else np.empty(0)
