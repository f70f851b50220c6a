"""Ablation: circuits by hooks, which change nothing of the model; masks of weights in place, with an exact undo."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from operator import or_
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..circuits import Circuit, WeightMask, by_layer
from ..data import Example
from ..models.protocol import Hook, HookedModel, head_hook, neuron_hook
from .changes import ZERO, AblationError, Change, Method, change_of, changes_of, check_method
from .rows import row_hooks
from .weights import weights_scaled

Ablation = Circuit | WeightMask | None
"""What is switched off; None: nothing."""


@contextmanager
def ablated(
    model: HookedModel,
    circuit: Ablation | Sequence[Ablation],
    *,
    method: Method = "zero",
    alpha: float | None = None,
    reference: Sequence[Example] | None = None,
    seed: int = 0,
    rows: Sequence[int | None] | None = None,
) -> Iterator[HookedModel]:
    """Inside, every component of `circuit` is off; outside, the model is as it was, also after an exception.

        with hc.ablated(model, circuit): ...
        with hc.ablated(model, [circuit, mask], method="scale", alpha=0.5): ...
        with hc.ablated(model, circuit, method="mean", reference=benign): ...
        with hc.ablated(model, [one, other], rows=[0, 1, None]): model(three_rows)

    Contexts nest (the union is off), your own hooks stay and see the ablated activations if they were added later. With a
    `Circuit` no parameter is touched. With a `WeightMask` the weights themselves change inside, and afterwards have every bit
    that they had; a graph with gradients of these weights has to be made and used inside. `None` ablates nothing, so that
    conditions can be looped over.

    Args:
        circuit: heads and neurons (`Circuit`), single weights (`WeightMask`), or several of them, whose union is off.
        method: what becomes of an activation a, at every position; of weights, "zero" and "scale" alone.

            - "zero": 0.
            - "scale": `alpha` · a. 0 is "zero", 1 leaves every bit as it is. A component and weights that read it are scaled
              each, where a circuit and a mask name both.
            - "mean": the mean of a over all positions of `reference`, read when the context is entered.
            - "resample": a at one position of `reference`, drawn at random with `seed`, the same for the whole circuit. Over
              seeds its mean is the one of "mean".
        alpha: the factor of "scale"; a number.
        reference: examples for "mean" and "resample".
        seed: of "resample".
        rows: for each row of the batch the number of its own circuit in the list `circuit`, from 0; None: the row stays intact.
            The batches that you then run must have as many rows, also while decoding.

    Raises:
        AblationError: an unknown method, or one without what it needs; rows and circuits that do not belong together.
        CircuitError: a component that the model does not have.
        MaskError: a matrix that the model does not have, or of another shape.
        ModelError: a layer without `hook_z` or `hook_post`.
        RowsError: in the pass: a batch of another number of rows.
    """
    check_method(method, alpha=alpha, reference=reference)
    parts = parts_of(circuit)
    masks = [part for part in parts if isinstance(part, WeightMask)]
    how: dict[str, Any] = {"method": method, "alpha": alpha, "reference": reference, "seed": seed}
    if rows is not None:
        own = _by_rows(parts, rows)
        hooks = row_hooks(model, own, changes_of(model, [part or Circuit() for part in own], **how))
    else:
        union = reduce(or_, (part for part in parts if isinstance(part, Circuit)), Circuit())
        hooks = change_hooks(model, union, change_of(model, union, **how))
    if masks and method not in ("zero", "scale"):
        raise AblationError(f"method={method!r} is for activations: a weight can be set to zero or scaled")
    with ExitStack() as stack:
        if masks:
            stack.enter_context(weights_scaled(model, reduce(or_, masks), factor=alpha or 0.0))
        if hooks:
            stack.enter_context(model.hooks(fwd_hooks=hooks))
        yield model


def parts_of(circuit: Ablation | Sequence[Ablation]) -> list[Ablation]:
    """One ablation, or a list of them, as a list.

    Raises:
        AblationError: something else, which would otherwise ablate nothing.
    """
    parts: list[Any] = list(circuit) if isinstance(circuit, list | tuple) else [circuit]
    for part in parts:
        if part is not None and not isinstance(part, Circuit | WeightMask):
            raise AblationError(
                f"an ablation is a Circuit, a WeightMask, None, or a list of them, not a {type(part).__name__}: load a file "
                "with Circuit.load or WeightMask.load"
            )
    return parts


def _by_rows(parts: Sequence[Ablation], rows: Sequence[int | None]) -> list[Circuit | None]:
    """The circuit of each row."""
    circuits: list[Circuit | None] = []
    for part in parts:
        if isinstance(part, WeightMask):
            raise AblationError("all rows of a batch share the weights: rows= takes circuits. Ablate masks one after the other")
        circuits.append(part)
    wrong = [row for row in rows if row is not None and not 0 <= row < len(circuits)]
    if wrong:
        raise AblationError(f"rows= names circuit {wrong[0]}, and there are {len(circuits)}, counted from 0")
    return [None if row is None else circuits[row] for row in rows]


def change_hooks(model: HookedModel, circuit: Circuit, change: Change = ZERO) -> list[Hook]:
    """`[(name, function)]` under which every component of `circuit` is changed, at every position of every row.

    Other activations keep every bit, and so do the changed ones under a scale of 1.

    Raises:
        CircuitError: a component that the model does not have.
        ModelError: a layer without the hook point.
    """
    if change is ZERO:
        return list(circuit.hooks(model))
    circuit.check(model)
    hooks: list[Hook] = []
    for kind, items, name_of, dim in (("heads", circuit.heads, head_hook, -2), ("neurons", circuit.neurons, neuron_hook, -1)):
        values, start = change.values(kind), 0
        for layer, indices in by_layer(items).items():
            own = None if values is None else values[start : start + len(indices)]
            hooks.append((name_of(layer), partial(_changed, dim, indices, change.factor, own)))
            start += len(indices)
    return hooks


def _changed(
    dim: int, indices: Sequence[int], factor: float, values: Tensor | None, activation: Float[Tensor, "..."], hook: object
) -> Float[Tensor, "..."]:
    """Out of place: the graph of the intact activation stays valid."""
    at = torch.tensor(indices, device=activation.device)
    old = activation.index_select(dim, at)
    return activation.index_copy(dim, at, factor * old if values is None else values.to(old).expand_as(old))
