"""Conditions scaled to the same damage on harmless text, then compared: the iso-damage control.

A condition that breaks more breaks harmful writing more, too. Every condition is therefore weakened until its mean rise on far
twins is that of the others, and what is left of the difference on harmful requests and near twins is not a matter of strength.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from tqdm.auto import tqdm

from .. import figures
from ..ablation.partial import Partial
from ..components import Circuit, WeightMask
from ..examples import Example
from ..models.protocol import HookedModel
from ..notebook import notebook_html
from ..statistics import Estimate, paired_difference, sign_flip_p
from ..store import StoreError
from ..store.tensors import read_tensors, save_tensors
from .frontier import (
    ALPHAS,
    COLUMNS,
    MEASURED,
    NEGLIGIBLE,
    Frontier,
    FrontierError,
    Passes,
    Point,
    Rises,
    bracket,
    checked_damage,
    estimates,
    frontier,
    numbers,
    refuse_unknown,
)
from .measures import HARMFUL, NEAR

FORMAT = "harmcircuits iso-damage 1"


@dataclass(frozen=True, eq=False)
class IsoDamage:
    """Conditions at equal damage.

    Attributes:
        damage: the mean rise on far twins that all were brought to, nats per token.
        alphas: by condition, what is left of each activation or weight there.
        rises: by condition, rises of L there, nats per token; positive: the ablation hurts.
        ablations: what each condition switches off, those left out too.
        reasons: by condition, why it could not be brought to the damage and is left out.
        frontier: what the alphas were first looked up on.
    """

    damage: float
    alphas: Mapping[str, float]
    rises: Mapping[str, Rises]
    ablations: Mapping[str, Circuit | WeightMask]
    reasons: Mapping[str, str]
    frontier: Frontier

    def __repr__(self) -> str:
        said = f"{len(self.alphas)} conditions at {self.damage:.3g} nats per token, {self.n_triples} triples"
        return f"IsoDamage({said}{f', {len(self.reasons)} left out' if self.reasons else ''})"

    def _repr_html_(self) -> str:
        return notebook_html(f"{self!r}: rises of L, nats per token", self.table(), figure=self.figure)

    @property
    def n_triples(self) -> int:
        """On how many triples, the first of the test split, conditions are compared; 0 where none is."""
        return len(next(iter(self.rises.values()), ()))

    def conditions(self) -> dict[str, Partial]:
        """Each condition at its alpha, as "… at equal damage", for any reading that takes conditions."""
        return {f"{name} at equal damage": Partial(self.ablations[name], alpha) for name, alpha in self.alphas.items()}

    def estimates(self, name: str, **options: Any) -> dict[str, Estimate]:
        """harmful, near, far (mean rises) and selectivity at equal damage, nats per token; missing for what is left out.

        The intervals are over triples with alpha held. `options` are those of `statistics.bootstrap`.
        """
        refuse_unknown([name], self.ablations)
        if name in self.reasons:
            return dict.fromkeys(MEASURED, Estimate.missing(self.reasons[name]))
        return estimates(self.rises[name], **options)

    def advantage(self, name: str, *, seed: int = 0, **options: Any) -> tuple[Estimate, Estimate]:
        """Selectivity of the first condition − that of `name`, paired over triples, nats per token; and its two-sided p-value
        against signs flipped within triples (`statistics.sign_flip_p`).

        Positive: at equal damage the first condition is the more selective. Both missing where either is left out. `options`
        are those of `statistics.bootstrap`.
        """
        first = next(iter(self.ablations))
        refuse_unknown([name], self.ablations)
        if left_out := [own for own in (first, name) if own in self.reasons]:
            reason = f"{left_out[0]} is left out: {self.reasons[left_out[0]]}"
            return Estimate.missing(reason), Estimate.missing(reason)
        own, other = (self.rises[each][:, HARMFUL] - self.rises[each][:, NEAR] for each in (first, name))
        return paired_difference(own, other, seed=seed, **options), sign_flip_p(own - other, seed=seed)

    def table(self, **options: Any) -> pd.DataFrame:
        """One row a condition: alpha, rises and selectivity at equal damage, and the first condition's `advantage` over it.

        Values with 95 % intervals as text, nats per token. `options` are those of `statistics.bootstrap`.
        """
        rows = []
        for at, name in enumerate(self.ablations):
            found = {key: _text(value) for key, value in self.estimates(name, **options).items()}
            ahead, p = self.advantage(name, **options)
            rows.append(
                {
                    "condition": name,
                    "alpha": f"{self.alphas[name]:.3f}" if name in self.alphas else "—",
                    **{f"{role} rise": found[role] for role in ("far", "harmful", "near")},
                    "selectivity": found["selectivity"],
                    "first − this": _text(ahead) if at else "",
                    "p": "" if at == 0 or p.value is None else f"{p.value:.2g}",
                    "note": self.reasons.get(name, ""),
                }
            )
        return pd.DataFrame(rows)

    def to_json(self, **options: Any) -> dict[str, Any]:
        """The numbers of `table`, for `report.json`: nats per token, `{value, low, high, n}`, null with the reason."""
        found = {}
        for at, name in enumerate(self.ablations):
            ahead, p = self.advantage(name, **options)
            read = self.estimates(name, **options) | ({"first_minus_this": ahead, "p": p} if at else {})
            found[name] = {"alpha": self.alphas.get(name), **{key: value.to_json() for key, value in read.items()}}
        return {"damage": self.damage, "conditions": found}

    def frame(self, **options: Any) -> pd.DataFrame:
        """`Frontier.frame` with a row more for each condition, at equal damage."""
        kinds = self.frontier.kinds
        own = [numbers(name, kinds[name], self.alphas[name], estimates(at, **options)) for name, at in self.rises.items()]
        rows = [*self.frontier.frame(**options).to_dict("records"), *own]
        return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(["condition", "alpha"], ignore_index=True)

    def figure(self) -> go.Figure:
        """The frontiers with a line at the equal damage."""
        return figures.damage_frontier(self.frame(), damage=self.damage)

    def save(self, path: str | Path) -> None:
        """One safetensors file, written atomically; the ablations are not in it. Raises StoreError where it cannot be."""
        equal = {f"equal {name}": torch.from_numpy(np.ascontiguousarray(rises)) for name, rises in self.rises.items()}
        about = {"damage": self.damage, "alphas": self.alphas, "reasons": self.reasons, "frontier": self.frontier.about()}
        about["conditions"] = list(self.ablations)
        save_tensors(path, self.frontier.tensors() | equal, format=FORMAT, about=about)

    @classmethod
    def load(cls, path: str | Path, ablations: Mapping[str, Circuit | WeightMask]) -> "IsoDamage":
        """Reads what `save` wrote, of these conditions. Raises StoreError for a damaged file or another one."""
        tensors, about = read_tensors(path, format=FORMAT, what="conditions at equal damage")
        try:
            alphas, reasons, names = dict(about["alphas"]), dict(about["reasons"]), list(about["conditions"])
            rises = {name: tensors[f"equal {name}"].numpy() for name in alphas}
            measured = Frontier.of_parts(tensors, about["frontier"], path=path)
        except (KeyError, TypeError) as cause:
            raise StoreError(f"{path} is not whole ({cause}). Run the measurement again.") from cause
        if absent := [name for name in names if name not in ablations]:
            raise StoreError(f"{path} holds the condition {absent[0]!r}, and no ablation of that name was given")
        return cls(float(about["damage"]), alphas, rises, {name: ablations[name] for name in names}, reasons, measured)


def _text(estimate: Estimate) -> str:
    """The reason of a missing value has a column of its own."""
    return "—" if estimate.is_missing else str(estimate)


def without_damage(frontier: Frontier, names: Sequence[str] | None = None) -> dict[str, str]:
    """The conditions whose mean rise on far twins stays at or below 0.002 nats at every alpha, each with that as the reason."""
    largest = {name: float(frontier.damage(name).max()) for name in (frontier.rises if names is None else names)}
    return {
        name: f"it does no damage: its rise on far twins is {found:+.4f} nats per token at most, and up to {NEGLIGIBLE} is none"
        for name, found in largest.items()
        if not found > NEGLIGIBLE
    }


def target(frontier: Frontier, names: Sequence[str] | None = None) -> float:
    """The largest damage that all of `names` (None: all conditions) reach: min over conditions of max over alphas of the mean
    rise on far twins; nats per token, positive. Those of `without_damage` do not count.

    Raises:
        FrontierError: an unknown name, or none of them does any damage.

    >>> rises = np.zeros((2, 1, 3))
    >>> rises[1, 0, 2] = 0.5
    >>> target(Frontier((1.0, 0.0), {"strong": 2 * rises, "weak": rises, "idle": 0 * rises}))
    0.5
    """
    chosen = list(frontier.rises if names is None else names)
    idle = without_damage(frontier, chosen)
    reached = [float(frontier.damage(name).max()) for name in chosen if name not in idle]
    if not reached:
        why = "; ".join(f"{name}: {reason}" for name, reason in idle.items()) or "no condition was named"
        raise FrontierError(f"there is no damage to be equal at ({why}). Take larger circuits, or alphas nearer 0.")
    return min(reached)


def solve(
    model: HookedModel,
    conditions: Mapping[str, Circuit | WeightMask],
    examples: Sequence[Example],
    *,
    damage: float | None = None,
    measured: Frontier | None = None,
    alphas: Sequence[float] = ALPHAS,
    kinds: Mapping[str, str] | None = None,
    tolerance: float = 0.02,
    steps: int = 8,
    batch_size: int = 12,
    progress: bool = False,
) -> IsoDamage:
    """Every condition at the alpha where its mean rise of L on far twins is `damage`, measured there.

    An alpha is interpolated on the frontier, then refined by measuring far twins alone: by the secant, and every third time by
    halving what is left, until the rise is within `tolerance` of `damage`. After `steps` a rise within 0.002 nats is
    taken, too. What cannot be brought to the damage is left out, with the reason.

    Args:
        conditions: by name; the first is the one that `IsoDamage.advantage` compares with the others.
        examples: whole triples, each harmful, near, far, as `experiments.scores.respond` gives them.
        damage: the mean rise on far twins to meet, nats per token; None: `target` of all conditions. One that hardly does
            anything makes that small: `target(measured, names)` leaves it out of the choice.
        measured: a frontier of these conditions on the same examples; None: it is measured, with `alphas` and `kinds`.
        alphas: see `frontier`.
        kinds: see `frontier`.
        tolerance: of the rise on far twins, as a share of the damage.
        steps: refinements of a condition at most, each a pass over far twins.
        batch_size: examples a pass.

    Raises:
        FrontierError: as `frontier` and `target`; a damage that is not positive; `measured` is of other conditions or triples.
        AblationError, CircuitError, MaskError, ModelError: see `ablated`.
    """
    if measured is None:
        options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
        measured = frontier(model, conditions, examples, alphas=alphas, kinds=kinds, **options)
    refuse_unknown(conditions, measured.rises)
    passes = Passes.of(model, examples, batch_size=batch_size)
    if any(len(along[0]) != len(passes.intact) for along in measured.rises.values()):
        raise FrontierError(f"the frontier was measured on other triples than these {len(passes.intact)}: measure it again")
    damage = target(measured, list(conditions)) if damage is None else checked_damage(damage)
    refine = partial(_refined, damage=damage, tolerance=tolerance, steps=steps)
    reasons, alphas_at = _unreached(measured, list(conditions), damage), dict[str, float]()
    rises: dict[str, Rises] = {}
    for name, ablation in tqdm(conditions.items(), desc="equal damage", unit="condition", disable=not progress):
        if name in reasons:
            continue
        alpha, there = refine(partial(passes.damage, ablation), bracket(measured, name, damage))
        if abs(there - damage) > max(tolerance * damage, NEGLIGIBLE):
            reasons[name] = f"no alpha was found at which its rise on far twins is {damage:.4f}; the nearest was {there:.4f}"
            continue
        alphas_at[name], rises[name] = alpha, passes.rises(ablation, alpha)
    return IsoDamage(damage, alphas_at, rises, dict(conditions), reasons, measured)


def _unreached(frontier: Frontier, names: Sequence[str], damage: float) -> dict[str, str]:
    """Why the damage is out of reach, for the conditions of which that can be said before any search."""
    largest = {name: float(frontier.damage(name).max()) for name in names}
    short = {
        name: f"it reaches a rise on far twins of {found:+.4f} nats per token at most, not {damage:.4f}"
        for name, found in largest.items()
        if not found >= damage
    }
    return short | without_damage(frontier, names)


def _refined(
    damage_at: Callable[[float], float], bracket: tuple[Point, Point], *, damage: float, tolerance: float, steps: int
) -> Point:
    """The measured point nearest to `damage`, from within a bracket."""
    (weak, below), (strong, above) = bracket
    best = (strong, above)
    if abs(above - damage) <= tolerance * damage:  # the condition whose whole strength is the target, as a rule
        return best
    for step in range(steps):
        share = 0.5 if step % 3 == 2 else (damage - below) / (above - below)  # the secant alone can creep up from one side
        alpha = weak + share * (strong - weak)
        there = damage_at(alpha)
        if abs(there - damage) <= abs(best[1] - damage):
            best = (alpha, there)
        if abs(there - damage) <= tolerance * damage:
            break
        if there < damage:
            weak, below = alpha, there
        else:
            strong, above = alpha, there
    return best
