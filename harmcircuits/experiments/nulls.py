"""The null distributions of selectivity: other circuits of the same make, on a subset of the test triples."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from ..ablation.hooks import Ablation
from ..components import Circuit
from ..examples import Example
from ..models.protocol import HookedModel
from ..notebook import clipped
from ..selection.matched import balance
from ..selection.protected import SelectionError
from ..selection.swapped import label_swapped
from ..statistics import Estimate, p_value, paired_difference
from ..store import StoreError
from ..store.tensors import read_tensors, save_tensors
from ..tasks.teacher_forced import INTACT, teacher_forced
from .controls import matched
from .instruments import Instruments
from .kept import Kept
from .names import name_of
from .scores import Scores
from .settings import Settings

FORMAT = "harmcircuits nulls 3"
KINDS = ("matched-random", "label-swap")
AT_ONCE = 32
"""Draws of one call: no more than these are lost when a run is stopped, and the intact model is read again with each."""


@dataclass(frozen=True, eq=False)
class Nulls:
    """Rises of L by draw and triple, harmful and near: `rises[kind]` is [draw, triple, 2]; `observed` is the circuit's own.

    Attributes:
        balance: how like the circuit its matched random draws are (`selection.matched.balance`).
        falls: of the primary reading of recognition, harmful − near twin, by draw and triple; positive where it falls.
        observed_fall: the circuit's own.
    """

    observed: Float[np.ndarray, "triple 2"]
    rises: dict[str, Float[np.ndarray, "draw triple 2"]]
    balance: dict[str, Any] = field(default_factory=dict)
    falls: dict[str, Float[np.ndarray, "draw triple"]] = field(default_factory=dict)
    observed_fall: Float[np.ndarray, " triple"] = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        kinds = ", ".join(f"{len(rises)} {kind}" for kind, rises in self.rises.items())
        return f"Nulls({clipped(kinds, 60)} draws, {len(self.observed)} triples)"

    def selectivity(self, kind: str) -> Float[np.ndarray, " draw"]:
        """Mean rise on harmful minus mean rise on near twins, of each draw; nats per token."""
        return np.asarray((self.rises[kind][..., 0] - self.rises[kind][..., 1]).mean(-1))

    def p_value(self) -> Estimate:
        """The larger of the p values of the observed selectivity against each null; missing with fewer than 39 draws."""
        found = [p_value(self.observed_selectivity, self.selectivity(kind)) for kind in self.rises]
        missing = [estimate for estimate in found if estimate.value is None]
        return missing[0] if missing else max(found, key=lambda estimate: estimate.value or 0.0)

    def save(self, path: Path) -> None:
        """One safetensors file, written atomically."""
        arrays = {"observed": self.observed, "observed fall": self.observed_fall}
        arrays |= {f"rises {kind}": rises for kind, rises in self.rises.items()}
        arrays |= {f"falls {kind}": falls for kind, falls in self.falls.items()}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        save_tensors(path, tensors, format=FORMAT, about=self.balance)

    @classmethod
    def load(cls, path: Path) -> "Nulls":
        """Reads what `save` wrote. Raises StoreError for a damaged file, or another one."""
        tensors, balance = read_tensors(path, format=FORMAT, what="nulls")
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        if "observed" not in arrays:
            raise StoreError(f"{path} holds no rises of the circuit itself. Run the measurement again.")
        rises, falls = (
            {kind: arrays[f"{what} {kind}"] for kind in KINDS if f"{what} {kind}" in arrays} for what in ("rises", "falls")
        )
        return cls(arrays["observed"], rises, balance, falls, arrays["observed fall"])

    @property
    def observed_estimate(self) -> Estimate:
        """The circuit's own selectivity on these triples, with its interval over them."""
        return paired_difference(self.observed[:, 0], self.observed[:, 1])

    @property
    def observed_selectivity(self) -> float:
        return float((self.observed[:, 0] - self.observed[:, 1]).mean())


