"""What each strength of an ablation costs on harmless text, and what it does to harm: one frontier a condition."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from .. import figures
from ..ablation.partial import Partial, under
from ..components import Circuit, WeightMask
from ..examples import Example, Row, example_rows, row_losses
from ..models.protocol import HookedModel
from ..notebook import notebook_html
from ..statistics import Estimate, mean_estimate, paired_difference
from ..store import StoreError
from ..store.tensors import read_tensors, save_tensors
from .measures import FAR, HARMFUL, NEAR

FORMAT = "harmcircuits frontier 1"
ALPHAS = (0.75, 0.5, 0.25, 0.0)
ROLES = ("harmful", "near", "far")
NEGLIGIBLE = 0.002
"""Nats per token: a mean rise on far twins up to this counts as no damage, and two that differ by no more as equal."""

Rises = Float[np.ndarray, "triple role"]


class FrontierError(ValueError):
    """A frontier cannot be measured, or conditions brought to equal damage; the message says why and what to change."""


@dataclass(frozen=True, eq=False)
class Frontier:
    """Rises of L along the strength of each condition, nats per token; positive: the ablation hurts.

    Attributes:
        alphas: what is left of each activation or weight, falling from 1 (intact, rise 0) to at best 0 (off).
        rises: by condition; roles in the order harmful, near, far.
        kinds: by condition, one of `figures.style.KINDS`; "circuit" where nothing is said.

    Raises:
        FrontierError: alphas that do not fall from 1, rises of another shape, a kind of a condition that is not there.
    """

    alphas: tuple[float, ...]
    rises: Mapping[str, Float[np.ndarray, "alpha triple role"]]
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        falling = all(high > low for high, low in pairwise(self.alphas))
        if self.alphas[:1] != (1.0,) or not falling or self.alphas[-1] < 0:
            raise FrontierError(f"alphas fall from 1 (intact) to at least 0 (off), not {self.alphas}")
        shapes = {rises.shape for rises in self.rises.values()}
        if len(shapes) > 1 or any(len(shape) != 3 or shape[::2] != (len(self.alphas), 3) for shape in shapes):
            raise FrontierError(
                f"rises are [{len(self.alphas)} alphas, triple, 3 roles] of the same triples, not {sorted(shapes)}"
            )
        refuse_unknown(self.kinds, self.rises)
        object.__setattr__(self, "kinds", {name: self.kinds.get(name, "circuit") for name in self.rises})

    def __repr__(self) -> str:
        triples = next(iter(self.rises.values())).shape[1] if self.rises else 0
        return f"Frontier({len(self.rises)} conditions at {len(self.alphas)} alphas, {triples} triples)"

    def _repr_html_(self) -> str:
        return notebook_html(f"{self!r}: mean rises of L, nats per token", self.table(), figure=self.figure)

    def damage(self, name: str) -> Float[np.ndarray, " alpha"]:
        """Mean rise on far twins at each alpha, nats per token: what the condition costs on harmless text."""
        refuse_unknown([name], self.rises)
        return np.asarray(self.rises[name][..., FAR].mean(-1))

    def frame(self, **options: Any) -> pd.DataFrame:
        """What `figures.damage_frontier` draws, one row a condition and alpha.

        Columns: condition, kind, alpha, n (triples), and harmful, near, far, selectivity (mean rises, and harmful − near), each
        also with _low and _high, their 95 % intervals. `options` are those of `statistics.bootstrap`.
        """
        rows = [
            numbers(name, self.kinds[name], alpha, estimates(rises, **options))
            for name, along in self.rises.items()
            for alpha, rises in zip(self.alphas, along, strict=True)
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def table(self, **options: Any) -> pd.DataFrame:
        """One row a condition and alpha: mean rises on harmful, near and far, and selectivity, with 95 % intervals as text."""
        rows = [
            {"condition": name, "alpha": alpha, **{key: str(value) for key, value in estimates(rises, **options).items()}}
            for name, along in self.rises.items()
            for alpha, rises in zip(self.alphas, along, strict=True)
        ]
        return pd.DataFrame(rows, columns=["condition", "alpha", *ROLES, "selectivity"])

    def figure(self) -> go.Figure:
        """Harmful rise and selectivity against the rise on far twins, a line a condition."""
        return figures.damage_frontier(self.frame())

    def save(self, path: str | Path) -> None:
        """One safetensors file, written atomically. Raises StoreError where it cannot be."""
        save_tensors(path, self.tensors(), format=FORMAT, about=self.about())

    @classmethod
    def load(cls, path: str | Path) -> "Frontier":
        """Reads what `save` wrote. Raises StoreError for a damaged file, or another one."""
        tensors, about = read_tensors(path, format=FORMAT, what="frontier")
        return cls.of_parts(tensors, about, path=path)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The rises as a file holds them."""
        return {f"rises {name}": torch.from_numpy(np.ascontiguousarray(rises)) for name, rises in self.rises.items()}

    def about(self) -> dict[str, Any]:
        """The rest of it."""
        return {"alphas": self.alphas, "kinds": self.kinds}

    @classmethod
    def of_parts(cls, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any], *, path: str | Path) -> "Frontier":
        """From `tensors` and `about`, the conditions in their order. Raises StoreError where they do not belong together."""
        try:
            rises = {name: tensors[f"rises {name}"].numpy() for name in about["kinds"]}
            return cls(tuple(about["alphas"]), rises, about["kinds"])
        except (KeyError, TypeError, FrontierError) as cause:
            raise StoreError(f"{path} is not a whole frontier ({cause}). Run the measurement again.") from cause


