"""The necessity area of each stage, over fractions that all stages share: areas over others could not be compared.

    area = ∫ (rise on harmful − rise on near twins) d ln f / (ln f_max − ln f_min)      nats per token

f goes from the largest of the stages' smallest fractions to the smallest of their largest ones, among sizes that cost a stage
at most 5 % of its loss on plain passages. Between sizes every curve is linear in ln f: each triple has an area of its own at
each stage.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from .curve.curves import COST, Curve
from .curve.summary import FEWEST, area_weights

StageAreas: TypeAlias = Float[np.ndarray, "stage triple"]
Shared = tuple[float, float]
"""From which ln f to which."""


def stage_areas(circuits: Mapping[str, Curve | None], controls: Mapping[str, Curve | None] | None = None) -> StageAreas | str:
    """The area of each stage's circuits; or why stages cannot be compared.

    Args:
        circuits: one grain's one-shot curve of each stage, by its name; None: nothing could be selected.
        controls: matched random curves of the same stages, whose areas at the same sizes are taken off; None: none is.
    """
    places: dict[str, list[int]] = {}
    for name, curve in circuits.items():
        other = controls[name] if controls is not None else curve
        if curve is None or other is None:
            return f"{name}: no {'circuit' if curve is None else 'matched random circuit'} of any size could be selected"
        places[name] = [at for at in curve.admissible if at in other.at]
        if len(places[name]) < FEWEST:
            return (
                f"{name}: an area needs {FEWEST} sizes that cost at most {COST:.0%} of the loss on plain passages, and it has "
                f"{len(places[name])}"
            )
    known = {name: curve for name, curve in circuits.items() if curve is not None}
    shared = _shared({name: _log_f(curve, places[name]) for name, curve in known.items()})
    if isinstance(shared, str):
        return shared
    found = []
    for name, curve in known.items():
        weights, other = _weights(_log_f(curve, places[name]), shared), controls[name] if controls is not None else None
        off = 0.0 if other is None else _selectivity(other, places[name])
        found.append((_selectivity(curve, places[name]) - off) @ weights)
    return np.stack(found)


def _selectivity(curve: Curve, places: Sequence[int]) -> Float[np.ndarray, "triple size"]:
    return np.asarray(curve.selectivity[:, [curve.at.index(at) for at in places]])


def _log_f(curve: Curve, places: Sequence[int]) -> Float[np.ndarray, " size"]:
    return np.asarray(np.log(curve.fractions[[curve.at.index(at) for at in places]]))


def _shared(log_f: Mapping[str, Float[np.ndarray, " size"]]) -> Shared | str:
    first = max(log_f, key=lambda name: log_f[name][0])
    last = min(log_f, key=lambda name: log_f[name][-1])
    low, high = float(log_f[first][0]), float(log_f[last][-1])
    if low < high:
        return low, high
    return (
        f"the stages share no fractions: {first} begins at {np.exp(low):.2g}, and of {last} nothing above {np.exp(high):.2g} "
        "was measured at admissible cost. Give spans that overlap"
    )


def _weights(log_f: Float[np.ndarray, " size"], shared: Shared) -> Float[np.ndarray, " size"]:
    """w with w · y = ∫ y d ln f / (the length of `shared`), y linear in ln f between the sizes."""
    low, high = shared
    knots = np.array([low, *log_f[(log_f > low) & (log_f < high)], high])
    at_knots = np.array([np.interp(knots, log_f, unit) for unit in np.eye(len(log_f))])
    return np.asarray(at_knots @ area_weights(np.exp(knots)))
