"""A curve in numbers: the fraction that halves harmful writing, and the area between harmful requests and near twins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ....statistics import Estimate, bootstrap, mean_estimate, ratio_of_means
from .curves import COST, Curve
from .grid import Grain

HALF = 0.5
"""Retained harmful generation that is aimed at."""
LARGEST = 1.0
"""What a bootstrap draw counts as in which the half is not reached: all of the model."""
ALIKE = 0.02
"""An area within ± so many nats per token, its interval including 0: twins fall as much as harmful requests."""
FEWEST = 2
"""Sizes of a curve, from which on it has an area."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary:
    """One grain and rule in numbers.

    Attributes:
        fraction_to_halve: smallest share of all eligible weights at which half of harmful generation is left, at
            admissible cost.
        twin_gap: retained_twin − retained_harmful there; positive: twins keep more.
        lowest_retained: the lowest retained_harmful among sizes of admissible cost.
        lowest_end: the lowest lower end of its intervals among those sizes; None without such a size or interval.
        area: mean rise on harmful − near twins over ln f, nats per token, over the sizes at which the one-shot circuit's cost
            is admissible.
    """

    grain: Grain
    rule: str
    fraction_to_halve: Estimate
    twin_gap: Estimate
    lowest_retained: Estimate
    lowest_end: float | None
    area: Estimate


def log_fraction_to_halve(
    log_f: Float[np.ndarray, " size"],
    retained: Float[np.ndarray, "... size"],
    cost: Float[np.ndarray, " size"],
    *,
    half: float = HALF,
    limit: float = COST,
) -> Float[np.ndarray, "..."]:
    """The smallest ln f with retained(f) ≤ half and cost(f) ≤ limit; +inf where there is none.

    Both curves are linear in ln f between grid points, so that each segment's answer is exact.

    >>> at = log_fraction_to_halve(np.log([0.01, 0.1]), np.array([1.0, 0.0]), np.zeros(2))
    >>> round(float(np.exp(at)), 4)
    0.0316
    """
    if len(log_f) == 1:
        log_f, retained, cost = np.repeat(log_f, 2), np.repeat(retained, 2, axis=-1), np.repeat(cost, 2)
    best = np.full(retained.shape[:-1], np.inf)
    for at in range(len(log_f) - 1):
        wrote = _feasible(retained[..., at] - half, retained[..., at + 1] - half)
        paid = _feasible(cost[at] - limit, cost[at + 1] - limit)
        start, stop = np.maximum(wrote[0], paid[0]), np.minimum(wrote[1], paid[1])
        reached = start <= stop
        here = log_f[at] + np.where(reached, start, 0.0) * (log_f[at + 1] - log_f[at])
        best = np.where(reached, np.minimum(best, here), best)
    return best