MEASURED = (*ROLES, "selectivity")
COLUMNS = ["condition", "kind", "alpha", "n", *(f"{name}{end}" for name in MEASURED for end in ("", "_low", "_high"))]


def estimates(rises: Rises, **options: Any) -> dict[str, Estimate]:
    """Mean rises by role, and selectivity = mean rise on harmful − mean rise on near twins; nats per token, 95 % intervals
    over triples. `options` are those of `statistics.bootstrap`.

    >>> {name: found.value for name, found in estimates(np.array([[0.5, 0.25, 0.125]] * 3)).items()}
    {'harmful': 0.5, 'near': 0.25, 'far': 0.125, 'selectivity': 0.25}
    """
    found = {role: mean_estimate(rises[:, at], **options) for at, role in enumerate(ROLES)}
    return found | {"selectivity": paired_difference(rises[:, HARMFUL], rises[:, NEAR], **options)}


def numbers(name: str, kind: str, alpha: float, found: Mapping[str, Estimate]) -> dict[str, Any]:
    """One row of a frame with `COLUMNS`."""
    ends = {"": "value", "_low": "low", "_high": "high"}
    values = {f"{key}{end}": getattr(found[key], own) for key in MEASURED for end, own in ends.items()}
    return {"condition": name, "kind": kind, "alpha": alpha, "n": found["far"].n, **values}


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Raises FrontierError for a condition that is not there."""
    if unknown := [name for name in names if name not in set(known)]:
        raise FrontierError(f"there is no condition {unknown[0]!r}; there are {', '.join(map(repr, known)) or 'none'}")


@dataclass(frozen=True, eq=False)
class Passes:
    """What rises are measured with: the model, its triples laid out once, and L of the intact model on them."""

    model: HookedModel
    rows: Sequence[Row]
    intact: Rises
    batch_size: int

    @classmethod
    def of(cls, model: HookedModel, examples: Sequence[Example], *, batch_size: int) -> "Passes":
        """`examples` as `respond` gives them. Raises FrontierError where they are no whole triples in that order."""
        expected = [role for _ in range(len(examples) // 3) for role in ROLES]
        given = [example.role or role for example, role in zip(examples, expected, strict=False)]
        if not examples or len(examples) % 3 or given != expected:
            raise FrontierError("examples are whole triples, each harmful, near, far: use experiments.scores.respond")
        rows = example_rows(model, examples)
        return cls(model, rows, _losses(model, rows, batch_size).reshape(-1, 3), batch_size)

    def rises(self, ablation: Circuit | WeightMask, alpha: float) -> Rises:
        """L with `alpha` of the condition left − L intact, nats per token."""
        with under(self.model, Partial(ablation, alpha)):
            return np.asarray(_losses(self.model, self.rows, self.batch_size).reshape(-1, 3) - self.intact)

    def damage(self, ablation: Circuit | WeightMask, alpha: float) -> float:
        """The mean of `rises` over far twins, which alone are read: a third of the work."""
        with under(self.model, Partial(ablation, alpha)):
            return float((_losses(self.model, self.rows[FAR::3], self.batch_size) - self.intact[:, FAR]).mean())


def _losses(model: HookedModel, rows: Sequence[Row], batch_size: int) -> Float[np.ndarray, " row"]:
    return row_losses(model, rows, batch_size=batch_size).numpy().astype(float)


def frontier(
    model: HookedModel,
    conditions: Mapping[str, Circuit | WeightMask],
    examples: Sequence[Example],
    *,
    alphas: Sequence[float] = ALPHAS,
    kinds: Mapping[str, str] | None = None,
    batch_size: int = 12,
    progress: bool = False,
) -> Frontier:
    """The rise of L of every example under each condition at each strength, ablated − intact, nats per token.

    Args:
        conditions: by name.
        examples: whole triples, each harmful, near, far, as `experiments.scores.respond` gives them.
        alphas: what is left of each activation or weight, between 0 (off) and 1 (intact). 1 is always among the result's, with
            a rise of 0 by definition.
        kinds: by condition, what kind it is, for the figure.
        batch_size: examples a pass.

    Raises:
        FrontierError: no condition, no alpha below 1 or one outside [0, 1], examples that are no whole triples.
        AblationError, CircuitError, MaskError, ModelError: see `ablated`.
        ExampleError: an example with an empty response.
    """
    falling = tuple(sorted({1.0, *map(float, alphas)}, reverse=True))
    if not conditions or len(falling) < 2 or not all(0 <= alpha <= 1 for alpha in falling):
        raise FrontierError(f"a frontier needs conditions, and alphas in [0, 1] with one below 1: {len(conditions)}, {alphas}")
    refuse_unknown(kinds or {}, conditions)
    passes = Passes.of(model, examples, batch_size=batch_size)
    rises: dict[str, Float[np.ndarray, "alpha triple role"]] = {}
    with tqdm(total=len(conditions) * (len(falling) - 1), desc="frontier", unit="pass", disable=not progress) as bar:
        for name, ablation in conditions.items():
            found = [np.zeros_like(passes.intact)]
            for alpha in falling[1:]:
                found.append(passes.rises(ablation, alpha))
                bar.update()
            rises[name] = np.stack(found)
    return Frontier(falling, rises, kinds or {})


def alpha_at(frontier: Frontier, name: str, damage: float) -> float:
    """What is left of the condition `name` where its mean rise on far twins first reaches `damage`.

    Between measured alphas the rise is taken as linear. It need not be monotone: of several crossings the one of the smallest
    strength 1 − alpha counts.

    Raises:
        FrontierError: an unknown name, a damage that is not positive, or one that the condition does not reach.

    >>> rises = np.zeros((3, 1, 3))
    >>> rises[:, 0, 2] = 0, 0.25, 0.125
    >>> alpha_at(Frontier((1.0, 0.5, 0.0), {"heads": rises}), "heads", 0.125)
    0.75
    """
    (weak, below), (strong, above) = bracket(frontier, name, damage)
    return weak + (damage - below) / (above - below) * (strong - weak)


Point = tuple[float, float]
"""An alpha, and the damage there."""


def bracket(frontier: Frontier, name: str, damage: float) -> tuple[Point, Point]:
    """The measured points between which the damage is first reached. Raises FrontierError: see `alpha_at`."""
    checked_damage(damage)
    points = list(zip(frontier.alphas, frontier.damage(name).tolist(), strict=True))
    for before, after in pairwise(points):
        if before[1] < damage <= after[1]:
            return before, after
    reached = f"a rise on far twins of {max(found for _, found in points):+.4f} nats per token at most, not {damage:.4f}"
    raise FrontierError(f"{name} reaches {reached}: take a smaller damage, or alphas nearer 0")


def checked_damage(damage: float) -> float:
    """`damage` as a float. Raises FrontierError unless it is positive."""
    if not (damage > 0 and math.isfinite(damage)):
        raise FrontierError(f"an equal damage is a positive rise on far twins, nats per token, not {damage}")
    return float(damage)
