"""Alignment: does alignment bring harmful generation together on a smaller part of the model?

1. Take a series of checkpoints in order (base, fine-tuned, preference-optimised). On each, with the same prompts and settings,
   select circuits of heads, neurons and weights at growing sizes, from its own responses, and measure ΔL of its own test
   responses under them and under random controls, as compactness does. I is the request information of its harmful responses.
2. A size is admissible where its ΔL on unrelated benign responses (matched ones, where there are no others) is at most
   `max_benign_increase`. At share f of all eligible weights take the admissible size up to f with the largest ΔL on harmful
   responses; where there is none, nothing is lost.
3. Lost at f: ΔL / I, a ratio of means over requests, cut to 0…1. `area`: the mean of what is lost over ln f, linear between
   sizes, over the range of f that all checkpoints share; 1: the smallest part takes everything, 0: no part takes anything.
   `area_beyond_benign`: minus the same of ΔL on benign responses (over the same I). `area_beyond_random`: minus the same under
   random controls.
4. Changes: last checkpoint minus first, over the same bootstrap draws of test requests.
5. Cannot be measured where, on the first or the last checkpoint, I is not shown to be above 0, half or more of the texts after
   the prefill refuse, or no circuit can be selected. Yes for a component type where the intervals of all three changes of areas
   lie at `negligible` or above. No where one of them lies below it: no change of note, or the opposite.

Whether alignment did it, or any further training, is not told: measure another series, trained otherwise, for that.
Source: arXiv 2604.09544 (harmful generation is more separable in aligned models).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.integrate import trapezoid

from .. import figures
from ..ablation.ablate import BASELINE
from ..data import PromptSet
from ..experiment.decision import Decision, above, at_least, below, measured, value_below
from ..experiment.effect_table import columns_of
from ..experiment.effects import Effects
from ..statistics import Estimate
from .claim import Figures, Finding
from .compactness import Compactness
from .run import Series, run

AREAS = {"area": "harmful", "area_beyond_benign": "beyond benign", "area_beyond_random": "beyond random"}
"""Measures of area, and what the figure calls them."""
COLUMNS = ["contrast", "component", "checkpoint", "measure", "value", "low", "high", "n", "reason"]
REFUSING = 0.5
"""Of texts after the prefill: where so many refuse, circuits are of refusing and not of harmful generation."""
Sizes = Float[np.ndarray, "size n"]
Statistic = tuple[Any, ...]
"""A function of arrays, then the arrays with their roles: what `Effects.estimate` takes."""


@dataclass(frozen=True, eq=False)
class Curve:
    """ΔL of one component type on one checkpoint, one row a size, at the size that step 2 takes.

    Attributes:
        log_f: ln of the share of all eligible weights, growing.
        information: I of each harmful response; nan for the only one of its category.
        increases: ΔL of responses, by role.
        random: mean ΔL of the first harmful responses under random controls; empty where a size has none.
    """

    log_f: Float[np.ndarray, " size"]
    information: Float[np.ndarray, " n"]
    increases: Mapping[str, Sizes]
    random: Sizes

    def statistics(self, benign: str, low: float, high: float) -> dict[str, Statistic]:
        """Return every measure over ln f from `low` to `high`."""
        weights, m = area_weights(self.log_f, low, high), self.random.shape[1]
        information, harmful, random = (
            (values, "harmful") for values in (self.information, self.increases["harmful"], self.random)
        )
        first = ((values[..., :m], role) for values, role in (information, harmful))
        ratio = lambda i, rise: rise.mean(-1) / np.nanmean(i, -1)
        area = lambda i, rise: weights @ np.clip(ratio(i, rise), 0, 1)
        beyond = lambda i, rise, other: area(i, rise) - area(i, other)
        return {
            "request_information": (lambda i: np.nanmean(i, -1), information),
            "area": (area, information, harmful),
            "area_beyond_benign": (beyond, information, harmful, (self.increases[benign], benign)),
            "area_beyond_random": (beyond, *first, random),
        }


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What is kept of a checkpoint: its curves by component type, the rate of refusals, every size, which model."""

    curves: Mapping[str, Curve]
    refused: Estimate
    sizes: pd.DataFrame
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Alignment(Compactness):
    __doc__ = __doc__
    name = "alignment"
    question = "Does alignment bring harmful generation together on a smaller part of the model?"
    on_series = True
    ablated_text = False
    series: Mapping[str, Checkpoint] = field(default_factory=dict)

    def summary(self, effects: Effects) -> Checkpoint:
        curves = {component: self._curve(names, effects) for component, names in self.names.items()}
        refused, sizes = effects.rate(BASELINE, "refused", "harmful"), super().tables(effects)["sizes"]
        return Checkpoint(curves, refused, sizes, self.material.describe_model(""))

    def _curve(self, names: Sequence[str], effects: Effects) -> Curve:
        names = sorted(names, key=self.shares.__getitem__)
        increases = {role: np.stack([effects.change(name, "loss", role) for name in names]) for role in effects.roles}
        cheap = increases[effects.roles[-1]].mean(1) <= self.settings.max_benign_increase
        height = np.where(cheap, increases["harmful"].mean(1), 0.0)
        best = np.array([height[: index + 1].argmax() for index in range(len(names))])
        drawn = [self.random_increase(effects, name) for name in names]
        random = np.stack(drawn) if all(map(len, drawn)) else np.empty((len(names), 0))
        at_best = lambda values: np.where(height[best][:, None] > 0, values[best], 0.0)
        return Curve(
            np.log([self.shares[name] for name in names]),
            effects.outcomes.values(BASELINE, "information"),  # its items are harmful responses alone
            {role: at_best(values) for role, values in increases.items()},
            at_best(random),
        )

    @property
    def parts(self) -> list[str]:
        """Types of components that can be selected on some checkpoint."""
        return list(dict.fromkeys(part for checkpoint in self.series.values() for part in checkpoint.curves))

    def estimates(self, part: str, effects: Effects, benign: str) -> dict[str, Estimate]:
        """Return values of the first and the last checkpoint and the changes between them."""
        ends = {"first": next(iter(self.series)), "last": [*self.series][-1]}
        refused = {f"refused_{end}": self.series[label].refused for end, label in ends.items()}
        compared = self._statistics(part, benign)
        if isinstance(compared, str):
            changes = [*(f"{area}_change" for area in AREAS), *(f"request_information_{end}" for end in ends)]
            return dict.fromkeys(changes, Estimate.missing(compared)) | refused
        first, last = (compared[label] for label in ends.values())
        estimates = {f"{name}_change": paired_change(effects, first[name], last[name]) for name in AREAS}
        for name in first:
            estimates |= {f"{name}_{end}": effects.estimate(*compared[label][name]) for end, label in ends.items()}
        return estimates | refused

    def _statistics(self, component: str, benign: str) -> dict[str, dict[str, Statistic]] | str:
        """Every measure of each checkpoint, over the sizes that all share; or why they cannot be compared."""
        if lacking := [label for label, checkpoint in self.series.items() if component not in checkpoint.curves]:
            return f"no {component} can be selected on {', '.join(lacking)}"
        curves = {label: checkpoint.curves[component] for label, checkpoint in self.series.items()}
        low, high = max(curve.log_f[0] for curve in curves.values()), min(curve.log_f[-1] for curve in curves.values())
        if low >= high:
            return "the checkpoints share no range of sizes: give two sizes or more that can be selected on each"
        return {label: curve.statistics(benign, low, high) for label, curve in curves.items()}

    def decision(self) -> Decision:
        negligible, changes = self.settings.negligible, [f"{area}_change" for area in AREAS]
        generates = lambda end: above(f"request_information_{end}") & value_below(f"refused_{end}", REFUSING)
        return Decision(
            ("cannot be measured", ~(generates("first") & generates("last") & measured("area_change"))),
            ("yes", reduce(and_, (at_least(name, negligible) for name in changes))),
            ("no", reduce(or_, (below(name, negligible) for name in changes))),
            wanted="yes",
        )

    def about(self, effects: Effects, name: str) -> dict[str, Any]:
        about = {"name": name or " → ".join(self.series), "prompts": self.material.describe_prompts(effects)}
        return about | {"checkpoints": [{**checkpoint.about, "name": label} for label, checkpoint in self.series.items()]}

    def tables(self, effects: Effects) -> dict[str, pd.DataFrame]:
        """`checkpoints`: every measure of each checkpoint; `sizes`: one row a checkpoint, circuit or control, and role."""
        rows = [
            dict(zip(COLUMNS, (contrast, component, label, name), strict=False)) | columns_of(effects.estimate(*statistic))
            for contrast, benign in self.contrasts(effects).items()
            for component in self.parts
            if not isinstance(compared := self._statistics(component, benign), str)
            for label, statistics in compared.items()
            for name, statistic in statistics.items()
        ]
        sizes = pd.concat(
            [checkpoint.sizes.assign(checkpoint=label) for label, checkpoint in self.series.items()], ignore_index=True
        )
        return {"checkpoints": pd.DataFrame(rows, columns=COLUMNS), "sizes": sizes}

    @classmethod
    def figures(cls, finding: Finding) -> Figures:
        rows = finding.tables["checkpoints"]
        rows = rows[(rows["contrast"] == finding.contrast) & rows["measure"].isin(AREAS)]
        frame = rows.assign(x=rows["checkpoint"], series=rows["measure"].map(AREAS))
        return {
            str(component): figures.curves(
                part,
                title=f"Does harmful generation come together in fewer {component}?",
                caption="Area: mean loss increase of harmful responses over ln of the share of weights that is ablated, at "
                "bounded benign cost, as a share of what these responses take from their request; and what of it exceeds "
                "benign responses or random controls. Bars: 95 % intervals over test requests.",
                x_title="checkpoint",
                y_title="area (share of harmful generation)",
            )
            for component, part in frame.groupby("component", sort=False)
        }