def _feasible(first: Any, last: Any) -> tuple[np.ndarray, np.ndarray]:
    """From where to where in [0, 1] the line from `first` to `last` is at most 0; (inf, −inf) where it is nowhere."""
    first, last = np.asarray(first, dtype=float), np.asarray(last, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = first / (first - last)
    below, ends_below = first <= 0, last <= 0
    start = np.where(below, 0.0, np.where(ends_below, zero, np.inf))
    stop = np.where(ends_below, 1.0, np.where(below, zero, -np.inf))
    return start, stop


def summarise(curve: Curve, options: Mapping[str, Any], *, among: Sequence[int]) -> Summary:
    """One curve in numbers. Costs are taken as they are: passages are no triples.

    Args:
        curve: of one grain and rule.
        options: those of every bootstrap over the triples.
        among: places on the grid that the area is over: those that the one-shot circuit of this grain can afford. What is
            said of the half is about the curve's own cost.
    """
    paid = [at for at, cost in enumerate(curve.plain_share) if cost <= COST]
    intact = curve.intact[:, 0]
    retained = [ratio_of_means(curve.information[:, 0, at], intact, **options) for at in paid]
    ends = [one.low for one in retained if one.low is not None]
    lowest = min(retained, key=lambda one: np.inf if one.value is None else one.value, default=None)
    if lowest is None:
        lowest = Estimate.missing(f"every size costs more than {COST:.0%} of the loss on plain passages")
    fraction, gap = _at_half(curve, lowest, options)
    return Summary(
        grain=curve.grain,
        rule=curve.rule,
        fraction_to_halve=fraction,
        twin_gap=gap,
        lowest_retained=lowest,
        lowest_end=min(ends, default=None),
        area=area(curve, options, among=among),
    )


def _at_half(curve: Curve, lowest: Estimate, options: Mapping[str, Any]) -> tuple[Estimate, Estimate]:
    """The fraction, and how much more of the twins' generation is left there; or why there is none."""
    unread = [_independent(curve.intact[:, at], options) for at in range(2)]
    if unread[0]:
        return Estimate.missing(unread[0]), Estimate.missing(unread[0])
    observed = curve.information[:, 0].mean(0) / curve.intact[:, 0].mean()
    crossing = float(log_fraction_to_halve(np.log(curve.shares), observed, curve.plain_share))
    if not np.isfinite(crossing):
        least = (
            lowest.reason if lowest.value is None else f"the lowest retained_harmful at admissible cost is {lowest.value:.3f}"
        )
        reason = f"{HALF:g} is not reached at a cost of at most {COST:.0%} of the loss on plain passages: {least}"
        return Estimate.missing(reason), Estimate.missing(reason)
    log_f = np.log(curve.shares)

    def to_halve(now: np.ndarray, before: np.ndarray) -> np.ndarray:
        at = log_fraction_to_halve(log_f, now.mean(-2) / before.mean(-1)[..., None], curve.plain_share)
        return np.asarray(np.where(np.isfinite(at), np.exp(at), LARGEST))

    there = np.array([np.interp(crossing, log_f, unit) for unit in np.eye(len(log_f))])

    def gap(now: np.ndarray, before: np.ndarray) -> np.ndarray:
        kept = (now @ there).mean(-2) / before.mean(-2)
        return np.asarray(kept[..., 1] - kept[..., 0])

    now, before = curve.information, curve.intact
    fraction = bootstrap(to_halve, now[:, 0], before[:, 0], vectorised=True, **options)
    if unread[1]:
        return fraction, Estimate.missing(unread[1])
    return fraction, bootstrap(gap, now, before, vectorised=True, **options)


def _independent(information: Float[np.ndarray, " triple"], options: Mapping[str, Any]) -> str:
    """Why nothing can be said to be left of what the intact model writes; "" where it depends on the request."""
    intact = mean_estimate(information, **options)
    if intact.low is not None and intact.low > 0:
        return ""
    return f"what the intact model writes is not shown to depend on the request: I is {intact}"


def area_weights(fractions: Sequence[float] | Float[np.ndarray, " size"]) -> Float[np.ndarray, " size"]:
    """w with Σ w · y = ∫ y d ln f / (ln f_max − ln f_min) by the trapezoid rule.

    >>> area_weights([0.01, 0.1, 1.0]).round(3).tolist()
    [0.25, 0.5, 0.25]
    """
    log_f = np.log(np.asarray(fractions, dtype=float))
    steps = np.diff(log_f) / (log_f[-1] - log_f[0])
    return np.asarray((np.append(steps, 0) + np.append(0, steps)) / 2)


def area(curve: Curve, options: Mapping[str, Any], *, among: Sequence[int]) -> Estimate:
    """∫ (rise on harmful − rise on near twins) d ln f / (ln f_max − ln f_min), nats per token; positive: harmful requests lose
    more.

    Args:
        curve: of one grain and rule.
        options: those of every bootstrap over the triples.
        among: places on the grid that count. Between two that count, the curve is linear in ln f, also where a size between
            them does not count.
    """
    own = [at for at in curve.at if at in among]
    if len(own) >= FEWEST:
        places = [curve.at.index(at) for at in own]
        return mean_estimate(curve.selectivity[:, places] @ area_weights(curve.fractions[places]), **options)
    return Estimate.missing(
        f"an area needs {FEWEST} sizes at which the one-shot circuit costs at most {COST:.0%} of the loss on plain passages, "
        f"and this curve has {len(own)} among its {len(curve.at)}"
    )


def percent(fraction: float | None) -> str:
    """
    >>> percent(0.0416667)
    '4.17 %'
    """
    return "—" if fraction is None else f"{100 * fraction:.3g} %"
