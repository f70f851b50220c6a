"""Two numbers a curve: the fraction that halves harmful writing, and the area between harmful requests and near twins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import Estimate, bootstrap, fdr_named, mean_estimate, paired_difference, ratio_of_means, sign_flip_p
from .curves import Curve, flattened
from .grid import Grain
from .rules import ONE_SHOT, reference

HALF, COST = 0.5, 0.05
"""Retained harmful generation that is aimed at, and the largest rise of L on plain passages, as a share of the intact L."""
LARGEST = 1.0
"""What a bootstrap draw counts as in which the half is not reached: all of the model."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary:
    """One grain and rule in numbers.

    Attributes:
        fraction_to_halve: smallest share of all eligible weights at which half of harmful generation is left, at
            admissible cost.
        components_to_halve: the same point as a fraction of the grain's components.
        twin_gap: retained_twin − retained_harmful there; positive: twins keep more.
        lowest_retained: the lowest retained_harmful among sizes of admissible cost.
        lowest_end: the lowest lower end of its intervals among those sizes; None without such a size or interval.
        area: mean rise on harmful − near twins over ln f, nats per token.
    """

    grain: Grain
    rule: str
    fraction_to_halve: Estimate
    components_to_halve: float | None
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


def area_weights(fractions: Sequence[float] | Float[np.ndarray, " size"]) -> Float[np.ndarray, " size"]:
    """w with Σ w · y = ∫ y d ln f / (ln f_max − ln f_min) by the trapezoid rule.

    >>> area_weights([0.01, 0.1, 1.0]).round(3).tolist()
    [0.25, 0.5, 0.25]
    """
    log_f = np.log(np.asarray(fractions, dtype=float))
    steps = np.diff(log_f) / (log_f[-1] - log_f[0])
    return np.asarray((np.append(steps, 0) + np.append(0, steps)) / 2)


def summarise(curve: Curve, options: Mapping[str, Any]) -> Summary:
    """`options`: those of every bootstrap over the triples. Costs are taken as they are: passages are no triples."""
    admissible = [at for at, cost in enumerate(curve.plain_share) if cost <= COST]
    intact = curve.intact[:, 0]
    retained = [ratio_of_means(curve.information[:, 0, at], intact, **options) for at in admissible]
    ends = [one.low for one in retained if one.low is not None]
    lowest = min(retained, key=lambda one: np.inf if one.value is None else one.value, default=None)
    if lowest is None:
        lowest = Estimate.missing(f"every size costs more than {COST:.0%} of the loss on plain passages")
    fraction, gap = _at_half(curve, lowest, options)
    return Summary(
        grain=curve.grain,
        rule=curve.rule,
        fraction_to_halve=fraction,
        components_to_halve=None if fraction.value is None else fraction.value * float(curve.fractions[0] / curve.shares[0]),
        twin_gap=gap,
        lowest_retained=lowest,
        lowest_end=min(ends, default=None),
        area=area(curve, options),
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


def area(curve: Curve, options: Mapping[str, Any]) -> Estimate:
    """∫ (rise on harmful − rise on near twins) d ln f / (ln f_max − ln f_min), nats per token, over the curve's own sizes."""
    if len(curve.at) < 2:
        return Estimate.missing("a curve of fewer than two sizes has no area")
    return mean_estimate(curve.selectivity @ area_weights(curve.fractions), **options)


def differences(drawn: Sequence[Curve], options: Mapping[str, Any]) -> pd.DataFrame:
    """The circuit's area less each other rule's, over the sizes that both have, on the circuit's fractions.

    Columns grain, rule, difference with its ends (positive: the circuit's is larger), p (signs flipped over triples,
    two-sided), p_adjusted (Benjamini and Hochberg, over all rows), n, reason.
    """
    circuits = {curve.grain: curve for curve in drawn if curve.rule == ONE_SHOT}
    rows: list[dict[str, Any]] = []
    for other in drawn:
        own = circuits.get(other.grain)
        if other.rule == ONE_SHOT or own is None:
            continue
        difference, p = _difference(own, other, options)
        rows.append(
            {"grain": other.grain, "rule": other.rule, **flattened("difference", difference)}
            | {"p": np.nan if p.value is None else p.value, "n": difference.n, "reason": difference.reason or ""}
        )
    columns = ["grain", "rule", "difference", "difference_low", "difference_high", "p", "n", "reason"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.insert(6, "p_adjusted", fdr_named(frame["p"]))
    return frame


def _difference(own: Curve, other: Curve, options: Mapping[str, Any]) -> tuple[Estimate, Estimate]:
    both = [at for at in own.at if at in other.at]
    if len(both) < 2:
        missing = Estimate.missing("the two curves have fewer than two sizes in common")
        return missing, missing
    place = lambda curve: [curve.at.index(at) for at in both]
    weights = area_weights(own.fractions[place(own)])
    areas = [curve.selectivity[:, place(curve)] @ weights for curve in (own, other)]
    seed = options.get("seed", 0)
    return paired_difference(*areas, **options), sign_flip_p(areas[0] - areas[1], seed=seed)


def above_reference(frame: pd.DataFrame, grain: Grain) -> tuple[Estimate, float | None]:
    """The row of a grain's decisive control: the difference, and its adjusted p."""
    rows = frame[(frame["grain"] == grain) & (frame["rule"] == reference(grain))]
    if not len(rows):
        return Estimate.missing(f"{reference(grain)} was not among the controls"), None
    row = rows.iloc[0]
    if np.isnan(row["difference"]):
        return Estimate.missing(str(row["reason"])), None
    low, high = (None if np.isnan(row[f"difference_{end}"]) else float(row[f"difference_{end}"]) for end in ("low", "high"))
    p = None if np.isnan(row["p_adjusted"]) else float(row["p_adjusted"])
    return Estimate(float(row["difference"]), low, high, int(row["n"])), p


def as_table(summaries: Sequence[Summary]) -> pd.DataFrame:
    """One row a grain and rule."""
    names = ("fraction_to_halve", "twin_gap", "lowest_retained", "area")
    rows: list[dict[str, Any]] = []
    for one in summaries:
        row: dict[str, Any] = {"grain": one.grain, "rule": one.rule}
        for name in names:
            row |= flattened(name, getattr(one, name))
        row["components_to_halve"] = np.nan if one.components_to_halve is None else one.components_to_halve
        rows.append(row | {"n": one.area.n, "missing": one.fraction_to_halve.reason or one.area.reason or ""})
    return pd.DataFrame(rows)
