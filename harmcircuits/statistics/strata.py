"""Which triples are redrawn together: the strata of a stratified bootstrap."""

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from .estimate import StatisticsError


def strata_codes(strata: ArrayLike | None, n: int) -> Int[np.ndarray, " n"]:
    """The stratum of each of `n` triples as a number 0, 1, …; None: all in one.

    A stratum of a single triple would be drawn in every draw, as if its value were known without error: such strata are put
    together, and a lone one joins the smallest other.

    Raises:
        StatisticsError: not one label a triple.

    >>> strata_codes(["a", "b", "a", "b", "c"], 5).tolist()
    [0, 1, 0, 1, 0]
    """
    if strata is None:
        return np.zeros(n, dtype=np.int64)
    labels = [str(label) for label in np.asarray(strata, dtype=object).ravel()]
    if len(labels) != n:
        raise StatisticsError(f"strata are one label a triple: {n} triples have {len(labels)} labels")
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    counts = np.bincount(codes)
    alone = np.flatnonzero(counts == 1)
    if len(alone) == 1 and len(counts) > 1:
        others = np.where(counts > 1, counts, n + 1)
        alone = np.append(alone, others.argmin())
    codes[np.isin(codes, alone)] = alone.min() if len(alone) else 0
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
