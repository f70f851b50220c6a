"""From draws to decisions: p-values against a null, and the false discovery rate."""

from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import beta, false_discovery_control

from .estimate import Estimate

MIN_NULL_DRAWS = 39
"""Of fewer null draws no p-value is told: 39 are the fewest with which twice it can reach 0.05."""


def p_value(observed: float, null: ArrayLike, *, level: float = 0.95) -> Estimate:
    """The p-value of an observed statistic against draws from its null distribution.

    p = (1 + #{null ≥ observed}) / (1 + draws): one-sided, never 0, and valid for any number of draws. A null draw equal to the
    observed value up to rounding counts as reaching it, and so does an undefined one (nan): that errs on the safe side.

    The interval is Clopper and Pearson's of the tail probability that the draws estimate: where the p-value of endlessly many
    draws may lie. It says how much a test owes to its number of draws, and a p-value ≤ 0.05 is
    one whatever its interval.

    Returns:
        The p-value with its interval at `level` and n = the number of null draws; missing, with the reason, for fewer than 39
        draws or an undefined observed value.

    Source: Davison and Hinkley 1997, section 4.2; Phipson and Smyth 2010; Clopper and Pearson 1934.

    >>> print(p_value(3.0, np.arange(99) / 99))
    0.010 [0.000, 0.037] (n=99)
    """
    draws = np.asarray(null, dtype=np.float64).ravel()
    if draws.size < MIN_NULL_DRAWS:
        return Estimate.missing(f"fewer than {MIN_NULL_DRAWS} draws: {draws.size}")
    if np.isnan(observed):
        return Estimate.missing("the observed statistic is undefined")
    count = reaching(observed, draws)
    tail, more = (1 - level) / 2, draws.size - count
    low = beta.ppf(tail, count, more + 1) if count else 0.0
    high = beta.isf(tail, count + 1, more) if more else 1.0
    return Estimate((1 + count) / (1 + draws.size), float(low), float(high), draws.size)


def reaching(observed: float, draws: Float[np.ndarray, " draw"]) -> int:
    """Draws ≥ the observed value, with those equal to it up to rounding and those undefined."""
    tolerance = 100 * np.finfo(np.float64).eps * abs(observed) if np.isfinite(observed) else 0.0
    return int(((draws >= observed - tolerance) | np.isnan(draws)).sum())


def fdr(p_values: ArrayLike) -> Float[np.ndarray, " test"]:
    """Benjamini–Hochberg p-values: rejecting those ≤ q keeps the expected share of false rejections ≤ q.

    None and nan are tests that were not made: they stay nan and are not counted among the tests.

    Raises:
        ValueError: a p-value outside [0, 1].

    Source: Benjamini and Hochberg 1995, by scipy.stats.false_discovery_control.

    >>> fdr([0.01, 0.02, 0.9]).round(3).tolist()
    [0.03, 0.03, 0.9]
    """
    adjusted = np.atleast_1d(np.asarray(p_values, dtype=np.float64)).copy()
    made = ~np.isnan(adjusted)
    if made.any():
        adjusted[made] = false_discovery_control(adjusted[made], method="bh")
    return adjusted


def fdr_estimates(p_values: Sequence[Estimate]) -> list[Estimate]:
    """`fdr` of p-values with their reasons: a missing one stays as it is, and is not counted among the tests.

    >>> print(*fdr_estimates([Estimate(0.01, n=99), Estimate.missing("not read"), Estimate(0.04, n=99)]), sep="; ")
    0.020 (n=99); — (not read); 0.040 (n=99)
    """
    adjusted = fdr(np.array([np.nan if p.value is None else p.value for p in p_values]))
    return [p if p.is_missing else Estimate(float(q), n=p.n) for p, q in zip(p_values, adjusted, strict=True)]


@overload
def fdr_named(p_values: pd.Series) -> pd.Series: ...
@overload
def fdr_named(p_values: Mapping[str, float | Estimate | None]) -> dict[str, float | None]: ...
def fdr_named(p_values: Mapping[str, float | Estimate | None] | pd.Series) -> dict[str, float | None] | pd.Series:
    """`fdr` of named p-values: a mapping gives a dict of the same names, a column of a frame a column with its index.

    A test without a p-value (None, nan, a missing `Estimate`) keeps having none, and is not counted: None in a dict, nan in a
    column.

    Raises:
        ValueError: a p-value outside [0, 1].

    >>> fdr_named({"heads": 0.01, "neurons": 0.02, "weights": None})
    {'heads': 0.02, 'neurons': 0.02, 'weights': None}
    """
    if isinstance(p_values, pd.Series):
        return pd.Series(fdr(pd.to_numeric(p_values)), index=p_values.index, name=p_values.name, dtype=float)
    if not p_values:
        return {}
    plain = [p.value if isinstance(p, Estimate) else p for p in p_values.values()]
    adjusted = fdr(np.array([np.nan if p is None else p for p in plain], dtype=np.float64))
    return {name: None if np.isnan(p) else float(p) for name, p in zip(p_values, adjusted, strict=True)}
