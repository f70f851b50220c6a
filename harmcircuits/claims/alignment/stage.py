"""What is measured of one stage on one set of responses: a sweep of sizes of circuits, and of matched random ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...data import Example
from ...experiments.checks import MATCHED
from ...judges import rules
from ...statistics import Estimate, mean_estimate, wilson
from ...tasks.teacher_forced import INTACT
from ..material import ROLES, Material
from ..reading import read
from .curve.curves import Curve, curves, information
from .curve.grid import Grain, Spans
from .curve.plan import ONE_SHOT, Options, select_cells


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """One stage on one set of responses; nothing here holds the model.

    Attributes:
        drawn: curves of one-shot and matched random circuits.
        information: I of the intact model on harmful responses, nats per token.
        refusals: the share of harmful responses that refuse.
        about: which model.
        groups: the triples, in order.
        bootstrap: options of every interval over them.
    """

    drawn: Sequence[Curve]
    information: Estimate
    refusals: Estimate
    about: dict[str, Any]
    groups: tuple[str, ...]
    bootstrap: dict[str, Any]

    def curve(self, grain: Grain, rule: str = ONE_SHOT) -> Curve | None:
        """None where no size of it could be selected."""
        return next((one for one in self.drawn if (one.grain, one.rule) == (grain, rule)), None)


def sweep_of(grains: Sequence[Grain], *, points: int, spans: Spans | None, ratio: float) -> Options:
    """Compactness' sweep with one control, matched random: what else is compared is compared between stages."""
    return Options(grains=tuple(grains), controls=(MATCHED,), points=points, spans=spans or {}, ratio=ratio)


def measure(material: Material, options: Options, *, progress: bool = False) -> Measured:
    """Selects, reads and sums up; what the journal holds is not read again."""
    found, _ = select_cells(material, options)
    outcomes = read(material, {cell.name: circuit for cell, circuit in found.items()}, progress=progress)
    return Measured(
        drawn=curves(outcomes, found),
        information=mean_estimate(information(outcomes, INTACT)[:, 0], **material.bootstrap),
        refusals=refusals(material.examples),
        about=material.about,
        groups=tuple(one.group for one in material.examples[::ROLES]),
        bootstrap=material.bootstrap,
    )


def refusals(examples: Sequence[Example]) -> Estimate:
    """The share of harmful responses that refuse in spite of the prefill, by the rules, with Wilson's interval."""
    harmful = [one for one in examples if one.role == "harmful"]
    return wilson(sum(rules.read(one.request, one.response).refusal for one in harmful), len(harmful))
