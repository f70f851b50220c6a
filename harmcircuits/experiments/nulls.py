"""The null distributions of selectivity: other circuits of the same make, on a subset of the test triples."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from ..ablation.hooks import Ablation
from ..components import Circuit
from ..examples import Example
from ..models.protocol import HookedModel
from ..notebook import clipped
from ..selection.protected import SelectionError
from ..selection.swapped import label_swapped
from ..statistics import Estimate, p_value, paired_difference
from ..store import StoreError
from ..store.tensors import read_tensors, save_tensors
from ..tasks.teacher_forced import INTACT, teacher_forced
from .controls import matched
from .kept import Kept
from .names import name_of
from .scores import Scores
from .settings import Settings

FORMAT = "harmcircuits nulls 4"
KINDS = ("matched-random", "label-swap")
AT_ONCE = 32
"""Draws of one call: no more than these are lost when a run is stopped, and the intact model is read again with each."""


@dataclass(frozen=True, eq=False)
class Nulls:
    """Rises of L by draw and triple, harmful and near: `rises[kind]` is [draw, triple, 2]; `observed` is the circuit's own."""

    observed: Float[np.ndarray, "triple 2"]
    rises: dict[str, Float[np.ndarray, "draw triple 2"]]

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
        arrays = {"observed": self.observed} | {f"rises {kind}": rises for kind, rises in self.rises.items()}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        save_tensors(path, tensors, format=FORMAT, about={})

    @classmethod
    def load(cls, path: Path) -> "Nulls":
        """Reads what `save` wrote. Raises StoreError for a damaged file, or another one."""
        tensors, _ = read_tensors(path, format=FORMAT, what="nulls")
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        if "observed" not in arrays:
            raise StoreError(f"{path} holds no rises of the circuit itself. Run the measurement again.")
        return cls(arrays["observed"], {kind: arrays[f"rises {kind}"] for kind in KINDS if f"rises {kind}" in arrays})

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
    kept: Kept | None = None,
    progress: bool = False,
) -> Nulls:
    """Rises of L under `circuit` and under `null_draws` draws of each null.

    `examples` lie as `respond` gives them; the first `null_triples` triples are read, harmful and near. What is
    `kept` from before is not read again.
    """
    chosen = [example for at, example in enumerate(examples[: 3 * settings.null_triples]) if at % 3 < 2]
    drawn = {kind: _draws(draw, settings) for kind, draw in null_circuits(circuit, scores, settings).items()}
    conditions: dict[str, Ablation] = {INTACT: None, "observed": circuit}
    conditions |= {f"{kind} {at}": own for kind, circuits in drawn.items() for at, own in enumerate(circuits)}
    rise = _rises(model, chosen, conditions, kept or Kept(), progress)
    n = len(chosen) // 2
    rises = {kind: np.array([rise[f"{kind} {at}"] for at in range(len(own))]) for kind, own in drawn.items()}
    return Nulls(rise["observed"], {kind: own.reshape(-1, n, 2) for kind, own in rises.items()})


def _rises(
    model: HookedModel, examples: Sequence[Example], conditions: Mapping[str, Ablation], kept: Kept, progress: bool
) -> dict[str, Float[np.ndarray, "triple role"]]:
    """What each condition adds to L."""
    names = [name for name in conditions if name != INTACT]
    frames: list[pd.DataFrame] = []
    for start in range(0, len(names), AT_ONCE):
        every: dict[str, Ablation] = {
            INTACT: None,
            **{name: conditions[name] for name in names[start : start + AT_ONCE]},
        }
        make = partial(teacher_forced, model, examples, every, kl=False, progress=progress)
        found = kept.frame("nulls", [[name, name_of(condition)] for name, condition in every.items()], make)
        frames.append(found[found["condition"] != INTACT] if frames else found)
    frame = pd.concat(frames, ignore_index=True)
    read = {str(name): rows["nll"].to_numpy(dtype=float).reshape(-1, 2) for name, rows in frame.groupby("condition")}
    return {name: values - read[INTACT] for name, values in read.items()}


def _draws(draw: Callable[[int], Circuit], settings: Settings) -> list[Circuit]:
    """As many as `null_draws`; fewer, and counted, where a swapped label leaves too few eligible heads."""
    found = []
    for seed in range(settings.null_draws):
        with suppress(SelectionError):
            found.append(draw(settings.seed * 1000 + seed))
    return found
