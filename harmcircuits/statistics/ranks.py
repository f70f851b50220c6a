"""The area under the ROC curve, and its standard error."""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from .estimate import StatisticsError


def auroc(positive: ArrayLike, negative: ArrayLike, *, axis: int = -1) -> Float[np.ndarray, "*draws"]:
    """The probability that a positive scores above a negative, ties counting one half.

    AUROC = U / (n_pos · n_neg), with the Mann–Whitney U = (sum of the positives' midranks) − n_pos (n_pos + 1) / 2.
    From 0 to 1, no unit; ½ is chance; above ½ the positives score higher.

    Args:
        positive: scores [*draws, n_pos] (n_pos at `axis`).
        negative: scores [*draws, n_neg]; the leading axes broadcast against those of `positive`.
        axis: where the scores of one draw lie, in both arrays.

    Returns:
        [*draws], a scalar without leading axes. nan where a draw holds a nan.

    Raises:
        StatisticsError: either side is empty or is no array of scores.

    Source: Mann and Whitney 1947; Hanley and McNeil 1982.

    >>> float(auroc([1, 2, 3], [0, 2]))
    0.75
    """
    above, below = (_scores(side, name, axis) for side, name in ((positive, "positive"), (negative, "negative")))
    n_pos, n_neg = above.shape[-1], below.shape[-1]
    leading = np.broadcast_shapes(above.shape[:-1], below.shape[:-1])
    both = np.concatenate([np.broadcast_to(side, (*leading, side.shape[-1])) for side in (below, above)], axis=-1)
    order = both.argsort(axis=-1, kind="stable")  # of equal scores the negatives come first
    ranked, is_positive = np.take_along_axis(both, order, axis=-1), order >= n_neg
    if ((ranked[..., 1:] == ranked[..., :-1]) & (is_positive[..., 1:] != is_positive[..., :-1])).any():
        u = rankdata(both, axis=-1)[..., n_neg:].sum(-1) - n_pos * (n_pos + 1) / 2
    else:  # no positive ties with a negative: counting takes half the time of ranking
        u = np.where(is_positive, np.cumsum(~is_positive, axis=-1), 0).sum(-1)
    area: np.ndarray = u / (n_pos * n_neg)
    return np.where(np.isnan(both).any(-1), np.nan, area)[()]


def auroc_se(auroc: float, n_pos: int, n_neg: int) -> float:
    """Standard error of an AUROC over independent scores.

        SE² = [A (1 − A) + (n_pos − 1)(Q₁ − A²) + (n_neg − 1)(Q₂ − A²)] / (n_pos · n_neg)
        Q₁ = A / (2 − A),   Q₂ = 2 A² / (1 + A)

    Q₁ and Q₂ are exact for exponential scores and a good approximation for others. It takes positives and negatives as
    independent: a triple's two scores usually rise together, and then the paired bootstrap gives a smaller error.

    Raises:
        StatisticsError: A outside [0, 1], or a side is empty.

    Source: Hanley and McNeil 1982, equations 1 and 2.

    >>> round(auroc_se(0.7, 96, 96), 4)
    0.0376
    """
    if not 0 <= auroc <= 1 or n_pos < 1 or n_neg < 1:
        raise StatisticsError(f"needs 0 <= auroc <= 1 and both sides >= 1, not auroc={auroc}, {n_pos} and {n_neg}")
    square = auroc**2
    same_positive = auroc / (2 - auroc) - square
    same_negative = 2 * square / (1 + auroc) - square
    spread = auroc * (1 - auroc) + (n_pos - 1) * same_positive + (n_neg - 1) * same_negative
    return math.sqrt(max(spread, 0.0) / (n_pos * n_neg))


def _scores(side: ArrayLike, name: str, axis: int) -> Float[np.ndarray, "*draws n"]:
    scores = np.asarray(side, dtype=np.float64)
    if scores.ndim == 0:
        raise StatisticsError(f"the {name} side is the single number {scores}: pass an array of scores")
    scores = np.moveaxis(scores, axis, -1)
    if scores.shape[-1] == 0:
        raise StatisticsError(f"the {name} side is empty (shape {scores.shape}): an AUROC needs both sides")
    return scores
