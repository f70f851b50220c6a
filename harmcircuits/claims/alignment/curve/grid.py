"""Which sizes are measured: log-spaced, from a few components to a largest fraction of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal, TypeAlias, get_args

import numpy as np

from ....experiments.settings import ClaimSettings
from ....models.protocol import Geometry
from ...earlier import ClaimError

Grain: TypeAlias = Literal["heads", "neurons", "weights"]
GRAINS: tuple[Grain, ...] = get_args(Grain)
SPANS: Mapping[Grain, tuple[float, float]] = {"heads": (0.0, 0.2), "neurons": (1e-4, 4e-2), "weights": (1e-5, 3e-2)}
"""Smallest and largest fraction: of all heads and neurons (at least 1 of them), and q of each matrix."""
RATIO = 5.0
"""p / q of weights: the paper's own, 5e-5 / 1e-5. The default circuit of the main job has 20."""
POINTS = 6

Spans: TypeAlias = Mapping[Grain, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Size:
    """One size of one grain: `count` heads or neurons, or the fractions q and p of each matrix.

    Attributes:
        at: its place among the sizes of its grain, from 0.
    """

    at: int
    count: int = 0
    q: float = 0.0
    p: float = 0.0

    def __str__(self) -> str:
        return f"q={self.q:.3g}, p={self.p:.3g}" if self.q else str(self.count)


def sizes(grain: Grain, shape: Geometry, settings: ClaimSettings, *, points: int, spans: Spans, ratio: float) -> list[Size]:
    """At most `points` sizes of a grain, log-spaced over its span, in order; equal ones after rounding once.

    Of weights, the q nearest to `settings.weight_q` is that one; p = ratio · q.

    >>> shape = Geometry(n_layers=30, n_heads=9, d_head=64, d_mlp=1536)
    >>> [size.count for size in sizes("heads", shape, ClaimSettings(), points=6, spans=SPANS, ratio=20)]
    [1, 2, 5, 11, 24, 54]
    >>> [f"{size.q:.1e}" for size in sizes("weights", shape, ClaimSettings(), points=3, spans=SPANS, ratio=5)]
    ['1.0e-05', '3.0e-04', '3.0e-02']
    """
    low, high = spans[grain]
    if grain == "weights":
        fractions = [float(q) for q in np.geomspace(low, high, points)]
        if low <= settings.weight_q <= high and settings.weight_q > 0:
            nearest = min(range(points), key=lambda at: abs(log(fractions[at] / settings.weight_q)))
            fractions[nearest] = settings.weight_q
        return [Size(at=at, q=q, p=min(1.0, ratio * q)) for at, q in enumerate(fractions)]
    total = shape.n_neurons if grain == "neurons" else shape.n_layers * shape.n_heads
    first, last = (max(1, round(end * total)) for end in (low, high))
    counts = dict.fromkeys(round(float(count)) for count in np.geomspace(first, last, points))
    return [Size(at=at, count=count) for at, count in enumerate(counts)]


def check_grid(grains: Sequence[str], points: int, spans: Spans, ratio: float) -> None:
    """Raises ClaimError for grains, numbers of sizes, spans or a ratio that make no sense."""
    unknown = [grain for grain in (*grains, *spans) if grain not in GRAINS]
    if unknown or not grains or len({*grains}) < len(grains):
        raise ClaimError(f"grains are {', '.join(GRAINS)}, each at most once and one at least, not {[*grains, *spans]}")
    if not isinstance(points, int) or points < 2:
        raise ClaimError(f"points={points!r}: a curve needs at least 2 sizes a grain")
    for grain, (low, high) in spans.items():
        if not (0 <= low < high <= 1 and (low > 0 or grain != "weights")):
            raise ClaimError(f"the span of {grain} is a smallest and a larger fraction of them, not ({low}, {high})")
    if not ratio > 0:
        raise ClaimError(f"p / q is above 0, not {ratio}")
