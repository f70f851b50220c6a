"""Gradients of weights from what passes the linear layers: no parameter gets a `.grad`, and no example its own forward pass.

For y = W x at every position, with the output gradient g = ∂L/∂y,  ∂L/∂W = Σ over positions of g xᵀ  [out, in].
The sum over a batch is one product gᵀx over batch · positions. An example's own gradient is the product over its own tokens; on
a CPU it is made in blocks of rows that stay in the cache until their absolute value has been added.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..data import Batch
from ..models.matrices import Matrix
from ..models.protocol import HookedModel, ModelError, start_graph

_BLOCK = 2**20
"""Bytes of a block of rows on a CPU: within the second-level cache."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Running sums over examples, by matrix name, float32 [out, in]; a kind that is not asked for is empty."""

    signed: dict[str, Float[Tensor, "out in"]]
    """Σ_n ∂L_n/∂W."""
    absolute: dict[str, Float[Tensor, "out in"]]
    """Σ_n |∂L_n/∂W|."""


def empty_sums(block: Sequence[Matrix], *, signed: bool, absolute: bool, device: torch.device | str | None) -> Sums:
    """Zeros on `device`; None: each beside its matrix."""
    zeros = lambda wanted: {
        matrix.name: torch.zeros(matrix.shape, dtype=torch.float32, device=device or matrix.parameter.device)
        for matrix in block
        if wanted
    }
    return Sums(zeros(signed), zeros(absolute))


def add_gradients(
    model: HookedModel,
    block: Sequence[Matrix],
    batch: Batch,
    score: Callable[[Batch], Float[Tensor, " b"]],
    sums: Sums,
) -> Bool[Tensor, "matrix b"]:
    """Adds the gradients of `score(batch)` by each matrix of `block` to `sums`, from one forward and one backward pass.

    Returns:
        Whether they are numbers, for each matrix and row.

    Raises:
        ModelError: a matrix's layer does not compute in the forward pass, or does so more than once.
    """
    with _graph(model) as start, accumulate(block, batch, sums) as finite:
        total = score(batch).sum()  # rows don't interact: the gradient of the sum holds each one's own
        if total.requires_grad:  # otherwise it depends on none of them: gradients of 0
            torch.autograd.grad(total, start, allow_unused=True)
    return _on_cpu([finite[matrix.name] for matrix in block])


@contextmanager
def accumulate(block: Sequence[Matrix], batch: Batch, sums: Sums) -> Iterator[dict[str, Bool[Tensor, " b"]]]:
    """Inside, run the model on `batch` once and send a gradient back: the gradients of `block` are added to `sums`.

    Yields whether they are numbers, by matrix name and row.

    Raises:
        ModelError: on leaving, where a matrix's layer did not compute in the forward pass, or did so more than once.
    """
    lengths = batch.attention_mask.sum(1).tolist()
    inputs: dict[str, Tensor] = {}
    finite = {matrix.name: torch.ones(len(lengths), dtype=torch.bool) for matrix in block}
    called: list[str] = []

    def read(matrix: Matrix, x: Tensor) -> None:
        inputs[matrix.name] = x.detach()

    def wrote(matrix: Matrix, y: Tensor) -> None:
        called.append(matrix.name)
        if y.requires_grad:  # otherwise the score does not depend on it
            y.register_hook(partial(add, matrix, inputs.pop(matrix.name)))

    def add(matrix: Matrix, x: Tensor, g: Tensor) -> None:
        x, g = (
            tensor.detach().reshape(len(lengths), -1, size) for tensor, size in ((x, matrix.shape[1]), (g, matrix.shape[0]))
        )
        finite[matrix.name] = g.sum((1, 2)).isfinite()
        _add(sums, matrix.name, x, g, lengths)

    with _listening(block, read, wrote):
        yield finite
        _check_called(block, called)


@contextmanager
def _graph(model: HookedModel) -> Iterator[list[Tensor]]:
    """Gradients flow from the embedding on; the list holds it after the forward pass."""
    start: list[Tensor] = []

    def begin(residual: Tensor, hook: object) -> Tensor:
        start.append(start_graph(residual, hook))
        return start[-1]

    with torch.enable_grad(), model.hooks(fwd_hooks=[("hook_embed", begin)]):
        yield start


@contextmanager
def _listening(
    block: Sequence[Matrix], read: Callable[[Matrix, Tensor], None], wrote: Callable[[Matrix, Tensor], None]
) -> Iterator[None]:
    with ExitStack() as handles:
        for matrix in block:
            for tap, take in ((matrix.source, read), (matrix.sink, wrote)):
                handles.callback(tap.listen(partial(take, matrix)).remove)
        yield


def _on_cpu(rows: Sequence[Bool[Tensor, " b"]]) -> Bool[Tensor, "matrix b"]:
    """In one copy from each device, not one a row: each waits for all that the device still computes."""
    found = torch.empty(len(rows), len(rows[0]), dtype=torch.bool)
    for device in {row.device for row in rows}:
        own = [at for at, row in enumerate(rows) if row.device == device]
        found[own] = torch.stack([rows[at] for at in own]).cpu()
    return found


def _check_called(block: Sequence[Matrix], called: Sequence[str]) -> None:
    for matrix in block:
        times = called.count(matrix.name)
        if times != 1:
            raise ModelError(
                f"{matrix.name} was used {times} times in one forward pass: its weights can only be scored where the model "
                "computes with them exactly once. Does the metric run the model once, to the end?"
            )


def _add(sums: Sums, name: str, x: Float[Tensor, "b pos in"], g: Float[Tensor, "b pos out"], lengths: Sequence[int]) -> None:
    if name not in sums.absolute:
        _add_product(sums.signed[name], x.flatten(0, 1), g.flatten(0, 1))
        return
    for row, length in enumerate(lengths):  # the tokens of one example at a time
        _add_absolute(sums.absolute[name], sums.signed.get(name), x[row, :length].float(), g[row, :length].float())


def _add_product(total: Float[Tensor, "out in"], x: Float[Tensor, "row in"], g: Float[Tensor, "row out"]) -> None:
    x, g = x.float(), g.float()
    if x.device == total.device:
        total.addmm_(g.T, x)  # no product of its own is written
    else:
        total += (g.T @ x).to(total.device)


def _add_absolute(
    total: Float[Tensor, "out in"],
    signed: Float[Tensor, "out in"] | None,
    x: Float[Tensor, "pos in"],
    g: Float[Tensor, "pos out"],
) -> None:
    rows = len(total) if x.device.type != "cpu" else max(16, _BLOCK // (4 * x.shape[1]))
    for start in range(0, len(total), rows):
        part = (g[:, start : start + rows].T @ x).to(total.device)  # both float32
        if signed is not None:
            signed[start : start + rows] += part
        total[start : start + rows] += part.abs_()
