"""Minimality: does each component of a circuit matter more than a random one that is added to it?

For a component c of the circuit C, with L(S) the loss while the components S are off:

    first = L({c}) − L(∅)         what switching c off does alone
    last  = L(C) − L(C − {c})     what it adds once the rest of the circuit is off
    effect = (first + last) / 2

and the same of a random component r of c's kind outside C: L({r}) − L(∅) and L(C ∪ {r}) − L(C). Nats per token; positive: L
rises. `last` alone misses a chain: once one part of it is off, the others have nothing left to add. `first` alone misses what
comes out only where other parts are off too. Two doubles, either of which suffices, are seen by neither as much as they matter.

Source: the minimality test of Shi et al. 2024, whose null removes a random part from a randomly enlarged circuit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..ablation.hooks import ablated
from ..ablation.sweep import sweep
from ..components import Circuit, Component
from ..examples import Example
from ..models.protocol import HookedModel, geometry
from ..statistics import MIN_NULL_DRAWS, fdr, mean_estimate, p_value
from .scores import Scores

Kind = Literal["heads", "neurons"]
Part = tuple[Kind, Component]
Losses = Float[np.ndarray, "ablation triple 2"]
KINDS: tuple[Kind, Kind] = ("heads", "neurons")
MEASURES = ("effect", "first", "last", "selectivity")
"""`selectivity` is `effect` on harmful responses minus `effect` on near twins; the others are on harmful responses."""
OF_MEASURE = ("", "_low", "_high", "_above", "_p", "_p_adjusted")
COLUMNS = ["kind", "layer", "index", "A", *(measure + end for measure in MEASURES for end in OF_MEASURE), "n_null", "reason"]


def minimality(
    model: HookedModel,
    circuit: Circuit,
    twins: Sequence[Example],
    *,
    scores: Scores | None = None,
    neurons: int = 32,
    added: int = 59,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """One row a tested component: `COLUMNS`.

    For each of `MEASURES` the mean over triples, its 95 % interval (`_low`, `_high`), how many random components do as much
    (`_above`, of `n_null`), p = (1 + above) / (1 + n_null) (`_p`), and Benjamini–Hochberg's over all tested components
    (`_p_adjusted`). p is null, with the `reason`, where fewer than 39 random components could be drawn. `A` is the attribution
    on training text, null without `scores`.

    Args:
        twins: examples: harmful, near, harmful, …
        scores: where they are given, the neurons to test are evenly spaced from the largest A to the smallest; otherwise from
            the first layer to the last.
        neurons: at most so many of the circuit's neurons are tested; heads all.
        added: random components of each kind, each drawn once (see `added_components`).
    """
    tested = components_to_test(circuit, scores, neurons)
    drawn = {kind: added_components(model, circuit, kind, added, seed=seed) for kind in KINDS}
    null: list[Part] = [(kind, item) for kind in KINDS for item in drawn[kind]]
    own, random = _marginal(model, circuit, tested, null, twins, progress)
    rows = [
        {"kind": kind, "layer": item[0], "index": item[1], "A": _score(scores, kind, item), **_tests(kind, part, among)}
        for (kind, item), part in zip(tested, own, strict=True)
        for among in [[other for (of, _), other in zip(null, random, strict=True) if of == kind]]
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for measure in MEASURES:
        frame[f"{measure}_p_adjusted"] = fdr(frame[f"{measure}_p"].to_numpy(dtype=float))
    return frame


@dataclass(frozen=True, eq=False)
class Marginal:
    """What switching one component off does, harmful and near: [triple, 2], alone and after the rest of the circuit."""

    first: Float[np.ndarray, "triple 2"]
    last: Float[np.ndarray, "triple 2"]

    def by_triple(self, measure: str) -> Float[np.ndarray, " triple"]:
        """One of `MEASURES`."""
        effect = (self.first + self.last) / 2
        if measure == "selectivity":
            return np.asarray(effect[:, 0] - effect[:, 1])
        return np.asarray({"effect": effect, "first": self.first, "last": self.last}[measure][:, 0])


def components_to_test(circuit: Circuit, scores: Scores | None, neurons: int) -> list[Part]:
    """All heads, and at most `neurons` neurons, evenly spaced in the order of A (or of their places, without scores)."""
    order = list(circuit.neurons)
    if scores is not None:
        order.sort(key=lambda at: -float(scores.harmful.neurons[at]))
    kept = np.unique(np.linspace(0, len(order) - 1, min(neurons, len(order))).round().astype(int))
    return [*(("heads", at) for at in circuit.heads), *(("neurons", order[at]) for at in kept)]


def added_components(model: HookedModel, circuit: Circuit, kind: Kind, n: int, *, seed: int) -> list[Component]:
    """At most `n` components of one kind outside `circuit`, none twice: fewer where there are no more.

    Each lies in the layer of one of the circuit's components, drawn at random, or where that layer has none left in the nearest
    one that has. Drawn without replacement: a component that is counted twice would make p smaller than it may be.
    """
    items, shape, random = getattr(circuit, kind), geometry(model), Random(f"added {kind} {seed}")
    own = {*items}
    size = shape.n_heads if kind == "heads" else shape.d_mlp
    left = {at: [index for index in range(size) if (at, index) not in own] for at in range(shape.n_layers)}
    drawn: list[Component] = []
    while items and len(drawn) < n and any(left.values()):
        near = random.choice(items)[0]
        layer = min((at for at in left if left[at]), key=lambda at: (abs(at - near), at))
        drawn.append((layer, left[layer].pop(random.randrange(len(left[layer])))))
    return drawn


def _marginal(
    model: HookedModel,
    circuit: Circuit,
    tested: Sequence[Part],
    null: Sequence[Part],
    twins: Sequence[Example],
    progress: bool,
) -> tuple[list[Marginal], list[Marginal]]:
    """Of the tested components, and of the random ones."""
    own, random = ([Circuit(**{kind: [item]}) for kind, item in parts] for parts in (tested, null))
    losses = lambda circuits: _by_triple(sweep(model, circuits, twins, progress=progress).numpy())
    alone = losses([None, *own, *random])
    first = alone[1:] - alone[0]
    rest = losses([circuit, *(circuit - part for part in own)])
    with ablated(model, circuit):  # then the layers below a random component are computed once for all of them
        after = losses([None, *random])
    last = np.concatenate([rest[0] - rest[1:], after[1:] - after[0]])
    each = [Marginal(*pair) for pair in zip(first, last, strict=True)]
    return each[: len(own)], each[len(own) :]


def _by_triple(losses: Float[np.ndarray, "ablation example"]) -> Losses:
    return losses.astype(float).reshape(len(losses), -1, 2)


def _tests(kind: Kind, own: Marginal, null: Sequence[Marginal]) -> dict[str, float | int | str | None]:
    few = None if len(null) >= MIN_NULL_DRAWS else f"fewer than {MIN_NULL_DRAWS} random {kind} to compare with: {len(null)}"
    found: dict[str, float | int | str | None] = {"n_null": len(null), "reason": few}
    for measure in MEASURES:
        values = own.by_triple(measure)
        mean, draws = mean_estimate(values), np.array([other.by_triple(measure).mean() for other in null])
        p = p_value(float(values.mean()), draws)
        found |= {measure: mean.value, f"{measure}_low": mean.low, f"{measure}_high": mean.high}
        found |= {f"{measure}_above": int((draws >= values.mean()).sum()), f"{measure}_p": p.value}
    return found


def _score(scores: Scores | None, kind: Kind, item: Component) -> float | None:
    return None if scores is None else float(getattr(scores.harmful, kind)[item])
