"""Which triples are redrawn together: the strata of a stratified bootstrap."""

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from .estimate import StatisticsError

FEWEST = 3
"""Triples of a stratum: in simulations, intervals within strata of 2 hold the true value in 66 to 93 % (docs/statistics.md)."""


def strata_codes(strata: ArrayLike | None, n: int) -> Int[np.ndarray, " n"]:
    """The stratum of each of `n` triples as a number 0, 1, …; None: all in one.

    A stratum of a few triples hardly varies from draw to draw, one of a single triple not at all, as if its value were known
    without error: strata of fewer than 3 are put together, and where these are fewer than 3 in all, they join the smallest
    other.

    Raises:
        StatisticsError: not one label a triple.

    >>> strata_codes(["a", "b", "a", "b", "a", "b", "c"], 7).tolist()
    [0, 1, 0, 1, 0, 1, 0]
    """
    if strata is None:
        return np.zeros(n, dtype=np.int64)
    labels = [str(label) for label in np.asarray(strata, dtype=object).ravel()]
    if len(labels) != n:
        raise StatisticsError(f"strata are one label a triple: {n} triples have {len(labels)} labels")
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    counts = np.bincount(codes)
    small = np.flatnonzero(counts < FEWEST)
    if len(small) < len(counts) and 0 < counts[small].sum() < FEWEST:
        small = np.append(small, np.where(counts < FEWEST, n + 1, counts).argmin())
    codes[np.isin(codes, small)] = small.min() if len(small) else 0
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
