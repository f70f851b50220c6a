"""What each condition did: one row a grain, rule and size, and the arrays behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...components import Circuit, outgoing
from ...experiments.measures import HARMFUL, NEAR, measured
from ...models.protocol import HookedModel, geometry
from ...statistics import Estimate, auroc_estimate, ratio_of_means
from ...tasks.teacher_forced import INTACT
from ..reading import Read
from .grid import Grain
from .plan import Cell, Kind
from .rules import Ablated

WRITING = (
    "harmful_nll_rise", "near_nll_rise", "far_nll_rise", "selectivity", "retained_harmful", "retained_twin", "on_task_rate",
    "degenerate_rate", "harmful_rate",
)  # fmt: skip
MEASURES = (*WRITING, "auroc", "plain_nll_rise", "plain_share", "facts_right")
"""Columns of the table: rises in nats per token, positive: the ablation hurts; shares and rates between 0 and 1; `plain_share`:
the rise of L on plain passages as a share of the intact model's L."""


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
    kind: Kind
    at: list[int]
    fractions: Float[np.ndarray, " size"]
    shares: Float[np.ndarray, " size"]
    selectivity: Float[np.ndarray, "triple size"]
    information: Float[np.ndarray, "triple role size"]
    intact: Float[np.ndarray, "triple role"]
    plain_share: Float[np.ndarray, " size"]


def curves(read: Read, found: Mapping[Cell, Ablated]) -> list[Curve]:
    """Those of circuits and controls with at least one size."""
    model = read.material.model
    keys = dict.fromkeys((cell.grain, cell.rule, cell.kind) for cell in found if cell.kind != "protection")
    drawn = []
    for grain, rule, kind in keys:
        own = {cell: off for cell, off in found.items() if (cell.grain, cell.rule) == (grain, rule)}
        rises = [read.rises(cell.name) for cell in own]
        drawn.append(
            Curve(
                grain=grain,
                rule=rule,
                kind=kind,
                at=[cell.size.at for cell in own],
                fractions=np.array([touched(model, off)["fraction"] for off in own.values()]),
                shares=np.array([touched(model, off)["share"] for off in own.values()]),
                selectivity=np.stack([rise[:, HARMFUL] - rise[:, NEAR] for rise in rises], -1),
                information=np.stack([information(read, cell.name) for cell in own], -1),
                intact=information(read, INTACT),
                plain_share=np.array([plain_share(read, cell.name) for cell in own]),
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


def table(read: Read, found: Mapping[Cell, Ablated]) -> pd.DataFrame:
    """One row a cell: where it lies (q and p of weights alone), and every measure with its interval; `missing` says why a value
    is absent."""
    rows: list[dict[str, Any]] = []
    for cell, off in found.items():
        size = cell.size
        place: dict[str, Any] = {"grain": cell.grain, "rule": cell.rule, "kind": cell.kind, "at": size.at, "size": str(size)}
        place |= {"q": size.q or np.nan, "p": size.p or np.nan}
        rows.append(place | touched(read.material.model, off) | row(read, cell.name))
    return pd.DataFrame(rows)


def row(read: Read, name: str) -> dict[str, Any]:
    """Every measure of one condition."""
    found = estimates(read, name)
    flat: dict[str, Any] = {"n": found["harmful_nll_rise"].n}
    for measure, value in found.items():
        flat |= flattened(measure, value)
    reasons = dict.fromkeys(f"{measure}: {value.reason}" for measure, value in found.items() if value.is_missing)
    return flat | {"missing": "; ".join(reasons)}


def estimates(read: Read, name: str) -> dict[str, Estimate]:
    """By the names of `MEASURES`."""
    written, useful = read.generation(name), read.utility(name)
    options = {key: value for key, value in read.material.bootstrap.items() if key != "strata"}
    rise, before = _plain(read, name)
    (odds,), own = measured(read.material.bootstrap, read.recognised(name)[:, [HARMFUL, NEAR]])
    unread = Estimate.missing("recognition was not read")
    return {
        **{measure: written[measure] for measure in WRITING},
        "auroc": auroc_estimate(odds[:, 0], odds[:, 1], **own) if len(odds) else unread,
        "plain_nll_rise": useful["nll_rise"],
        "plain_share": ratio_of_means(rise, before, **options),
        "facts_right": useful["facts_right"],
    }


def flattened(name: str, value: Estimate) -> dict[str, float]:
    """A value and its ends as three columns, NaN where there is none."""
    ends = {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
    return {column: np.nan if number is None else number for column, number in ends.items()}


def plain_share(read: Read, name: str) -> float:
    """The rise of L on plain passages as a share of the intact model's L there: the cost of a condition."""
    rise, before = _plain(read, name)
    return float(rise.mean() / before.mean())


def _plain(read: Read, name: str) -> tuple[Float[np.ndarray, " passage"], Float[np.ndarray, " passage"]]:
    """Rise of L on each plain passage, and L of the intact model there, nats per token."""
    now, before = (read.outcomes.of_items(who, "passage")["nll"].to_numpy(dtype=float) for who in (name, INTACT))
    return now - before, before
