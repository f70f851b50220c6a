"""The default q of weights under other p: what the curve of one p / q does not see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...statistics import Estimate, ratio_of_means
from ...tasks.teacher_forced import INTACT
from ..reading import Read
from .areas import COST
from .curves import information, plain_share
from .grid import Grain
from .plan import Cell


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One other p / q.

    Attributes:
        rule: "p = 20 q".
        retained: of the intact model's request information on harmful responses.
        cost: rise of L on plain passages as a share of the intact model's L.
    """

    rule: str
    retained: Estimate
    cost: float


def besides(read: Read, found: Mapping[Cell, Any]) -> dict[Grain, tuple[Beside, ...]]:
    """Those of admissible cost, by grain."""
    options, intact = read.material.bootstrap, information(read, INTACT)[:, 0]
    made: dict[Grain, list[Beside]] = {}
    for cell in found:
        if cell.kind != "protection" or (cost := plain_share(read, cell.name)) > COST:
            continue
        retained = ratio_of_means(np.asarray(information(read, cell.name)[:, 0]), intact, **options)
        made.setdefault(cell.grain, []).append(Beside(rule=cell.rule, retained=retained, cost=cost))
    return {grain: tuple(own) for grain, own in made.items()}
