"""Ablation: circuits by hooks, which leave the parameters alone; weight masks in place, with an exact undo.

What becomes of an activation a, at every position of every row:

    zero     0
    scale    α · a
    mean     the mean of a over all positions of the reference examples: a vector for a head, a number for a neuron

A weight becomes 0 (zero) or α times what it was (scale). Rows, positions and steps of decoding stay independent.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial, reduce
from math import isfinite
from operator import or_
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from .. import store
from ..circuits import Circuit, WeightMask
from ..data import Example, batched, example_rows, make_batch
from ..errors import HarmcircuitsError
from ..models.forward import logits_at
from ..models.matrices import Matrix, matrices
from ..models.protocol import Hook, HookedModel

Ablation = Circuit | WeightMask | None
"""What is ablated; None: nothing."""
Method = Literal["zero", "scale", "mean"]
BASELINE = "baseline"
_MASKS = "_harmcircuits_masks_in_force"


@contextmanager
def ablated(
    model: HookedModel,
    circuit: Ablation | Sequence[Ablation],
    *,
    method: Method = "zero",
    alpha: float | None = None,
    reference: Sequence[Example] | None = None,
) -> Iterator[HookedModel]:
    """Inside, every component of `circuit` is ablated; outside, the model is as it was, also after an exception.

        with hc.ablated(model, [circuit, mask], method="scale", alpha=0.5): ...
        with hc.ablated(model, circuit, method="mean", reference=benign): ...

    Contexts nest: the union is ablated. Your own hooks stay; those added later see the ablated activations. A `WeightMask`
    changes the weights themselves, which get every bit back; use gradients of these weights inside.

    Args:
        circuit: a `Circuit`, a `WeightMask`, None, or a list of them, whose union is ablated.
        method: see the module; "mean" is for activations alone.
        alpha: the factor of "scale": 0 is "zero", 1 leaves every bit as it is.
        reference: examples of "mean", read when the context is entered.

    Raises:
        HarmcircuitsError: an unknown method, or one without what it needs; a component that the model does not have; a matrix
            that the model does not have, or of another shape; a layer without `hook_z` or `hook_post`.
    """
    check_method(method, alpha=alpha, reference=reference)
    parts = parts_of(circuit)
    union = reduce(or_, (part for part in parts if isinstance(part, Circuit)), Circuit())
    masks = [part for part in parts if isinstance(part, WeightMask)]
    if masks and method == "mean":
        raise HarmcircuitsError("method='mean' is for activations: a weight can be set to zero or scaled")
    if method == "mean":
        hooks = _mean_hooks(model, union, reference or ())
    else:
        hooks = union.hooks(model) if method == "zero" else _scale_hooks(model, union, float(alpha or 0.0))
    weights = _weights_scaled(model, reduce(or_, masks), alpha or 0.0) if masks else nullcontext()
    with weights, model.hooks(fwd_hooks=hooks) if hooks else nullcontext():
        yield model


@dataclass(frozen=True, eq=False)
class Condition:
    """An ablation by name; without one, the baseline.

    Attributes:
        name: what tables call it.
        ablation: heads and neurons, single weights, or None.
        method: "zero" or "scale".
        alpha: the factor of "scale".
        labels: where it comes from, such as `{"component": "heads", "control": "random"}`.

    >>> Condition("heads", Circuit(heads=[(0, 1)])).size
    1
    """

    name: str
    ablation: Ablation = None
    method: Method = "zero"
    alpha: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Heads, neurons or weights that are ablated."""
        return 0 if self.ablation is None else len(self.ablation)

    @property
    def key(self) -> str:
        """A digest of what is ablated and how; names and labels are no part of it."""
        if self.size == 0:
            return BASELINE
        if isinstance(self.ablation, Circuit):
            return store.digest([self.ablation.heads, self.ablation.neurons, self.method, self.alpha])
        assert isinstance(self.ablation, WeightMask)
        total = hashlib.sha256(str((self.method, self.alpha, sorted(self.ablation.shapes.items()))).encode())
        for name, indices in sorted(self.ablation.indices.items()):
            total.update(f"{name} ".encode() + indices.numpy().tobytes())
        return total.hexdigest()

    def ablated(self, model: HookedModel) -> AbstractContextManager[HookedModel]:
        """Return the context in which this condition's components are ablated."""
        return ablated(model, self.ablation, method=self.method, alpha=self.alpha)


