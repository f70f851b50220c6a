"""The necessity area of a curve: how much more harmful requests lose than near twins, where plain text is left whole."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import Estimate, fdr_named, mean_estimate, paired_difference, sign_flip_p
from .curves import Curve, flattened
from .grid import Grain
from .rules import ONE_SHOT, REFERENCE

COST = 0.05
"""The largest rise of L on plain passages, as a share of the intact L, at which a size is admissible."""
FEWEST = 2
"""Sizes of a curve, from which on it has an area."""
Areas: TypeAlias = Float[np.ndarray, " triple"]


def area_weights(fractions: Sequence[float] | Float[np.ndarray, " size"]) -> Float[np.ndarray, " size"]:
    """w with Σ w · y = ∫ y d ln f / (ln f_max − ln f_min) by the trapezoid rule.

    >>> area_weights([0.01, 0.1, 1.0]).round(3).tolist()
    [0.25, 0.5, 0.25]
    """
    log_f = np.log(np.asarray(fractions, dtype=float))
    steps = np.diff(log_f) / (log_f[-1] - log_f[0])
    return np.asarray((np.append(steps, 0) + np.append(0, steps)) / 2)


def admissible_sizes(drawn: Sequence[Curve]) -> dict[Grain, list[int]]:
    """By grain, the places on its grid at which the one-shot circuit costs at most 5 % of the loss on plain passages.

    The same sizes for every rule: a size at which the circuit has broken the model tells nothing of necessity, and its noise
    would outweigh the others.
    """
    return {
        curve.grain: [at for at, cost in zip(curve.at, curve.plain_share, strict=True) if cost <= COST]
        for curve in drawn
        if curve.rule == ONE_SHOT
    }


def area(curve: Curve, options: Mapping[str, Any], *, among: Sequence[int] | None = None) -> Estimate:
    """∫ (rise on harmful − rise on near twins) d ln f / (ln f_max − ln f_min), nats per token; positive: harmful requests lose
    more.

    Args:
        curve: of one grain and rule.
        options: those of every bootstrap over the triples.
        among: places on the grid that count, the admissible ones; None: all that the curve has. Between two that count, the
            curve is linear in ln f, also where a size between them does not count.
    """
    own = [at for at in curve.at if among is None or at in among]
    if len(own) >= FEWEST:
        places = [curve.at.index(at) for at in own]
        return mean_estimate(curve.selectivity[:, places] @ area_weights(curve.fractions[places]), **options)
    if among is None:
        return Estimate.missing(f"a curve of fewer than {FEWEST} sizes has no area")
    return Estimate.missing(
        f"an area needs {FEWEST} sizes at which the one-shot circuit costs at most {COST:.0%} of the loss on plain passages, "
        f"and this curve has {len(own)} among its {len(curve.at)}"
    )


def differences(drawn: Sequence[Curve], options: Mapping[str, Any]) -> pd.DataFrame:
    """The circuit's area less each other rule's, over the admissible sizes that both have, on the circuit's fractions.

    Columns grain, rule, sizes (how many), difference with its ends (nats per token, positive: the circuit's is larger), p
    (signs flipped over triples, two-sided), p_adjusted (Benjamini and Hochberg, over all rows), difference_all with its ends
    (over all sizes that both have), n, reason.
    """
    circuits = {curve.grain: curve for curve in drawn if curve.rule == ONE_SHOT}
    admissible = admissible_sizes(drawn)
    rows: list[dict[str, Any]] = []
    for other in drawn:
        own = circuits.get(other.grain)
        if other.rule == ONE_SHOT or own is None:
            continue
        both = [at for at in own.at if at in other.at]
        counted = [at for at in both if at in admissible[own.grain]]
        areas = _areas(own, other, counted)
        difference, whole = _difference(areas, counted, options), _difference(_areas(own, other, both), both, options)
        p = np.nan if areas is None else sign_flip_p(areas[0] - areas[1], seed=options.get("seed", 0)).value
        rows.append(
            {"grain": other.grain, "rule": other.rule, "sizes": len(counted), **flattened("difference", difference)}
            | {"p": np.nan if p is None else p, **flattened("difference_all", whole)}
            | {"n": difference.n, "reason": difference.reason or ""}
        )
    ends = lambda name: [name, f"{name}_low", f"{name}_high"]
    columns = ["grain", "rule", "sizes", *ends("difference"), "p", *ends("difference_all"), "n", "reason"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.insert(columns.index("p") + 1, "p_adjusted", fdr_named(frame["p"]))
    return frame


def _areas(own: Curve, other: Curve, sizes: Sequence[int]) -> tuple[Areas, Areas] | None:
    """Of each triple, on the circuit's fractions; None where the sizes are too few."""
    if len(sizes) < FEWEST:
        return None
    place = lambda curve: [curve.at.index(at) for at in sizes]
    weights = area_weights(own.fractions[place(own)])
    first, second = (curve.selectivity[:, place(curve)] @ weights for curve in (own, other))
    return first, second


def _difference(areas: tuple[Areas, Areas] | None, sizes: Sequence[int], options: Mapping[str, Any]) -> Estimate:
    if areas is None:
        return Estimate.missing(f"the two curves have {len(sizes)} admissible sizes in common, and an area needs {FEWEST}")
    return paired_difference(*areas, **options)


def above_reference(frame: pd.DataFrame, grain: Grain) -> tuple[Estimate, float | None]:
    """The row of the decisive control: the difference, and its adjusted p."""
    rows = frame[(frame["grain"] == grain) & (frame["rule"] == REFERENCE)]
    if not len(rows):
        return Estimate.missing(f"{REFERENCE} was not among the controls, or could not be selected"), None
    row = rows.iloc[0]
    if np.isnan(row["difference"]):
        return Estimate.missing(str(row["reason"])), None
    low, high = (None if np.isnan(row[f"difference_{end}"]) else float(row[f"difference_{end}"]) for end in ("low", "high"))
    p = None if np.isnan(row["p_adjusted"]) else float(row["p_adjusted"])
    return Estimate(float(row["difference"]), low, high, int(row["n"])), p
