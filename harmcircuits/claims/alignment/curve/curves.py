"""What each condition did: one row a grain, rule and size, and the arrays behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ....components import Circuit, outgoing
from ....experiments.measures import HARMFUL, NEAR
from ....models.protocol import HookedModel, geometry
from ....statistics import Estimate
from ....tasks.teacher_forced import INTACT
from ...reading import Read
from .grid import Grain
from .plan import Ablated, Cell

COST = 0.05
"""The largest rise of L on plain passages, as a share of the intact L, at which a size is admissible."""
WRITING = ("harmful_nll_rise", "near_nll_rise", "selectivity", "retained_harmful", "retained_twin", "harmful_rate")
"""Columns of the table: rises and selectivity in nats per token, positive: the ablation hurts; shares and rates."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """One grain and rule over its sizes, in growing order.

    Attributes:
        at: places on the grid of the grain.
        fractions: of all components of the grain.
        shares: of all eligible weights that are touched.
        selectivity: rise on harmful − rise on near twins, nats per token.
        information: L under another request − L under its own, nats per token; harmful, near.
        intact: the same of the intact model.
        plain_share: rise of L on plain passages / L of the intact model there.
    """

    grain: Grain
    rule: str
    at: list[int]
    fractions: Float[np.ndarray, " size"]
    shares: Float[np.ndarray, " size"]
    selectivity: Float[np.ndarray, "triple size"]
    information: Float[np.ndarray, "triple role size"]
    intact: Float[np.ndarray, "triple role"]
    plain_share: Float[np.ndarray, " size"]

    @property
    def admissible(self) -> list[int]:
        """Places on the grid at which it costs at most 5 % of the loss on plain passages."""
        return [at for at, cost in zip(self.at, self.plain_share, strict=True) if cost <= COST]


def curves(read: Read, found: Mapping[Cell, Ablated]) -> list[Curve]:
    """Those with at least one size."""
    model = read.material.model
    drawn = []
    for grain, rule in dict.fromkeys((cell.grain, cell.rule) for cell in found):
        own = {cell: off for cell, off in found.items() if (cell.grain, cell.rule) == (grain, rule)}
        rises = [read.rises(cell.name) for cell in own]
        off = [touched(model, one) for one in own.values()]
        drawn.append(
            Curve(
                grain=grain,
                rule=rule,
                at=[cell.size.at for cell in own],
                fractions=np.array([one["fraction"] for one in off]),
                shares=np.array([one["share"] for one in off]),
                selectivity=np.stack([rise[:, HARMFUL] - rise[:, NEAR] for rise in rises], -1),
                information=np.stack([information(read, cell.name) for cell in own], -1),
                intact=information(read, INTACT),
                plain_share=np.array([rise.mean() / before.mean() for rise, before in (_plain(read, c.name) for c in own)]),
            )
        )
    return drawn


def information(read: Read, name: str) -> Float[np.ndarray, "triple role"]:
    """L under another request − L under its own, of harmful and near responses, nats per token."""
    outcomes = read.outcomes.by_triple(name)
    return np.asarray(outcomes["nll_other"] - outcomes["nll"])[:, [HARMFUL, NEAR]]


def touched(model: HookedModel, off: Ablated) -> dict[str, Any]:
    """How much is off: components and their fraction of the grain's, weights and their share of all eligible ones."""
    mask = outgoing(model, off) if isinstance(off, Circuit) else off
    shape = geometry(model)
    fraction = mask.fraction
    if isinstance(off, Circuit):
        total = shape.n_layers * shape.n_heads if off.heads else shape.n_neurons
        fraction = len(off) / total
    return {"components": len(off), "fraction": fraction, "weights": len(mask), "share": mask.fraction}


def flattened(name: str, value: Estimate) -> dict[str, float]:
    """A value and its ends as three columns, NaN where there is none."""
    ends = {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
    return {column: np.nan if number is None else number for column, number in ends.items()}


def _plain(read: Read, name: str) -> tuple[Float[np.ndarray, " passage"], Float[np.ndarray, " passage"]]:
    """Rise of L on each plain passage, and L of the intact model there, nats per token."""
    now, before = (read.outcomes.of_items(who, "passage")["nll"].to_numpy(dtype=float) for who in (name, INTACT))
    return now - before, before
