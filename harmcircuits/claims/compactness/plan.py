"""Which conditions are read: every grain, rule and size; and what of that could not be selected."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ...components import Circuit
from ...experiments.settings import Settings
from ...models.protocol import Geometry, geometry
from ...selection.protected import SelectionError
from ..claim import ClaimError
from ..material import Material
from .bench import Bench
from .greedy import greedy
from .grid import GRAINS, POINTS, RATIO, RATIOS, SPANS, Grain, Size, Spans, check_grid, protections, sizes
from .rules import CONTROLS, GREEDY, ONE_SHOT, Ablated, Rule, one_shot

Kind: TypeAlias = Literal["circuit", "control", "protection"]
"""Circuits are one-shot and greedy; "protection": the one-shot circuit of the default q under another p."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is swept.

    Attributes:
        grains: of "heads", "neurons", "weights".
        controls: names in `rules.CONTROLS`.
        points: sizes a grain.
        spans: smallest and largest fraction of each grain; what is left out is as in `grid.SPANS`.
        ratio: p / q of weights.
        ratios: p / q that are tried at the default q.
        rescore: greedy circuits of heads and neurons too.

    Raises:
        ClaimError: options that make no sense.
    """

    grains: tuple[Grain, ...] = GRAINS
    controls: tuple[str, ...] = tuple(CONTROLS)
    points: int = POINTS
    spans: Spans = field(default_factory=dict)
    ratio: float = RATIO
    ratios: tuple[float, ...] = RATIOS
    rescore: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "spans", {**SPANS, **self.spans})
        check_grid(self.grains, self.points, self.spans, self.ratio, self.ratios)
        unknown = [name for name in self.controls if name not in CONTROLS]
        if unknown:
            raise ClaimError(f"control {unknown[0]!r} is unknown: choose of {', '.join(CONTROLS)}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a JSON file gives them back."""
        found = {name: list(own) if isinstance(own, tuple) else own for name, own in vars(self).items()}
        return found | {"spans": {grain: list(ends) for grain, ends in self.spans.items()}}

    def sizes(self, grain: Grain, shape: Geometry, settings: Settings) -> list[Size]:
        return sizes(grain, shape, settings, points=self.points, spans=self.spans, ratio=self.ratio)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One rule at one size."""

    grain: Grain
    rule: str
    size: Size
    kind: Kind

    @property
    def name(self) -> str:
        return f"{self.grain}, {self.rule}, {self.size}"


def cells(options: Options, shape: Geometry, settings: Settings) -> list[Cell]:
    """Every condition that is meant to be read, grain by grain, rule by rule, in growing order."""
    found: list[Cell] = []
    for grain in options.grains:
        own = options.sizes(grain, shape, settings)
        rules: dict[str, Kind] = {ONE_SHOT: "circuit"}
        if options.rescore and grain != "weights":
            rules[GREEDY] = "circuit"
        rules |= dict.fromkeys(options.controls, "control")
        found += [Cell(grain=grain, rule=rule, size=size, kind=kind) for rule, kind in rules.items() for size in own]
        if grain == "weights":
            swept = protections(own, options.ratios, q=settings.weight_q)
            found += [Cell(grain=grain, rule=f"p = {r:g} q", size=size, kind="protection") for r, size in swept.items()]
    return found


def select_cells(material: Material, options: Options) -> tuple[dict[Cell, Ablated], dict[Cell, str]]:
    """What is off in each cell; and the cells that could not be selected, with the reason.

    Of heads and neurons, the first size that a rule cannot fill ends its curve.
    """
    bench, ended = Bench(material), dict[tuple[Grain, str], str]()
    rules: dict[str, Rule] = {**CONTROLS, GREEDY: _Grown(material, options)}
    found: dict[Cell, Ablated] = {}
    unmade: dict[Cell, str] = {}
    for cell in cells(options, geometry(material.model), material.settings):
        curve = (cell.grain, cell.rule)
        try:
            if curve in ended:
                raise SelectionError(ended[curve])
            found[cell] = rules.get(cell.rule, one_shot)(bench, cell.grain, cell.size)
        except SelectionError as error:
            unmade[cell] = str(error)
            if cell.grain != "weights":
                ended[curve] = str(error)
    return found, unmade


class _Grown:
    """Greedy circuits as a rule: those of all sizes of a grain are grown together, when the first is asked for."""

    def __init__(self, material: Material, options: Options):
        self._material, self._options = material, options
        self._grown: dict[Grain, tuple[dict[Size, Circuit], str]] = {}

    def __call__(self, bench: Bench, grain: Grain, size: Size) -> Circuit:
        if grain not in self._grown:
            sized = self._options.sizes(grain, geometry(self._material.model), self._material.settings)
            self._grown[grain] = greedy(self._material, grain, sized)
        circuits, reason = self._grown[grain]
        if size not in circuits:
            raise SelectionError(reason)
        return circuits[size]
