"""Whether the scores of several categories tell of one mechanism or of several, from one vector of scores a triple.

Two triples of one category share whatever mechanism that category has, and otherwise differ by chance. So the mean cosine
between two *different* triples of one category ("within") is free of the noise that each triple carries, and so is the mean
cosine between triples of different categories ("between"):

    shared = between / within        1: categories agree with each other as with themselves; 0: they have nothing in common.

It is the correlation between the categories' mean vectors divided by their reliability, over all splits into halves at once.

Source: Spearman 1904 (disattenuation); Walther et al. 2016 (products across independent measurements).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from .decisions import p_value
from .estimate import Estimate, StatisticsError
from .intervals import from_draws
from .resampling import resamples

Gram = Float[np.ndarray, "triple triple"]


@dataclass(frozen=True)
class Sharing:
    """How far categories share a mechanism.

    Attributes:
        within: mean cosine (or `beyond`) of two triples of one category, with its interval over triples.
        between: mean cosine of two triples of different categories, likewise.
        shared: between / within; missing where the interval of `within` is not above 0: then there is nothing to share.
        p_value: of within − between against permuted categories, one-sided; small: more than one mechanism.
        participation: effective number of directions among the categories' means, from 1 to the number of categories.
        participation_p: of it against permuted categories, one-sided; small: more directions than one mechanism has.
        permuted: the mean participation under permuted categories, and the middle 95 % of it (no confidence interval).
        first: the share of the largest direction in the categories' means, from 1/categories to 1.
    """

    within: Estimate
    between: Estimate
    shared: Estimate
    p_value: Estimate
    participation: Estimate
    participation_p: Estimate
    permuted: Estimate
    first: Estimate


def leading(values: ArrayLike, k: int) -> Float[np.ndarray, "triple component"]:
    """The `k` components with the largest mean square over triples, each divided by its root mean square.

    Neither step looks at a category, so that permuting categories permutes nothing else. Components that are 0 on every
    triple are left out.

    Args:
        values: [triple, component].
        k: components kept, at most as many as there are.

    Raises:
        StatisticsError: no table of finite numbers, or no component asked for.

    >>> leading([[3.0, 0.0, 0.1], [-3.0, 0.0, 0.3]], k=1).tolist()
    [[1.0], [-1.0]]
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all() or k < 1:
        raise StatisticsError(f"scores are finite numbers [triple, component] and k at least 1, not {list(table.shape)}, k={k}")
    size = np.sqrt((table**2).mean(0))
    order = np.argsort(-size, kind="stable")[:k]
    kept = order[size[order] > 0]
    return np.asarray(table[:, kept] / size[kept])


def cosines(vectors: ArrayLike) -> Gram:
    """The cosine of each two triples' vectors, in [−1, 1]; 0 with a vector that is all 0.

    >>> cosines([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]).round(3).tolist()
    [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]
    """
    table = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(table, axis=1, keepdims=True)
    unit = np.divide(table, length, out=np.zeros_like(table), where=length > 0)
    return np.asarray(unit @ unit.T + 0.0)


