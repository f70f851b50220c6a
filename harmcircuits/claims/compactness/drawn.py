"""The figures of a sweep: those for which anything was measured."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.compactness import compactness_retained, compactness_rises
from ...figures.compactness_beside import (
    RATES,
    RECOGNITION,
    UTILITY,
    compactness_rates,
    compactness_recognition,
    compactness_utility,
)
from ...figures.compactness_sweeps import compactness_greedy, compactness_protection
from .rules import GREEDY

if TYPE_CHECKING:
    import plotly.graph_objects as go

BESIDE = {
    "recognition": (compactness_recognition, RECOGNITION),
    "utility": (compactness_utility, UTILITY),
    "rates": (compactness_rates, RATES),
}


def drawings(curves: pd.DataFrame, intact: pd.DataFrame) -> "dict[str, go.Figure]":
    """By name, in the order of a page: all grains together, then grain by grain. `curves` and `intact` are a claim's tables."""
    found = {"retained": compactness_retained(curves)}
    if GREEDY in set(curves["rule"]):
        found["greedy"] = compactness_greedy(curves)
    if "protection" in set(curves["kind"]):
        found["protection"] = compactness_protection(curves)
    for grain in dict.fromkeys(curves["grain"]):
        own = curves[curves["grain"] == grain]
        found[f"rises_{grain}"] = compactness_rises(own, grain=grain)
        for name, (draw, panels) in BESIDE.items():
            measures = own[[panel.measure for panel in panels]].astype(float)
            if np.isfinite(measures.to_numpy()).any():
                found[f"{name}_{grain}"] = draw(own, intact, grain=grain)
    return found
