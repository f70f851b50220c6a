"""Weights changed in place while a context lasts; afterwards every bit is what it was, also after an interrupt."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..circuits import WeightMask
from ..models.checkpoint import Checkpoint
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel

_MASKS = "_harmcircuits_masks_in_force"


@contextmanager
def weights_scaled(model: HookedModel, mask: WeightMask, factor: float) -> Iterator[None]:
    """Multiply the weights of `mask` by `factor`; the undo is a record of old values."""
    mask.check(model)
    changed: list[tuple[Matrix, Tensor, Tensor]] = []

    def restore() -> None:
        for matrix, flat, old in changed:
            matrix.write(flat, old)

    with _undone(model, restore):
        for matrix in matrices(model):
            if matrix.name in mask.indices:
                flat = mask.indices[matrix.name].to(matrix.parameter.device)
                changed.append((matrix, flat, matrix.read(flat)))
                matrix.write(flat, factor * changed[-1][2] if factor else torch.zeros(()))
        yield


@contextmanager
def weights_replaced(model: HookedModel, checkpoint: Checkpoint) -> Iterator[None]:
    """Let every parameter point to the checkpoint's values; its own stay where they are."""
    checkpoint.check(model)
    replaced = [(parameter, parameter.data, checkpoint.weights[name]) for name, parameter in model.named_parameters()]

    def restore() -> None:
        for parameter, old, _ in replaced:
            parameter.data = old

    with _undone(model, restore):
        for parameter, _, new in replaced:
            parameter.data = new.to(parameter.device)
        yield


@contextmanager
def _undone(model: HookedModel, restore: Callable[[], None]) -> Iterator[None]:
    """Call `restore` in the end, again after an interrupt: a model that stayed changed would tell nobody."""
    outer = masks_in_force(model)
    try:
        setattr(model, _MASKS, outer + 1)
        yield
    finally:
        interrupt: KeyboardInterrupt | None = None
        while masks_in_force(model) > outer:
            try:
                restore()
                setattr(model, _MASKS, outer)
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def masks_in_force(model: HookedModel) -> int:
    """How many masks and checkpoints have changed the model's weights."""
    return int(getattr(model, _MASKS, 0))