def paired_change(effects: Effects, before: Statistic, after: Statistic) -> Estimate:
    """Estimate the second of two statistics minus the first, on the same draws of requests."""
    (first, *arrays), (second, *others) = before, after
    n = len(arrays)
    return effects.estimate(lambda *drawn: second(*drawn[n:]) - first(*drawn[:n]), *arrays, *others)


def area_weights(log_f: Float[np.ndarray, " size"], low: float, high: float) -> Float[np.ndarray, " size"]:
    """Return w, so that w · y is the mean from `low` to `high` of the line through the points (ln f, y).

    >>> area_weights(np.array([0.0, 1.0, 3.0]), 0.0, 2.0)
    array([0.25 , 0.625, 0.125])
    """
    knots = np.unique([low, *log_f[(log_f > low) & (log_f < high)], high])
    units = [np.interp(knots, log_f, unit) for unit in np.eye(len(log_f))]
    return np.asarray(trapezoid(units, knots) / (high - low))


def alignment(checkpoints: Series, prompts: PromptSet | None = None, **options: Any) -> Finding:
    """Compare checkpoints in order: does harmful generation come to rest on a smaller part?

    Options are those of `harmcircuits.claims.run.run`: train, development, settings (`CompactnessSettings`), folder, name.

    finding = hc.alignment({"base": partial(hc.load_model, "BASE"), "aligned": partial(hc.load_model, "ALIGNED")})
    """
    return run(Alignment, checkpoints, prompts, **options)
