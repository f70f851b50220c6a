"""How much two circuits have in common, between what chance gives and what one aim has in common with itself.

Jaccard J = |both| / |either|, heads and neurons together. Circuits of one aim that are found on two halves of its examples
do not agree fully either, and no two aims can agree more than each agrees with itself. So all examples are divided at random
into halves 1 and 2 (triples stay whole), the recipe is run on each, and for aims a and b

    between = ½ (J(a₁, b₂) + J(a₂, b₁))      ceiling = √(J(a₁, a₂) · J(b₁, b₂))
    chance  = J of random circuits of these sizes, E|both| / (|a| + |b| − E|both|), E|both| = Σ over kinds |a| |b| / n
    share   = (between − chance) / (ceiling − chance)

share 1: as alike as one aim's own halves; 0: as random circuits. The circuits of both sides of each J rest on other examples,
so that chance agreement of shared noise counts on neither. Interval: examples are drawn again, divided and circuits
selected anew, in every draw.

Source: Spearman 1904 (correction for attenuation, whose form this has); hypergeometric overlap, Fisher 1935.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...components import Circuit
from ...statistics import Estimate, from_draws
from .aims import HARM, TRIPLE, Sources

DIVISIONS, REDIVISIONS = 20, 3
"""Random divisions that the value is the mean of, and those of each draw of its interval: fewer make it wider, not narrower."""
NO_CEILING = "circuits found on two halves of one aim's own examples have no more in common than chance"

Pair = tuple[str, str]


def overlaps(sources: Sources, found: Mapping[str, Circuit], *, draws: int, seed: int, protection: bool = True) -> pd.DataFrame:
    """One row a pair of aims: one, other, jaccard and chance of the circuits on all examples, and between, ceiling, share with
    low, high, n (examples of the smaller aim) and reason, from halves.
    """
    pairs = list(combinations(found, 2))
    how: dict[str, Any] = {"protection": protection}
    observed = divided(sources, pairs, [seed, 0, 0], divisions=DIVISIONS, **how)
    drawn = [divided(sources, pairs, [seed, 1, at], divisions=REDIVISIONS, redraw=True, **how) for at in range(draws)]
    rows = []
    for at, (one, other) in enumerate(pairs):
        row = _counted(found[one], found[other], sources)
        values = np.array([_share(draw[at], row["chance"]) for draw in drawn])
        n = min(sources.parts[name].n_examples for name in (one, other))
        share = _estimate(_share(observed[at], row["chance"]), values, n)
        between, ceiling = observed[at]
        ends = {"share": share.value, "low": share.low, "high": share.high, "n": share.n, "reason": share.reason or ""}
        rows.append({"one": one, "other": other, **row, "between": between, "ceiling": ceiling, **ends})
    return pd.DataFrame(rows).astype(dict.fromkeys(("share", "low", "high"), float))


def share_of(frame: pd.DataFrame, other: str) -> Estimate:
    """The share of the pair harm and `other`."""
    row = frame[(frame["one"] == HARM) & (frame["other"] == other)]
    if row.empty:
        return Estimate.missing(f"no circuit was aimed at {other}")
    return _read(row.iloc[0].to_dict())


def _read(row: Mapping[Any, Any]) -> Estimate:
    if pd.isna(row["share"]):
        return Estimate.missing(row["reason"])
    low, high = (None if pd.isna(row[end]) else float(row[end]) for end in ("low", "high"))
    return Estimate(float(row["share"]), low, high, int(row["n"]))


def divided(
    sources: Sources,
    pairs: list[Pair],
    seed: list[int],
    *,
    divisions: int = 1,
    redraw: bool = False,
    protection: bool = True,
) -> Float[np.ndarray, "pair 2"]:
    """Between and ceiling of each pair, the mean over random `divisions`; NaN where no half has a circuit of that size.

    With `redraw` the examples are first drawn with replacement, once for all divisions; an example's copies stay in one half.
    """
    random = np.random.default_rng(seed)
    counts = _by_source(sources, lambda name, n: np.bincount(random.choice(n, n), minlength=n) if redraw else np.ones(n))
    found = []
    for _ in range(divisions):
        weights = _by_source(sources, lambda name, n: halved(counts[name], random))
        first, second = (
            sources.reweighted({name: own[at] for name, own in weights.items()}, protection=protection) for at in (0, 1)
        )
        own = {aim: _jaccard(first[aim], second[aim]) for aim in sources.aims}
        between = [(_jaccard(first[a], second[b]) + _jaccard(second[a], first[b])) / 2 for a, b in pairs]
        found.append(np.array([between, [np.sqrt(own[a] * own[b]) for a, b in pairs]]).T.reshape(-1, 2))
    return _mean(found)


def _by_source(sources: Sources, make: Callable[[str, int], np.ndarray]) -> dict[str, np.ndarray]:
    """One array a source; those of the triples share theirs, so that a triple stays whole."""
    found: dict[str, np.ndarray] = {}
    for name, part in sources.parts.items():
        shared = next((found[other] for other in TRIPLE if other in found), None) if name in TRIPLE else None
        found[name] = make(name, part.n_examples) if shared is None else shared
    return found


def halved(counts: Float[np.ndarray, " example"], random: np.random.Generator) -> Float[np.ndarray, "2 example"]:
    """How often each example counts in either half: as `counts` say in one and 0 in the other, the examples dealt at random."""
    order, found = random.permutation(len(counts)), np.zeros((2, len(counts)))
    for half, members in zip(found, (order[: len(counts) // 2], order[len(counts) // 2 :]), strict=True):
        half[members] = counts[members]
    return found


def _counted(one: Circuit, other: Circuit, sources: Sources) -> dict[str, float]:
    like = next(iter(sources.parts.values()))
    n = {"heads": like.heads.numel(), "neurons": like.neurons.numel()}
    expected = sum(len(getattr(one, kind)) * len(getattr(other, kind)) / size for kind, size in n.items())
    return {
        "jaccard": one.jaccard(other),
        "chance": expected / (len(one) + len(other) - expected),
    }


def _jaccard(one: Circuit | None, other: Circuit | None) -> float:
    return float("nan") if one is None or other is None else one.jaccard(other)


def _share(measured: Float[np.ndarray, "2"], chance: float) -> float:
    between, ceiling = (float(value) for value in measured)
    return (between - chance) / (ceiling - chance) if ceiling > chance else float("nan")


def _mean(divisions: list[Float[np.ndarray, "pair 2"]]) -> Float[np.ndarray, "pair 2"]:
    """Over the divisions in which it is known."""
    stacked = np.ma.masked_invalid(np.stack(divisions))
    return np.asarray(stacked.mean(0).filled(np.nan))


def _estimate(value: float, draws: Float[np.ndarray, " draw"], n: int) -> Estimate:
    """Drawn with replacement, examples are fewer different ones, which moves the share: draws are shifted to have the value as
    median."""
    if not np.isfinite(value):
        return Estimate.missing(NO_CEILING)
    known = draws[np.isfinite(draws)]
    shift = value - float(np.median(known)) if len(known) else 0.0
    return from_draws(value, draws + shift, n=n, method="percentile")
