"""The null distributions of selectivity: other circuits of the same make, on a subset of the test triples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from ..ablation.hooks import ablated
from ..components import Circuit
from ..examples import Example, example_rows, row_losses
from ..models.protocol import HookedModel
from ..selection.matched import balance
from ..selection.protected import SelectionError
from ..selection.swapped import label_swapped
from ..statistics import Estimate, p_value, paired_difference
from ..store import StoreError
from ..store.tensors import read_tensors, save_tensors
from .controls import matched
from .scores import Scores
from .settings import Settings

FORMAT = "harmcircuits nulls 2"
KINDS = ("matched-random", "label-swap")


@dataclass(frozen=True, eq=False)
class Nulls:
    """Rises of L by draw and triple, harmful and near: `rises[kind]` is [draw, triple, 2]; `observed` is the circuit's own.

    `balance`: how like the circuit its matched random draws are (`selection.matched.balance`).
    """

    observed: Float[np.ndarray, "triple 2"]
    rises: dict[str, Float[np.ndarray, "draw triple 2"]]
    balance: dict[str, Any] = field(default_factory=dict)

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
        arrays = {"observed": self.observed, **{f"rises {kind}": rises for kind, rises in self.rises.items()}}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        save_tensors(path, tensors, format=FORMAT, about=self.balance)

    @classmethod
    def load(cls, path: Path) -> "Nulls":
        """Reads what `save` wrote. Raises StoreError for a damaged file, or another one."""
        tensors, balance = read_tensors(path, format=FORMAT, what="nulls")
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        if "observed" not in arrays:
            raise StoreError(f"{path} holds no rises of the circuit itself. Run the measurement again.")
        rises = {kind: arrays[f"rises {kind}"] for kind in KINDS if f"rises {kind}" in arrays}
        return cls(arrays["observed"], rises, balance)

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
    progress: bool = False,
) -> Nulls:
    """Rises of L under `circuit` and under `null_draws` draws of each null, on `null_triples` test triples.

    `examples` lie as `respond` gives them; the first `null_triples` triples are read, harmful and near.
    """
    chosen = [example for at, example in enumerate(examples[: 3 * settings.null_triples]) if at % 3 < 2]
    rows = example_rows(model, chosen)

    def losses(ablation: Circuit | None) -> Float[np.ndarray, "triple 2"]:
        with ablated(model, ablation):
            return row_losses(model, rows, batch_size=12).numpy().astype(float).reshape(-1, 2)

    intact = losses(None)
    rises: dict[str, Float[np.ndarray, "draw triple 2"]] = {}
    drawn: dict[str, list[Circuit]] = {kind: [] for kind in KINDS}
    with tqdm(total=len(KINDS) * settings.null_draws, desc="nulls", unit="circuit", disable=not progress) as bar:
        for kind, draw in null_circuits(circuit, scores, settings).items():
            found = []
            for seed in range(settings.null_draws):
                try:
                    drawn[kind].append(draw(settings.seed * 1000 + seed))
                    found.append(losses(drawn[kind][-1]) - intact)
                except SelectionError:  # a swapped label can leave too few eligible heads: fewer draws, counted
                    continue
                finally:
                    bar.update()
            rises[kind] = np.stack(found) if found else np.empty((0, *intact.shape))
    alike = drawn["matched-random"]
    return Nulls(
        losses(circuit) - intact, rises, balance(circuit, alike, scores.harmful, protect=scores.benign) if alike else {}
    )
