"""How far two sets of scores of the same components agree: see `Attribution.compare`, where the measures are defined.

Intervals are the value ± 1.96 standard deviations over bootstrap draws of the examples, the same ones on both sides; of
correlations on Fisher's scale. A draw adds noise to many means at once: its percentiles would be those of noisier scores.

Source: Efron and Tibshirani 1993, sections 12.6 and 13.2.
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm, rankdata

from ..statistics import LEAST_UNITS, resamples
from ..statistics.bootstrap import times_drawn

DRAWS = 200
COLUMNS = ("measure", "value", "low", "high", "chance", "n", "k")
Scores = Float[np.ndarray, "example component"]


def agreement(first: Scores, second: Scores, *, k: int) -> pd.DataFrame:
    """Return one row a measure, without intervals where the sides have other numbers of examples."""
    a, b, n = first.mean(0), second.mean(0), len(first)
    draws = np.empty((0, 3))
    if LEAST_UNITS <= n == len(second):
        weights = times_drawn(resamples(n, draws=DRAWS)) / n
        draws = np.array([_measures(weight @ first, weight @ second) for weight in weights])
    rows: list[tuple[Any, ...]] = []
    for name, value, each in zip(("spearman", "pearson", "slope"), _measures(a, b), draws.T, strict=True):
        rows.append((name, value, *_interval(value, each, correlation=name != "slope"), np.nan, len(a), np.nan))
    k = min(k, int((a > 0).sum()), int((b > 0).sum()))
    tops = [set(np.argsort(-side, kind="stable")[:k].tolist()) for side in (a, b)]
    shared = len(tops[0] & tops[1]) / k if k else np.nan
    rows.append(("overlap of tops", shared, np.nan, np.nan, k / len(a), len(a), k))
    return pd.DataFrame(rows, columns=[*COLUMNS])


def _measures(a: Float[np.ndarray, " component"], b: Float[np.ndarray, " component"]) -> tuple[float, float, float]:
    """Spearman's and Pearson's correlation, and the slope; nan where a side has no spread."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan, np.nan, np.nan
    x, y = a - a.mean(), b - b.mean()
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]), float(np.corrcoef(a, b)[0, 1]), float(x @ y / (y @ y))


def _interval(value: float, draws: Float[np.ndarray, " draw"], *, correlation: bool) -> tuple[float, float]:
    if not np.isfinite(value) or not len(draws):
        return np.nan, np.nan
    to, back = (lambda r: np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), np.tanh) if correlation else (np.array, float)
    half = norm.isf(0.025) * to(draws[np.isfinite(draws)]).std(ddof=1)
    return float(back(to(value) - half)), float(back(to(value) + half))
