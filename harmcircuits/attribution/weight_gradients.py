"""Sums of weight gradients from what passes the linear layers: no parameter gets a `.grad`.

For a linear layer y = W x at every position, with g = ∂L/∂y, an example's gradient is

    ∂L/∂W = Σ over positions of g xᵀ        [out, in].

`signed` sums take one product gᵀx over all positions of a batch. `absolute` sums need each example's own gradient: a batched
product over its own tokens, in blocks of rows of W that stay in the cache until their absolute values have been added.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..data import Batch
from ..models.matrices import Matrix
from ..models.protocol import ModelError

_BLOCK = 2**23
"""Bytes of the gradients of a block of rows on a CPU: within its cache. A GPU takes 32 times as much."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Running sums over examples, by matrix name, float32 [out, in]; a kind that is not wanted is empty."""

    signed: dict[str, Float[Tensor, "out in"]]
    """Σ_n ∂L_n/∂W."""
    absolute: dict[str, Float[Tensor, "out in"]]
    """Σ_n |∂L_n/∂W|."""


def empty_sums(block: Sequence[Matrix], *, signed: bool, absolute: bool) -> Sums:
    """Return zeros beside each matrix."""
    zeros = lambda: {own.name: torch.zeros(own.shape, dtype=torch.float32, device=own.parameter.device) for own in block}
    return Sums(zeros() if signed else {}, zeros() if absolute else {})


@contextmanager
def accumulate(block: Sequence[Matrix], batch: Batch, sums: Sums) -> Iterator[dict[str, Bool[Tensor, " b"]]]:
    """Inside, run the model on `batch` once and send a gradient back: the gradients of `block` are added to `sums`.

    Yields whether they are numbers, by matrix name and row.

    Raises:
        ModelError: on leaving, where a matrix was not used in the forward pass, or more than once.
    """
    n = len(batch.attention_mask)
    inputs: dict[str, Tensor] = {}
    finite = {own.name: torch.ones(n, dtype=torch.bool, device=own.parameter.device) for own in block}
    used: list[str] = []

    def read(matrix: Matrix, x: Tensor) -> None:
        inputs[matrix.name] = x.detach()

    def wrote(matrix: Matrix, y: Tensor) -> None:
        used.append(matrix.name)
        if y.requires_grad:
            y.register_hook(partial(add, matrix, inputs.pop(matrix.name)))

    def add(matrix: Matrix, x: Tensor, g: Tensor) -> None:
        x, g = (part.detach().reshape(n, -1, size) for part, size in ((x, matrix.shape[1]), (g, matrix.shape[0])))
        finite[matrix.name] = g.sum((1, 2)).isfinite()
        _add(sums, matrix.name, x, g)

    with ExitStack() as handles:
        for matrix in block:
            handles.callback(matrix.source.listen(partial(read, matrix)).remove)
            handles.callback(matrix.sink.listen(partial(wrote, matrix)).remove)
        yield finite
    wrong = next((matrix.name for matrix in block if used.count(matrix.name) != 1), None)
    if wrong is not None:
        raise ModelError(
            f"{wrong} was used {used.count(wrong)} times in one forward pass: weights can only be scored where the model "
            "computes with them exactly once."
        )


def _add(sums: Sums, name: str, x: Float[Tensor, "b pos in"], g: Float[Tensor, "b pos out"]) -> None:
    signed, absolute = sums.signed.get(name), sums.absolute.get(name)
    x, g = x.float(), g.float()
    if absolute is None:
        if signed is not None:
            signed.addmm_(g.flatten(0, 1).T, x.flatten(0, 1))
        return
    rows = max(16, (_BLOCK if x.device.type == "cpu" else 32 * _BLOCK) // (4 * len(x) * x.shape[2]))
    for start in range(0, len(absolute), rows):
        gradients = torch.bmm(g[:, :, start : start + rows].mT, x)
        if signed is not None:
            signed[start : start + rows] += gradients.sum(0)
        absolute[start : start + rows] += gradients.abs_().sum(0)