def beyond(target: ArrayLike, other: ArrayLike) -> Gram:
    """How far each two triples' target vectors agree beyond what each agrees with the other's twin:

        K_ij = t_i · t_j − ½ (t_i · o_j + o_i · t_j),    t and o divided by √(|t|² + |o|²) of their triple.

    What the twin shares with the target (topic, form, prefill) cancels, and what the twin has for itself does not count, as it
    would in products of differences t − o.

    Args:
        target: [triple, component].
        other: the twins', in the same order.

    Raises:
        StatisticsError: tables of different shapes.

    >>> common, own = np.array([0.6, 0.0, 0.0]), np.array([0.0, 0.8, 0.0])  # what twins share, and what is the target's
    >>> both = beyond([common + own] * 2, [common] * 2), beyond([common] * 2, [common + own] * 2)
    >>> [round(float(gram[0, 1]), 2) for gram in both]
    [0.47, 0.0]
    """
    t, o = np.asarray(target, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if t.ndim != 2 or t.shape != o.shape:
        raise StatisticsError(f"twins have tables [triple, component] of one shape, not {list(t.shape)} and {list(o.shape)}")
    size = np.sqrt((t**2).sum(1, keepdims=True) + (o**2).sum(1, keepdims=True))
    t, o = (np.divide(own, size, out=np.zeros_like(own), where=size > 0) for own in (t, o))
    return np.asarray(t @ t.T - (t @ o.T + o @ t.T) / 2 + 0.0)


def sharing(
    gram: Gram, categories: ArrayLike, *, draws: int = 2000, permutations: int = 999, seed: int = 0, level: float = 0.95
) -> Sharing:
    """Within, between and their ratio, with intervals over triples (redrawn within categories) and permutation tests.

    A draw that takes a triple twice does not count the pair of it with itself. The permutation tests' null: the triples'
    vectors are exchangeable between categories, as they are where one mechanism serves all.

    The participation ratio of the categories' mean vectors, with eigenvalues λ of the matrix of their products (negative ones,
    which `beyond` may have, as 0):

        participation = (Σ λ)² / Σ λ²,    first = max λ / Σ λ.

    Noise makes means point apart, and the more so the fewer triples there are: only beside its permuted values does the
    participation say anything.

    Args:
        gram: of each two triples: `cosines`, `beyond`, or another product.
        categories: one label a triple.
        draws: of the bootstrap.
        permutations: of the categories; fewer than 39: no p value.
        seed: of both.
        level: of the intervals.

    Raises:
        StatisticsError: not one label a triple.

    >>> alike = cosines(np.ones((6, 3)) + 0.1 * np.eye(6, 3))
    >>> found = sharing(alike, ["a", "a", "a", "b", "b", "b"], permutations=99)
    >>> round(found.shared.value, 2), round(found.participation.value, 2)
    (1.0, 1.0)
    """
    labels = np.asarray(categories, dtype=object)
    if gram.shape != (len(labels), len(labels)):
        raise StatisticsError(f"{len(labels)} categories for products of shape {list(gram.shape)}: give one a triple")
    codes = np.unique(labels.astype(str), return_inverse=True)[1]
    why = _why_not(codes)
    if why:
        return Sharing(*[Estimate.missing(why)] * 8)
    n = len(codes)
    drawn = resamples(n, draws=draws, seed=seed, strata=labels)
    times = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(float)
    observed, redrawn = _agreements(gram, codes, np.ones((1, n)))[:, 0], _agreements(gram, codes, times)
    ends: dict[str, Any] = {"n": n, "level": level, "strata": labels}
    within, between = (from_draws(float(observed[at]), redrawn[at], **ends) for at in range(2))
    shared = _ratio(observed, redrawn, within, ends)
    random = np.random.default_rng(seed)
    permuted = np.stack([random.permutation(codes) for _ in range(permutations)]) if permutations else np.empty((0, n), int)
    apart = [np.subtract(*_agreements(gram, own, np.ones((1, n)))[:, 0]) for own in permuted]
    size, first = _participation(gram, codes)
    sizes = np.array([_participation(gram, own)[0] for own in permuted])
    return Sharing(
        within,
        between,
        shared,
        p_value(float(observed[0] - observed[1]), apart),
        Estimate(size, n=n),
        p_value(size, sizes),
        _middle(sizes),
        Estimate(first, n=n),
    )


def _why_not(codes: Int[np.ndarray, " triple"]) -> str:
    counts = np.bincount(codes) if len(codes) else np.zeros(0, int)
    if len(counts) < 2:
        return "fewer than two categories"
    return "" if counts.max() > 1 else "no category has two triples"


def _agreements(
    gram: Gram, codes: Int[np.ndarray, " triple"], times: Float[np.ndarray, "draw triple"]
) -> Float[np.ndarray, "2 draw"]:
    """Within and between of each draw, a triple counting as often as it was drawn, and never with itself."""
    same: Bool[np.ndarray, "triple triple"] = codes[:, None] == codes
    other = ~np.eye(len(codes), dtype=bool)
    found = []
    for chosen in (same & other, ~same):
        total, pairs = ((times @ (values * chosen) * times).sum(1) for values in (gram, np.ones_like(gram)))
        found.append(np.divide(total, pairs, out=np.full(len(times), np.nan), where=pairs > 0))
    return np.stack(found)


def _ratio(
    observed: Float[np.ndarray, " 2"], redrawn: Float[np.ndarray, "2 draw"], within: Estimate, ends: dict[str, Any]
) -> Estimate:
    if within.is_missing:
        return Estimate.missing(f"agreement within categories is missing: {within.reason}")
    if within.low is None or within.low <= 0:
        return Estimate.missing(f"triples of one category do not agree beyond chance: the mean of their products is {within}")
    with np.errstate(divide="ignore", invalid="ignore"):
        return from_draws(float(observed[1] / observed[0]), redrawn[1] / redrawn[0], **ends)


def _participation(gram: Gram, codes: Int[np.ndarray, " triple"]) -> tuple[float, float]:
    """(Σλ)²/Σλ² and max λ / Σλ of the products of the categories' means."""
    member = (codes == np.arange(codes.max() + 1)[:, None]).astype(float)
    mean = member / member.sum(1, keepdims=True)
    sizes = np.linalg.eigvalsh(mean @ gram @ mean.T).clip(min=0)
    total = sizes.sum()
    return (float(total**2 / (sizes**2).sum()), float(sizes.max() / total)) if total > 0 else (1.0, 1.0)


def _middle(values: Float[np.ndarray, " draw"]) -> Estimate:
    if not len(values):
        return Estimate.missing("no permutations")
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(float(values.mean()), low, high, len(values))