def null_circuits(circuit: Circuit, scores: Scores, settings: Settings) -> dict[str, Callable[[int], Circuit]]:
    """How to draw one circuit of each null from a seed."""
    return {
        "matched-random": lambda seed: matched(circuit, scores, settings, seed=seed),
        "label-swap": lambda seed: label_swapped(
            scores.harmful,
            scores.near,
            scores.far,
            seed=seed,
            heads=len(circuit.heads),
            neurons=len(circuit.neurons),
            protect_fraction=settings.protect,
        ),
    }


def measure_nulls(
    model: HookedModel,
    circuit: Circuit,
    scores: Scores,
    examples: Sequence[Example],
    settings: Settings,
    *,
    instruments: Instruments | None = None,
    kept: Kept | None = None,
    progress: bool = False,
) -> Nulls:
    """Rises of L under `circuit` and under `null_draws` draws of each null, and with `instruments` falls of recognition too.

    `examples` lie as `respond` gives them; the first `null_triples` triples are read, harmful and near. What is
    `kept` from before is not read again.
    """
    chosen = [example for at, example in enumerate(examples[: 3 * settings.null_triples]) if at % 3 < 2]
    drawn = {kind: _draws(draw, settings) for kind, draw in null_circuits(circuit, scores, settings).items()}
    conditions: dict[str, Ablation] = {INTACT: None, "observed": circuit}
    conditions |= {f"{kind} {at}": own for kind, circuits in drawn.items() for at, own in enumerate(circuits)}
    rise = _changes(model, chosen, conditions, instruments, kept or Kept(), progress)
    rises = {kind: np.array([rise[f"{kind} {at}"][..., 0] for at in range(len(own))]) for kind, own in drawn.items()}
    falls = {kind: np.array([_fall(rise[f"{kind} {at}"]) for at in range(len(own))]) for kind, own in drawn.items()}
    n, alike = len(chosen) // 2, drawn["matched-random"]
    return Nulls(
        rise["observed"][..., 0],
        {kind: own.reshape(-1, n, 2) for kind, own in rises.items()},
        balance(circuit, alike, scores.harmful, protect=scores.benign) if alike else {},
        {kind: own.reshape(-1, n) for kind, own in falls.items()} if instruments else {},
        _fall(rise["observed"]) if instruments else np.empty(0),
    )


def _changes(
    model: HookedModel,
    examples: Sequence[Example],
    conditions: Mapping[str, Ablation],
    instruments: Instruments | None,
    kept: Kept,
    progress: bool,
) -> dict[str, Float[np.ndarray, "triple role 2"]]:
    """What each condition adds to L and to the primary reading (0 without instruments)."""
    asked: dict[str, Any] = {}
    if instruments is not None:
        asked = {"question": instruments.question, "probes": instruments.probes}
    names = [name for name in conditions if name != INTACT]
    frames: list[pd.DataFrame] = []
    for start in range(0, len(names), AT_ONCE):
        every: dict[str, Ablation] = {INTACT: None, **{name: conditions[name] for name in names[start : start + AT_ONCE]}}
        make = partial(teacher_forced, model, examples, every, **asked, progress=progress)
        found = kept.frame("nulls", [[name, name_of(condition)] for name, condition in every.items()], make)
        frames.append(found[found["condition"] != INTACT] if frames else found)
    frame = pd.concat(frames, ignore_index=True)
    frame = frame.assign(reading=frame[instruments.primary] if instruments is not None else 0.0)
    read = {
        str(name): rows[["nll", "reading"]].to_numpy(dtype=float).reshape(-1, 2, 2) for name, rows in frame.groupby("condition")
    }
    return {name: values - read[INTACT] for name, values in read.items()}


def _fall(change: Float[np.ndarray, "triple role 2"]) -> Float[np.ndarray, " triple"]:
    """Of harmful − near twin, positive where they come closer together."""
    return np.asarray(change[:, 1, 1] - change[:, 0, 1])


def _draws(draw: Callable[[int], Circuit], settings: Settings) -> list[Circuit]:
    """As many as `null_draws`; fewer, and counted, where a swapped label leaves too few eligible heads."""
    found = []
    for seed in range(settings.null_draws):
        with suppress(SelectionError):
            found.append(draw(settings.seed * 1000 + seed))
    return found
