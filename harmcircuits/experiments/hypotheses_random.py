"""Sufficiency: how large must random circuits be to do as much as this one?

Rise of L and selectivity under random circuits of 1, 2, 4, 8, … times the circuit's size, of its kinds and layers; under random
masks of so many times its weights in each matrix for a mask. Nats per token; positive: the ablation hurts.

Source: the sufficiency test of Shi et al. 2024, there of circuits that are kept while all else is off.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf, prod
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from ..ablation.hooks import ablated
from ..ablation.sweep import sweep
from ..components import Circuit, Component, WeightMask
from ..examples import Example, loss
from ..models.protocol import HookedModel, geometry
from ..statistics import p_value

Rises = Float[np.ndarray, "draw triple 2"]
MEASURES = ("rise", "selectivity")
ENOUGH = 0.5
"""The share of random circuits that do as much, at which none larger are drawn."""
COLUMNS = ["multiple", "measure", "heads", "neurons", "weights", "draws", "value", "low", "high", "as_much", "p", "reason"]


def sufficiency(
    model: HookedModel,
    circuit: Circuit | WeightMask,
    twins: Sequence[Example],
    *,
    draws: int = 39,
    seed: int = 0,
    progress: bool = False,
) -> tuple[Float[np.ndarray, "triple 2"], pd.DataFrame]:
    """The circuit's own rises by triple, harmful and near; and random circuits of growing size: `COLUMNS`.

    One row a multiple and measure: `value` is the mean over draws, `low` and `high` hold their middle 95 %, `as_much` is the
    share of draws that reach the circuit's own value, and `p` = (1 + their number) / (1 + draws), null with the `reason` for
    fewer than 39 draws.

    Sizes double until at least half of the random circuits raise L of harmful responses as much as the circuit does, or until
    all is off. Larger ones would do more damage in all than the circuit, so that comparing what it is aimed at says nothing.

    Args:
        twins: examples: harmful, near, harmful, …
        draws: random circuits of each size; one where all is off, since they are all the same.
    """
    intact = _losses(model, iter([None]), twins)[0]
    own = _losses(model, iter([circuit]), twins)[0] - intact
    rows: list[dict[str, Any]] = []
    with tqdm(desc="random circuits", unit="circuit", disable=not progress) as bar:
        for multiple, of_size in multiples(model, circuit, draws):
            ablations = (random_ablation(model, circuit, multiple, seed=1000 * seed + at) for at in range(of_size))
            rises = _losses(model, ablations, twins) - intact
            found = [*_summary(own, rises, multiple, size_of(model, circuit, multiple))]
            rows += found
            bar.update(len(rises))
            if found[0]["as_much"] >= ENOUGH:
                break
    return own, pd.DataFrame(rows, columns=COLUMNS)


def multiples(model: HookedModel, circuit: Circuit | WeightMask, draws: int) -> Iterator[tuple[int, int]]:
    """Multiples of the circuit's size, doubled until all is off, and how many random circuits of each: `draws`, at last one."""
    multiple, all_off = 1, size_of(model, circuit, inf)
    while size_of(model, circuit, multiple) != all_off:
        yield multiple, draws
        multiple *= 2
    yield multiple, 1


def random_ablation(model: HookedModel, circuit: Circuit | WeightMask, multiple: int, *, seed: int) -> Circuit | WeightMask:
    """`multiple` times as many components, in the circuit's own layers in its own proportions; may overlap with it.

    Where a layer has no more, the rest is drawn from all other layers. Of a mask: `multiple` times its weights in each matrix,
    or the whole matrix.
    """
    if isinstance(circuit, WeightMask):
        random = np.random.default_rng([seed, multiple])
        draw = lambda size, n: torch.from_numpy(random.choice(size, min(n, size), replace=False, shuffle=False))
        sizes = {name: prod(circuit.shapes[name]) for name in circuit.indices}
        indices = {name: draw(sizes[name], multiple * len(flat)) for name, flat in circuit.indices.items()}
        return WeightMask(indices=indices, shapes=circuit.shapes)
    shape, chooser = geometry(model), Random(f"{multiple} times {seed}")
    grown = lambda items, size: _grown(items, multiple, shape.n_layers, size, chooser)
    return Circuit(heads=grown(circuit.heads, shape.n_heads), neurons=grown(circuit.neurons, shape.d_mlp))


def size_of(model: HookedModel, circuit: Circuit | WeightMask, multiple: float = 1) -> dict[str, int]:
    """Heads, neurons and single weights of a random circuit of `multiple` times the size; infinity: all that there are of the
    circuit's kinds, or in the matrices of a mask."""
    if isinstance(circuit, WeightMask):
        weights = sum(min(multiple * len(flat), prod(circuit.shapes[name])) for name, flat in circuit.indices.items())
        return {"heads": 0, "neurons": 0, "weights": int(weights)}
    shape = geometry(model)
    of = lambda items, size: int(min(multiple * len(items), shape.n_layers * size)) if items else 0
    return {"heads": of(circuit.heads, shape.n_heads), "neurons": of(circuit.neurons, shape.d_mlp), "weights": 0}


def _grown(items: Sequence[Component], multiple: int, n_layers: int, size: int, random: Random) -> list[Component]:
    wanted = {layer: min(size, multiple * n) for layer, n in Counter(layer for layer, _ in items).items()}
    drawn = [(layer, index) for layer, n in sorted(wanted.items()) for index in random.sample(range(size), n)]
    spilt = min(multiple * len(items), n_layers * size) - len(drawn)
    if not spilt:
        return drawn
    left = sorted({(layer, index) for layer in range(n_layers) for index in range(size)} - {*drawn})
    return drawn + random.sample(left, spilt)


def _losses(
    model: HookedModel, ablations: Iterator[Circuit | WeightMask | None], twins: Sequence[Example]
) -> Float[np.ndarray, "ablation triple 2"]:
    """L under each; masks one at a time, made when their turn comes: many at once would not fit into memory."""
    found: list[np.ndarray] = []
    circuits: list[Circuit | None] = []
    for ablation in ablations:
        if isinstance(ablation, WeightMask):
            with ablated(model, ablation):
                found.append(loss(model, twins).numpy())
        else:
            circuits.append(ablation)
    losses = sweep(model, circuits, twins).numpy() if circuits else np.stack(found)
    return losses.astype(float).reshape(len(losses), -1, 2)


def _summary(own: Float[np.ndarray, "triple 2"], rises: Rises, multiple: int, size: dict[str, int]) -> Iterator[dict[str, Any]]:
    for measure in MEASURES:
        observed, values = by_triple(own, measure).mean(-1), by_triple(rises, measure).mean(-1)
        p = p_value(float(observed), values)
        low, high = np.quantile(values, [0.025, 0.975])
        yield {
            "multiple": multiple,
            "measure": measure,
            **size,
            "draws": len(values),
            "value": float(values.mean()),
            "low": float(low),
            "high": float(high),
            "as_much": float((values >= observed).mean()),
            "p": p.value,
            "reason": p.reason,
        }


def by_triple(rises: Float[np.ndarray, "... triple 2"], measure: str) -> Float[np.ndarray, "... triple"]:
    """The rise on harmful responses, or that minus the one on near twins."""
    return rises[..., 0] if measure == "rise" else rises[..., 0] - rises[..., 1]
