"""What is off in each condition: a circuit, and controls of the same size, at every size; and what could not be selected.

Of heads and neurons, a control has as many components as the circuit; of weights, as many in each matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import floor
from typing import Any, TypeAlias

from jaxtyping import Int
from torch import Tensor

from ....attribution.scores import Attribution
from ....attribution.weights import WeightAttribution, attribute_weights
from ....components import Circuit, WeightMask
from ....experiments.checks import MATCHED, TWINS
from ....experiments.controls import matched
from ....experiments.scores import recipe
from ....models.protocol import geometry
from ....selection.matched_weights import matched_weights
from ....selection.protected import SelectionError
from ....selection.weights import select_weights
from ...material import ROLES, Material
from .grid import GRAINS, POINTS, RATIO, SPANS, Grain, Size, Spans, check_grid, sizes

ONE_SHOT = "one-shot"
"""The circuit: the set difference, from the scores of the intact model."""
CONTROLS = (MATCHED, TWINS)
ONE_DRAW = (
    "Of matched random there is one draw at each size: intervals and p values are over triples and do not cover other draws. "
    "An area averages over the draws of its sizes, which are independent."
)
MATCHED_WEIGHTS = (
    "A mask of weights takes nearly all with a large A above 0 that are not protected: of like |A|, most that are left for "
    "matched random may have A below 0."
)
SEEDS = 100_003
"""Between the seeds of two sizes: more than seeds that anybody gives are apart."""

Ablated: TypeAlias = Circuit | WeightMask


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is swept.

    Attributes:
        grains: of "heads", "neurons", "weights".
        controls: of matched random, aimed at twins.
        points: sizes a grain.
        spans: smallest and largest fraction of each grain; what is left out is as in `grid.SPANS`.
        ratio: p / q of weights.

    Raises:
        ClaimError: options that make no sense.
    """

    grains: tuple[Grain, ...] = GRAINS
    controls: tuple[str, ...] = CONTROLS
    points: int = POINTS
    spans: Spans = field(default_factory=dict)
    ratio: float = RATIO

    def __post_init__(self) -> None:
        object.__setattr__(self, "spans", {**SPANS, **self.spans})
        check_grid(self.grains, self.points, self.spans, self.ratio)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a JSON file gives them back."""
        found = {name: list(own) if isinstance(own, tuple) else own for name, own in vars(self).items()}
        return found | {"spans": {grain: list(ends) for grain, ends in self.spans.items()}}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One rule at one size."""

    grain: Grain
    rule: str
    size: Size

    @property
    def name(self) -> str:
        return f"{self.grain}, {self.rule}, {self.size}"


def select_cells(material: Material, options: Options) -> tuple[dict[Cell, Ablated], dict[Cell, str]]:
    """What is off in each cell; and the cells that could not be selected, with the reason.

    Of heads and neurons, the first size that a rule cannot fill ends its curve.
    """
    own, shape = Selection(material), geometry(material.model)
    how: dict[str, Any] = {"points": options.points, "spans": options.spans, "ratio": options.ratio}
    rules: dict[str, Callable[[Grain, Size], Ablated]] = {
        ONE_SHOT: own.circuit,
        MATCHED: own.matched_random,
        TWINS: own.aimed_at_twins,
    }
    found, unmade = dict[Cell, Ablated](), dict[Cell, str]()
    ended: dict[tuple[Grain, str], str] = {}
    cells = [
        Cell(grain=grain, rule=rule, size=size)
        for grain in options.grains
        for rule in (ONE_SHOT, *options.controls)
        for size in sizes(grain, shape, material.settings, **how)
    ]
    for cell in cells:
        curve = (cell.grain, cell.rule)
        try:
            if curve in ended:
                raise SelectionError(ended[curve])
            found[cell] = rules[cell.rule](cell.grain, cell.size)
        except SelectionError as error:
            unmade[cell] = str(error)
            if cell.grain != "weights":
                ended[curve] = str(error)
    return found, unmade


class Selection:
    """The rules. Each raises SelectionError where that many cannot be selected."""

    def __init__(self, material: Material):
        self.material = material
        self._circuits: dict[tuple[Grain, Size], Ablated] = {}

    def circuit(self, grain: Grain, size: Size) -> Ablated:
        """The top of harmful A > 0 without the top of benign U, as `dissociate` selects it."""
        if (grain, size) not in self._circuits:
            scores = self.material.scores
            self._circuits[grain, size] = (
                select_weights(self.material.weight_scores, q=size.q, p=size.p)
                if grain == "weights"
                else self._recipe(scores.harmful, scores.benign, grain, size)
            )
        return self._circuits[grain, size]

    def matched_random(self, grain: Grain, size: Size) -> Ablated:
        """Other components of the same layers of like |A|, U and protection, or other weights of the same matrices that are
        not protected and of like |A|."""
        circuit, settings = self.circuit(grain, size), self.material.settings
        # another seed at each size: draws of one seed share their beginning, and the area could not average over them
        seed = settings.seed + SEEDS * size.at
        if isinstance(circuit, WeightMask):
            return matched_weights(circuit, self.material.weight_scores, p=size.p, seed=seed)
        return matched(circuit, self.material.scores, settings, seed=seed)

    def aimed_at_twins(self, grain: Grain, size: Size) -> Ablated:
        """The same recipe aimed at the near twins' responses, with harmful and far ones protected; of weights, in each matrix
        as many as the circuit has there."""
        if grain != "weights":
            scores = self.material.scores
            return self._recipe(scores.near, scores.harmful + scores.far, grain, size)
        circuit, W = self.circuit(grain, size), self.twin_weights
        assert isinstance(circuit, WeightMask)
        found: dict[str, Int[Tensor, " n"]] = {}
        for name, own in circuit.indices.items():
            score, U = W.signed[name].flatten().clone(), W.absolute[name].flatten()
            score[U.topk(floor(size.p * U.numel() + 1e-9), sorted=False).indices] = 0
            left = int((score > 0).sum())
            if left < len(own):
                raise SelectionError(f"{len(own)} weights of {name} were asked for, but {left} are left: lower p or q")
            found[name] = score.topk(len(own), sorted=False).indices
        return WeightMask(indices=found, shapes=circuit.shapes)

    @cached_property
    def twin_weights(self) -> WeightAttribution:
        """A of near twins' responses, U of harmful and far ones': one more pass over the training examples."""
        training = self.material.training
        rest = [one for at, one in enumerate(training) if at % ROLES != 1]
        return attribute_weights(self.material.model, training[1::ROLES], benign=rest)

    def _recipe(self, target: Attribution, protect: Attribution, grain: Grain, size: Size) -> Circuit:
        counts = {"heads": 0, "neurons": 0} | {grain: size.count}
        return recipe(target, protect, self.material.settings, **counts)
