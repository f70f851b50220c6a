"""Many circuits in one batch: row r of it sees its own circuit off, and nothing of the others'.

    row_hooks     one row for each circuit, all of them there from the embedding on
    grown_hooks   one row comes in, and those of a circuit join it at the lowest layer where it is ablated: what lies below is
                  the intact model and the same for all, and is computed once

Ablation is at every position of the pass (one, while decoding): heads at `hook_z`, neurons at `hook_post`, to zero or as a
`Change` of each circuit says. Only layers in which some row is ablated get a hook, and other activations keep every bit.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..circuits import Circuit
from ..models.protocol import Hook, HookedModel, alike, device_of, head_hook, neuron_hook
from .changes import ZERO, Change

Cut = tuple[int, int, float | Tensor]
"""(row, head or neuron within one layer, what its activation is multiplied by or replaced with)."""


class RowsError(ValueError):
    """Rows and circuits that do not belong together; the message says how."""


def row_hooks(model: HookedModel, circuits: Sequence[Circuit | None], changes: Sequence[Change] | None = None) -> list[Hook]:
    """`[(name, function)]` under which row r of a batch has `circuits[r]` off; None: that row stays intact.

    Args:
        changes: of each circuit, the same method for all (`changes.change_of`); None: zero.

    Raises:
        CircuitError: a component that the model does not have.
        ModelError: a layer without the hook point.
        RowsError: in the pass: it has not one row for each circuit.
    """
    return _cut_hooks(model, circuits, changes or [ZERO] * len(circuits), rows_at=lambda layer: len(circuits))


def grown_hooks(model: HookedModel, circuits: Sequence[Circuit], changes: Sequence[Change] | None = None) -> list[Hook]:
    """The same where the batch that comes in is one row, which stays intact and the first: row 1 + r has `circuits[r]` off.

    It grows at `hook_resid_pre`, so that everything that the layers get beside the residual stream (attention mask, rotary
    angles) has one row there, and must broadcast (see `rows_broadcast`).

    Raises:
        RowsError: circuits that are not in the order of their lowest layers.
        CircuitError, ModelError: see `row_hooks`.
    """
    lowest = [lowest_layer(circuit) for circuit in circuits]
    if lowest != sorted(lowest):
        raise RowsError("rows join from below: give the circuits in the order of the lowest layer of each")
    growth: list[Hook] = [(_input_hook(layer), partial(_grow, new)) for layer, new in Counter(lowest).items()]
    every = [ZERO, *(changes or [ZERO] * len(circuits))]
    return [*growth, *_cut_hooks(model, [None, *circuits], every, rows_at=lambda layer: 1 + bisect_right(lowest, layer))]


def lowest_layer(circuit: Circuit) -> int:
    """The lowest layer in which a circuit has a component."""
    return min(layer for layer, _ in (*circuit.heads, *circuit.neurons))


@torch.no_grad()
def rows_broadcast(model: HookedModel, tokens: Sequence[int]) -> bool:
    """Whether rows may join halfway up (`grown_hooks`): a row that joins there, with nothing off, must end like the first.

    It is tried, on a few of the `tokens`: attention that keeps something of its own for each row cannot take more of them.
    """
    layer = model.cfg.n_layers // 2
    few = torch.tensor([list(tokens[:4])], device=device_of(model))
    if _input_hook(layer) not in model.hook_dict:
        return False
    with model.hooks(fwd_hooks=[(_input_hook(layer), partial(_grow, 1))]):
        try:
            logits = model(few, attention_mask=torch.ones_like(few), return_type="logits")
        except RuntimeError:  # shapes that do not fit together: this is what was asked
            return False
    return len(logits) == 2 and alike(logits[0], logits[1])


def _cut_hooks(
    model: HookedModel, circuits: Sequence[Circuit | None], changes: Sequence[Change], *, rows_at: Callable[[int], int]
) -> list[Hook]:
    cuts: dict[tuple[int, str], list[Cut]] = {}
    for row, (circuit, change) in enumerate(zip(circuits, changes, strict=True)):
        if circuit is not None:
            circuit.check(model)
            for kind, items, name_of in (("heads", circuit.heads, head_hook), ("neurons", circuit.neurons, neuron_hook)):
                values = change.values(kind)
                for at, (layer, index) in enumerate(items):
                    new = change.factor if values is None else values[at]
                    cuts.setdefault((layer, name_of(layer)), []).append((row, index, new))
    return [(name, partial(_cut, own, rows_at(layer))) for (layer, name), own in cuts.items()]


def _input_hook(layer: int) -> str:
    return f"blocks.{layer}.hook_resid_pre"


def _grow(new: int, residual: Float[Tensor, "row pos d"], hook: object) -> Float[Tensor, "grown pos d"]:
    return torch.cat([residual, residual[:1].expand(new, -1, -1)])


def _cut(
    cuts: Sequence[Cut], n_rows: int, activation: Float[Tensor, "row pos ..."], hook: object
) -> Float[Tensor, "row pos ..."]:
    """Out of place: the graph of the intact activation stays valid."""
    if len(activation) != n_rows:
        raise RowsError(
            f"the batch has {len(activation)} rows and there are {n_rows} circuits: give one row for each (None: intact)"
        )
    rows, indices, new = zip(*cuts, strict=True)
    at = torch.tensor(rows, device=activation.device), slice(None), torch.tensor(indices, device=activation.device)
    changed = activation.clone()
    if isinstance(new[0], Tensor):
        changed[at] = torch.stack(new)[:, None].to(activation)  # one value for all positions
    elif any(new):
        factors = torch.tensor(new, device=activation.device, dtype=activation.dtype)
        changed[at] = activation[at] * factors.reshape(-1, *[1] * (activation.dim() - 2))
    else:
        changed[at] = 0
    return changed
