"""Estimates as cells of tables, and in sentences."""

from typing import Any

import numpy as np

from ...statistics import Estimate


def ends(name: str, value: Estimate) -> dict[str, float]:
    """A value and its interval as three columns, nan where there is none.

    >>> ends("share", Estimate(0.5, 0.25, 0.75, 20))
    {'share': 0.5, 'share_low': 0.25, 'share_high': 0.75}
    """
    cells = {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
    return {column: np.nan if cell is None else cell for column, cell in cells.items()}


def row(value: Estimate) -> dict[str, Any]:
    """value, low, high, n, reason."""
    cells = dict(zip(("value", "low", "high"), ends("value", value).values(), strict=True))
    return {**cells, "n": value.n, "reason": value.reason or ""}


def told(value: Estimate) -> str:
    """Two decimals and the interval.

    >>> told(Estimate(0.123, 0.051, 0.19, 24)), told(Estimate.missing("no questions"))
    ('0.12 [0.05, 0.19]', 'not measured')
    """
    if value.value is None:
        return "not measured"
    interval = "" if value.low is None or value.high is None else f" [{value.low:.2f}, {value.high:.2f}]"
    return f"{value.value:.2f}{interval}"
