"""Ablation of single weights: changed in place, undone from a record of (index, old value), which is as small as the mask."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..circuits import WeightMask
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel

_IN_FORCE = "_harmcircuits_masks_in_force"


@contextmanager
def weights_scaled(model: HookedModel, mask: WeightMask, *, factor: float = 0.0) -> Iterator[HookedModel]:
    """Inside, the weights of `mask` are `factor` times what they were; outside they have every bit that they had, also after
    an exception.

    Contexts nest: the inner one finds what the outer one has made, and puts that back.

    Raises:
        MaskError: a matrix that the model does not have, or of another shape; nothing is changed then.
    """
    mask.check(model)
    outer = masks_in_force(model)
    undo: list[tuple[Matrix, Tensor, Tensor]] = []
    try:
        setattr(model, _IN_FORCE, outer + 1)
        for matrix in matrices(model):
            if matrix.name in mask.indices:
                flat = mask.indices[matrix.name].to(matrix.parameter.device)
                undo.append((matrix, flat, matrix.read(flat)))
                matrix.write(flat, factor * undo[-1][2] if factor else torch.zeros(()))
        yield model
    finally:
        for matrix, flat, old in reversed(undo):
            matrix.write(flat, old)
        setattr(model, _IN_FORCE, outer)


def masks_in_force(model: HookedModel) -> int:
    """How many masks the weights of `model` are under, now."""
    return int(getattr(model, _IN_FORCE, 0))
