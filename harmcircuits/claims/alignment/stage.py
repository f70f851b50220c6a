"""What is measured of one stage on one set of responses: a sweep of sizes, and the default circuit beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...components import Circuit
from ...examples import Example
from ...experiments.checks import MATCHED
from ...experiments.measures import HARMFUL, NEAR
from ...experiments.scores import default_circuits, recipe
from ...experiments.settings import Settings
from ...judges import rules
from ...models.protocol import Geometry, geometry
from ...selection.protected import SelectionError
from ...statistics import Estimate, mean_estimate, wilson
from ...tasks.teacher_forced import INTACT
from ..claim import Found
from ..compactness.areas import admissible_sizes, differences
from ..compactness.curves import Curve, curves, information, row, table
from ..compactness.decision import decide
from ..compactness.evidence import gathered
from ..compactness.grid import Grain, Spans
from ..compactness.plan import Options, planned, select_cells
from ..compactness.protection import besides
from ..compactness.rules import ONE_SHOT
from ..compactness.summary import Summary, summarise
from ..material import ROLES, Material
from ..reading import Read, read

DEFAULT = "default circuit"
"""Heads and neurons of the usual sizes: what `dissociate` is about."""
FIRST = "heads and neurons"


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """One stage on one set of responses; nothing here holds the model.

    Attributes:
        drawn: curves of one-shot and matched random circuits.
        summaries: of these.
        compact: whether harmful writing is compact at this stage, by compactness' own rule.
        selectivity: rise on harmful − near responses without the default circuit, nats per token, a triple each; or why there
            is none.
        default, intact: every measure of compactness' table under the default circuit (none without one), and without any.
        information: I of the intact model on harmful responses, nats per token.
        refusals: the share of harmful responses that refuse.
        points: compactness' table of curves.
        harm, twins: the default circuit, and the one aimed at near twins by the same recipe; None: not selected.
        shape: of the model.
        about: which model.
        groups: the triples, in order.
        bootstrap: options of every interval over them.
    """

    drawn: Sequence[Curve]
    summaries: Sequence[Summary]
    compact: Found
    selectivity: Float[np.ndarray, " triple"] | str
    default: dict[str, Any]
    intact: dict[str, Any]
    information: Estimate
    refusals: Estimate
    points: pd.DataFrame
    harm: Circuit | None
    twins: Circuit | None
    shape: Geometry
    about: dict[str, Any]
    groups: tuple[str, ...]
    bootstrap: dict[str, Any]

    def curve(self, grain: Grain, rule: str = ONE_SHOT) -> Curve | None:
        """None where no size of it could be selected."""
        return next((one for one in self.drawn if (one.grain, one.rule) == (grain, rule)), None)

    def summary(self, grain: Grain) -> Summary | None:
        """Of the one-shot circuits."""
        return next((one for one in self.summaries if (one.grain, one.rule) == (grain, ONE_SHOT)), None)


def sweep_of(grains: Sequence[Grain], *, points: int, spans: Spans | None, ratio: float) -> Options:
    """Compactness' sweep with one control, matched random: what else is compared is compared between stages."""
    return Options(
        grains=tuple(grains), controls=(MATCHED,), points=points, spans=spans or {}, ratio=ratio, ratios=(), rescore=False
    )


def conditions(options: Options, shape: Geometry, settings: Settings) -> int:
    """Read of one stage on one set of responses at most: the sweep, and the default circuit."""
    return planned(options, shape, settings) + 1


def measure(material: Material, options: Options, *, progress: bool = False) -> Measured:
    """Selects, reads and sums up; what the journal holds is not read again."""
    found, unmade = select_cells(material, options)
    harm, twins, why = _defaults(material)
    off: dict[str, Any] = {cell.name: circuit for cell, circuit in found.items()} | ({} if harm is None else {DEFAULT: harm})
    outcomes = read(material, off, progress=progress)
    drawn, about = curves(outcomes, found), material.bootstrap
    admissible = admissible_sizes(drawn)
    summaries = [summarise(curve, about, among=admissible.get(curve.grain, [])) for curve in drawn]
    depends = mean_estimate(information(outcomes, INTACT)[:, 0], **about)
    compared, beside = differences(drawn, about), besides(outcomes, found)
    compact, _ = decide(depends, gathered(options.grains, drawn, summaries, compared, unmade, beside))
    return Measured(
        drawn=drawn,
        summaries=summaries,
        compact=compact,
        selectivity=why if harm is None else _selectivity(outcomes, DEFAULT),
        default={} if harm is None else row(outcomes, DEFAULT),
        intact=row(outcomes, INTACT),
        information=depends,
        refusals=refusals(material.examples),
        points=table(outcomes, found),
        harm=harm,
        twins=twins,
        shape=geometry(material.model),
        about=material.about,
        groups=tuple(one.group for one in material.examples[::ROLES]),
        bootstrap=about,
    )


def refusals(examples: Sequence[Example]) -> Estimate:
    """The share of harmful responses that refuse in spite of the prefill, by the rules, with Wilson's interval."""
    harmful = [one for one in examples if one.role == "harmful"]
    return wilson(sum(rules.read(one.request, one.response).refusal for one in harmful), len(harmful))


def _selectivity(outcomes: Read, name: str) -> Float[np.ndarray, " triple"]:
    rises = outcomes.rises(name)
    return np.asarray(rises[:, HARMFUL] - rises[:, NEAR])


def _defaults(material: Material) -> tuple[Circuit | None, Circuit | None, str]:
    """The default circuit, the one aimed at near twins, and why there is none."""
    scores, settings, shape = material.scores, material.settings, geometry(material.model)
    sized = {"heads": settings.n_heads(shape), "neurons": settings.n_neurons(shape)}
    try:
        harm = default_circuits(material.model, scores, settings)[FIRST]
    except SelectionError as error:
        return None, None, f"no circuit of the default size could be selected: {error}"
    try:
        return harm, recipe(scores.near, scores.harmful + scores.far, settings, **sized), ""
    except SelectionError:
        return harm, None, ""
