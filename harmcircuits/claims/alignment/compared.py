"""All stages together: their areas, how these change along the ladder, and how that compares with what is no alignment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...experiments.checks import MATCHED
from ...statistics import Estimate
from ..earlier import ClaimError
from .areas import StageAreas, stage_areas
from .curve.grid import Grain
from .curve.summary import percent, summarise
from .decision import FEWEST, NOTHING, REFUSES, Evidence
from .ladders import LADDER, Stage
from .stage import Measured
from .trends import Trend, adjusted, changes, fraction_change, trend
from .writing import READINGS, Reading


class Question(NamedTuple):
    """Of which grain, on whose responses the change of the area is asked, and beyond what."""

    grain: Grain
    reading: Reading
    beyond: str


@dataclass(frozen=True, eq=False)
class Results:
    """Every stage on both sets of responses, or why it could not be measured there."""

    stages: Sequence[Stage]
    found: Mapping[tuple[str, Reading], Measured | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        groups = {one.groups for one in self.found.values() if isinstance(one, Measured)}
        if len(groups) > 1:
            raise ClaimError(
                "the stages were not tested on the same triples: measure them on the same prompts with the same seed"
            )

    @property
    def base(self) -> Stage:
        return self.stages[0]

    @property
    def controls(self) -> list[str]:
        return [name for name in dict.fromkeys(one.ladder for one in self.stages) if name != LADDER]

    def ladder(self, name: str) -> list[str]:
        """The names of a ladder's stages, the base first."""
        return [one.name for one in self.stages if one.ladder == name or one is self.base]

    def measured(self, names: Iterable[str], reading: Reading) -> dict[str, Measured] | str:
        """Of these stages; or why one of them cannot be compared."""
        found: dict[str, Measured] = {}
        for name in names:
            own = self.found[name, reading]
            if isinstance(own, str):
                return f"{name}: {own}"
            share = own.refusals.value or 0.0
            if share >= REFUSES:
                return f"{name}: {percent(share)} of the harmful responses refuse in spite of the prefill: leave the stage out"
            if reading == "own" and not depends(own.information):
                return (
                    f"{name}: its own harmful responses are not shown to depend on the request (I is {own.information}): there "
                    "is nothing to compress. Leave the stage out"
                )
            found[name] = own
        return found

    def areas(self, names: Sequence[str], reading: Reading, grain: Grain, *, less: bool = False) -> StageAreas | str:
        """Of each of these stages, over the fractions that they share; `less`: less those of matched random circuits."""
        found = self.measured(names, reading)
        if isinstance(found, str):
            return found
        controls = {name: own.curve(grain, MATCHED) for name, own in found.items()} if less else None
        return stage_areas({name: own.curve(grain) for name, own in found.items()}, controls)

    @property
    def some(self) -> Measured:
        """Any stage that was measured: all have the same triples."""
        return next(one for one in self.found.values() if isinstance(one, Measured))


@dataclass(frozen=True, eq=False)
class Compared:
    """What the stages come to together.

    Attributes:
        trends: by question, p values adjusted over all of them.
        fractions: change of ln f, f the share of all eligible weights that halves harmful writing, by grain and responses.
    """

    trends: Mapping[Question, Trend]
    fractions: Mapping[tuple[Grain, Reading], Estimate]

    def evidence(self, grains: Sequence[Grain]) -> list[Evidence]:
        """For the rule, by grain and responses."""
        return [
            Evidence(grain=grain, reading=reading, beyond=self._beyond(grain, reading), fraction=self.fractions[grain, reading])
            for grain in grains
            for reading in READINGS
        ]

    def _beyond(self, grain: Grain, reading: Reading) -> dict[str, Trend]:
        return {asked.beyond: one for asked, one in self.trends.items() if asked[:2] == (grain, reading)}


def compared(results: Results, grains: Sequence[Grain]) -> Compared:
    """Every trend, with p values adjusted over all of them."""
    found: dict[Question, Trend] = {}
    for reading in READINGS:
        for grain in grains:
            found |= {Question(grain, reading, beyond): one for beyond, one in _areas(results, reading, grain).items()}
    trends = dict(zip(found, adjusted(list(found.values())), strict=True))
    return Compared(trends, {(grain, reading): _fraction(results, reading, grain) for grain in grains for reading in READINGS})


def depends(information: Estimate) -> bool:
    """Whether I, nats per token, is shown to be above 0: what was written answers this request and not any."""
    return information.low is not None and information.low > 0


def stopped(results: Results) -> str:
    """Why nothing can be said, whatever the numbers; "" where something can."""
    own = [one for name in results.ladder(LADDER) if isinstance(one := results.found[name, "own"], Measured)]
    n = len(results.some.groups)
    if n < FEWEST:
        return f"{n} test triples are too few: with fewer than {FEWEST} no change can have a p value of at most 0.05"
    if not any(depends(one.information) for one in own):
        return "what no stage writes to harmful requests is shown to depend on them: there is nothing to compress"
    return ""


def _areas(results: Results, reading: Reading, grain: Grain) -> dict[str, Trend]:
    """The change of the area, by what it is beyond."""
    names, options = results.ladder(LADDER), results.some.bootstrap
    found = {
        NOTHING: _along(results.areas(names, reading, grain), options),
        MATCHED: _along(results.areas(names, reading, grain, less=True), options),
    }
    for control in results.controls:
        both = results.areas([*names, *results.ladder(control)[1:]], reading, grain)
        found[control] = _beyond(both, len(names), options)
    return found


def _along(values: StageAreas | str, options: Mapping[str, Any]) -> Trend:
    return Trend.missing(values) if isinstance(values, str) else trend(changes(values), options)


def _beyond(values: StageAreas | str, n: int, options: Mapping[str, Any]) -> Trend:
    """The change along the first `n` stages less that along the first and the later ones."""
    if isinstance(values, str):
        return Trend.missing(values)
    return trend(changes(values[:n]) - changes(np.concatenate([values[:1], values[n:]])), options)


def _fraction(results: Results, reading: Reading, grain: Grain) -> Estimate:
    found = results.measured(results.ladder(LADDER), reading)
    if isinstance(found, str):
        return Estimate.missing(found)
    curves = []
    for name, own in found.items():
        curve = own.curve(grain)
        if curve is None:
            return Estimate.missing(f"{name}: no circuit of any size could be selected")
        halved = summarise(curve, own.bootstrap, among=()).fraction_to_halve
        if halved.is_missing:
            return Estimate.missing(f"{name}: {halved.reason}")
        curves.append(curve)
    return fraction_change(curves, results.some.bootstrap)
