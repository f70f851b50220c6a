"""Sums of weight gradients from what passes the linear layers: no parameter gets a `.grad`.

For a linear layer y = W x at every position, with g = ∂L/∂y, an example's gradient is

    ∂L/∂W = Σ over positions of g xᵀ        [out, in].

`signed` sums take one product gᵀx over all positions of a batch. `absolute` sums need each example's own gradient: a product
over its own tokens, on a CPU in blocks of rows that stay in the cache until their absolute value has been added.
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

_BLOCK = 2**20
"""Bytes of a block of rows on a CPU: within the second-level cache."""


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
    lengths = batch.attention_mask.sum(1).tolist()
    inputs: dict[str, Tensor] = {}
    finite = {own.name: torch.ones(len(lengths), dtype=torch.bool, device=own.parameter.device) for own in block}
    used: list[str] = []

    def read(matrix: Matrix, x: Tensor) -> None:
        inputs[matrix.name] = x.detach()

    def wrote(matrix: Matrix, y: Tensor) -> None:
        used.append(matrix.name)
        if y.requires_grad:
            y.register_hook(partial(add, matrix, inputs.pop(matrix.name)))

    def add(matrix: Matrix, x: Tensor, g: Tensor) -> None:
        x, g = (part.detach().reshape(len(lengths), -1, size) for part, size in ((x, matrix.shape[1]), (g, matrix.shape[0])))
        finite[matrix.name] = g.sum((1, 2)).isfinite()
        _add(sums, matrix.name, x, g, lengths)

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


def _add(sums: Sums, name: str, x: Float[Tensor, "b pos in"], g: Float[Tensor, "b pos out"], lengths: Sequence[int]) -> None:
    signed, absolute = sums.signed.get(name), sums.absolute.get(name)
    if absolute is None:
        if signed is not None:
            signed.addmm_(g.flatten(0, 1).float().T, x.flatten(0, 1).float())
        return
    for row, length in enumerate(lengths):
        _add_example(signed, absolute, x[row, :length].float(), g[row, :length].float())


def _add_example(
    signed: Float[Tensor, "out in"] | None,
    absolute: Float[Tensor, "out in"],
    x: Float[Tensor, "pos in"],
    g: Float[Tensor, "pos out"],
) -> None:
    rows = len(absolute) if x.device.type != "cpu" else max(16, _BLOCK // (4 * x.shape[1]))
    for start in range(0, len(absolute), rows):
        gradient = g[:, start : start + rows].T @ x
        if signed is not None:
            signed[start : start + rows] += gradient
        absolute[start : start + rows] += gradient.abs_()