def check_method(method: str, *, alpha: float | None = None, reference: Sequence[Example] | None = None) -> None:
    """Raise HarmcircuitsError unless `method` has the options that it needs, and no other."""
    if method not in get_args(Method):
        raise HarmcircuitsError(f"method {method!r} is unknown: choose one of {', '.join(get_args(Method))}")
    if (method == "scale") != (isinstance(alpha, int | float) and isfinite(alpha)) or (method != "scale" and alpha is not None):
        raise HarmcircuitsError(
            f"alpha={alpha!r} with method={method!r}: method='scale' takes a finite number, the others none"
        )
    if (method == "mean") != bool(reference):
        raise HarmcircuitsError(
            f"method={method!r}: method='mean' takes reference=, a list of examples (hc.elicit), the others none"
        )


def parts_of(circuit: Ablation | Sequence[Ablation]) -> list[Ablation]:
    """Return one ablation, or a sequence of them, as a list. Raises HarmcircuitsError for anything else."""
    parts: list[Any] = list(circuit) if isinstance(circuit, list | tuple) else [circuit]
    if other := [type(part).__name__ for part in parts if not isinstance(part, Circuit | WeightMask | None)]:
        raise HarmcircuitsError(f"an ablation is a Circuit, a WeightMask, None, or a list of them, not a {other[0]}")
    return parts


def _scale_hooks(model: HookedModel, circuit: Circuit, alpha: float) -> list[Hook]:
    def scale(dim: int, indices: list[int], activation: Float[Tensor, "..."], hook: object) -> Float[Tensor, "..."]:
        index = torch.tensor(indices, device=activation.device)
        return activation.index_copy(dim, index, alpha * activation.index_select(dim, index))

    circuit.check(model)
    return [(name, partial(scale, dim, indices)) for name, dim, indices in circuit.places()]


@torch.no_grad()
def _mean_hooks(model: HookedModel, circuit: Circuit, reference: Sequence[Example]) -> list[Hook]:
    """Hooks that put in means, which are summed in float64: the mean of a constant is that constant."""
    circuit.check(model)
    rows, sums = example_rows(model, reference), dict[str, Tensor]()
    real = torch.empty(0)

    def add(name: str, dim: int, indices: list[int], activation: Float[Tensor, "b pos ..."], hook: object) -> Tensor:
        chosen = activation.index_select(dim, torch.tensor(indices, device=activation.device))
        sums[name] = sums.get(name, 0) + chosen[real.to(chosen.device)].double().sum(0)
        return activation

    def replace(name: str, dim: int, indices: list[int], activation: Float[Tensor, "..."], hook: object) -> Tensor:
        index, mean = torch.tensor(indices, device=activation.device), (sums[name] / total).to(activation)
        return activation.index_copy(dim, index, mean.expand_as(activation.index_select(dim, index)))

    for indices in batched(rows, batch_size=16):
        batch = make_batch(model, [rows[index] for index in indices])
        real = batch.attention_mask.bool()
        with model.hooks(fwd_hooks=[(place[0], partial(add, *place)) for place in circuit.places()]):
            logits_at(model, batch.tokens, batch.attention_mask, batch.positions[:1])
    total = sum(map(len, rows))
    return [(place[0], partial(replace, *place)) for place in circuit.places()]


@contextmanager
def _weights_scaled(model: HookedModel, mask: WeightMask, factor: float) -> Iterator[None]:
    """Multiply the weights of `mask` by `factor`; the undo is a record of old values.

    HarmcircuitsError: before anything is changed.
    """
    mask.check(model)
    outer = masks_in_force(model)
    undo: list[tuple[Matrix, Tensor, Tensor]] = []
    try:
        setattr(model, _MASKS, outer + 1)
        for matrix in matrices(model):
            if matrix.name in mask.indices:
                flat = mask.indices[matrix.name].to(matrix.parameter.device)
                undo.append((matrix, flat, matrix.read(flat)))
                matrix.write(flat, factor * undo[-1][2] if factor else torch.zeros(()))
        yield
    finally:
        interrupt: KeyboardInterrupt | None = None
        while undo or masks_in_force(model) > outer:
            try:
                while undo:
                    matrix, flat, old = undo[-1]
                    matrix.write(flat, old)
                    undo.pop()
                setattr(model, _MASKS, outer)
            except KeyboardInterrupt as error:  # the weights first: a model that stayed ablated would tell nobody
                interrupt = error
        if interrupt is not None:
            raise interrupt


def masks_in_force(model: HookedModel) -> int:
    return int(getattr(model, _MASKS, 0))
