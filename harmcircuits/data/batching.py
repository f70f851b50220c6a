"""Padded batches of rows of tokens, the loss of responses, and batches that are halved when memory runs out.

    for indices, losses in map_batches(batched(rows, batch_size=8), read):
        all_losses[indices] = losses

The result of a row does not depend on its batch, beyond rounding.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from ..errors import HarmcircuitsError
from ..models.forward import logits_sharing_prefix
from ..models.protocol import HookedModel, check_finite, pad_id
from .examples import Example, Row, example_rows

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED")


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, and the target tokens, whose likelihood is read.

    Attributes:
        positions: flat indices (row · length + position) of the logits that predict the targets, row after row.
        targets: token ids, in the same order.
        row_of: the row of each.
    """

    tokens: Int[Tensor, "b pos"]
    attention_mask: Int[Tensor, "b pos"]
    positions: Int[Tensor, " target"]
    targets: Int[Tensor, " target"]
    row_of: Int[Tensor, " target"]

    def mean_over_rows(self, values: Float[Tensor, " target"]) -> Float[Tensor, " b"]:
        """Return the mean of `values` over the targets of each row."""
        row_of = self.row_of.to(values.device)
        sums = torch.zeros(len(self.tokens), dtype=values.dtype, device=values.device).index_add(0, row_of, values)
        return sums / torch.bincount(row_of, minlength=len(self.tokens))


def make_batch(model: HookedModel, rows: Sequence[Row]) -> Batch:
    """Pad `rows` on the right to the longest."""
    tokens = pad_sequence([torch.tensor(row.tokens) for row in rows], batch_first=True, padding_value=pad_id(model))
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    mask = (torch.arange(tokens.shape[1])[None] < lengths).long()
    flat = torch.cat([torch.arange(row.start, row.stop) + index * tokens.shape[1] for index, row in enumerate(rows)])
    row_of = torch.repeat_interleave(torch.tensor([row.stop - row.start for row in rows]))
    return Batch(tokens, mask, flat - 1, tokens.flatten()[flat], row_of)


def batched(rows: Sequence[Any], *, batch_size: int, length: Callable[[Any], int] = len) -> Iterator[list[int]]:
    """Yield indices of `rows` in batches of similar length, the longest first: memory runs out at once or never.

    A batch of four or more ends before a row shorter than 0.7 of its longest, so that a few long rows do not pad all others.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    order = sorted(range(len(rows)), key=lambda index: length(rows[index]), reverse=True)
    batch: list[int] = []
    for index in order:
        if len(batch) == batch_size or (len(batch) >= 4 and length(rows[index]) < 0.7 * length(rows[batch[0]])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def response_loss(logits: Float[Tensor, "target d_vocab"], batch: Batch) -> Float[Tensor, " b"]:
    """Return the mean negative log-likelihood of each row's targets, nats per token."""
    return batch.mean_over_rows(cross_entropy(logits.float(), batch.targets.to(logits.device), reduction="none"))


@torch.no_grad()
def loss(model: HookedModel, examples: Sequence[Example], *, batch_size: int = 16) -> Float[Tensor, " example"]:
    """Return L of each example: mean negative log-likelihood of its response tokens, nats per token, float32, in order.

    Raises:
        HarmcircuitsError: an example with an empty response, or longer than the model's context, or a prompt, which has none
            yet; a loss that is not a number; names the example.
    """
    return row_losses(model, example_rows(model, examples), batch_size=batch_size)


@torch.no_grad()
def row_losses(model: HookedModel, rows: Sequence[Row], *, batch_size: int = 16) -> Float[Tensor, " row"]:
    """Return the `loss` of rows of tokens."""

    def read(indices: list[int]) -> Float[Tensor, " b"]:
        batch = make_batch(model, [rows[index] for index in indices])
        logits = logits_sharing_prefix(model, batch.tokens, batch.attention_mask, batch.positions)
        values = response_loss(logits, batch).cpu()
        check_finite(values, what="the loss", examples=indices)
        return values

    losses = torch.empty(len(rows))
    for indices, values in map_batches(batched(rows, batch_size=batch_size), read):
        losses[indices] = values
    return losses


def map_batches(batches: Iterable[list[Item]], read: Callable[[list[Item]], Result]) -> Iterator[tuple[list[Item], Result]]:
    """Yield `(batch, read(batch))`. Out of memory, halve the batch, and all later ones to that size; an error at one row.

    `read` may be called again for some of the rows, so that it leaves nothing behind when it fails.

    >>> list(map_batches([[0, 1], [2]], lambda indices: [10 * index for index in indices]))
    [([0, 1], [0, 10]), ([2], [20])]
    """
    most: int | None = None
    for batch in batches:
        waiting = [batch]
        while waiting:
            part = waiting.pop(0)
            middle = (len(part) + 1) // 2
            if most is None or len(part) <= most:
                try:
                    result = read(part)
                except (RuntimeError, MemoryError) as error:  # it holds what the failed pass has computed
                    if not (isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)):
                        raise
                    cause = str(error).partition("\n")[0] or type(error).__name__
                else:
                    yield part, result
                    continue
                if len(part) == 1:
                    raise HarmcircuitsError(
                        f"not even one text fits into this device's memory, beside the model ({cause}). Shorter texts need "
                        "less, and so does half precision (dtype=torch.bfloat16, --dtype bfloat16)."
                    )
                clear_device_cache(garbage_collection=True)
                most = middle
                log.warning("no memory for a batch of %d on this device: %d at once from here on", len(part), most)
            waiting[:0] = [part[:middle], part[middle:]]
