"""Rows of tokens as padded batches, the loss of responses, and batches that are halved when memory runs out.

    for indices, losses in map_batches(batched(rows, batch_size=8), read):
        all_losses[indices] = losses

What is read of a row does not depend on its batch, beyond rounding: on a smaller device a run goes on, more slowly.
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

from ..models.gradient_checks import check_finite
from ..models.prefix_cache import logits_sharing_prefix
from ..models.protocol import HookedModel, pad_id
from .examples import Example, Row, example_rows

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
FEW, ALIKE = 4, 0.7
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED")


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, and the tokens whose likelihood is asked.

    Attributes:
        positions: flat indices (row · length + position) of the logits that predict the asked tokens, row after row.
        targets: the asked tokens, in the same order.
        row_of: the row of each.
    """

    tokens: Int[Tensor, "b pos"]
    attention_mask: Int[Tensor, "b pos"]
    positions: Int[Tensor, " asked"]
    targets: Int[Tensor, " asked"]
    row_of: Int[Tensor, " asked"]

    def mean_over_rows(self, values: Float[Tensor, " asked"]) -> Float[Tensor, " b"]:
        """The mean of `values` over the asked tokens of each row."""
        row_of = self.row_of.to(values.device)
        sums = torch.zeros(len(self.tokens), dtype=values.dtype, device=values.device).index_add(0, row_of, values)
        return sums / torch.bincount(row_of, minlength=len(self.tokens))


def make_batch(model: HookedModel, rows: Sequence[Row]) -> Batch:
    """Pad `rows` on the right to the longest; logits at `positions` predict the asked tokens."""
    tokens = pad_sequence([torch.tensor(row.tokens) for row in rows], batch_first=True, padding_value=pad_id(model))
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    mask = (torch.arange(tokens.shape[1])[None] < lengths).long()
    asked = [torch.arange(row.start, row.stop) + index * tokens.shape[1] for index, row in enumerate(rows)]
    row_of = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(part) for part in asked]))
    flat = torch.cat(asked)
    return Batch(tokens, mask, flat - 1, tokens.flatten()[flat], row_of)


def batched(rows: Sequence[Any], *, batch_size: int, length: Callable[[Any], int] = len) -> Iterator[list[int]]:
    """Indices of `rows` in batches of similar length, the longest first: memory runs out at once or never.

    A batch of `FEW` rows or more ends before a row shorter than `ALIKE` of its longest: a few long rows do not pad all others.

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    order = sorted(range(len(rows)), key=lambda index: length(rows[index]), reverse=True)
    batch: list[int] = []
    for index in order:
        if len(batch) == batch_size or (len(batch) >= FEW and length(rows[index]) < ALIKE * length(rows[batch[0]])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def response_loss(logits: Float[Tensor, "asked d_vocab"], batch: Batch) -> Float[Tensor, " b"]:
    """Mean negative log-likelihood of each row's asked tokens, in nats per token; prompt, prefill and padding never count."""
    return batch.mean_over_rows(cross_entropy(logits.float(), batch.targets.to(logits.device), reduction="none"))


@torch.no_grad()
def loss(model: HookedModel, examples: Sequence[Example], *, batch_size: int = 16) -> Float[Tensor, " example"]:
    """Return L of each example: mean negative log-likelihood of its response tokens, nats per token, float32, in order.

    Raises:
        ExampleError: an example with an empty response, or longer than the model's context, or a prompt, which has none yet.
        ModelError: a loss that is not a number (names the example, and where in the model that begins).
    """
    return row_losses(model, example_rows(model, examples), batch_size=batch_size)


@torch.no_grad()
def row_losses(model: HookedModel, rows: Sequence[Row], *, batch_size: int = 16) -> Float[Tensor, " row"]:
    """`loss` of rows of tokens."""

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


class BatchError(RuntimeError):
    """The device has no memory for even one row; the message says what needs less."""


def map_batches(batches: Iterable[list[Item]], read: Callable[[list[Item]], Result]) -> Iterator[tuple[list[Item], Result]]:
    """Yield `(batch, read(batch))`; where memory is not enough, of halves of the batch, and of no larger ones from then on.

    Args:
        batches: rows, or their indices.
        read: may be called again for some of the rows, so that it leaves nothing behind when it fails.

    Raises:
        BatchError: not even one row fits.

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
                except BatchError:  # of a loop inside this one, which has tried single rows
                    raise
                except (RuntimeError, MemoryError) as error:  # the error holds what the failed pass has computed
                    if not (isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)):
                        raise
                    cause = str(error).partition("\n")[0] or type(error).__name__
                else:
                    yield part, result
                    continue
                if len(part) == 1:
                    raise BatchError(
                        f"not even one text fits into this device's memory, beside the model ({cause}). Shorter texts need "
                        "less, and so does half precision (dtype=torch.bfloat16, --dtype bfloat16)."
                    )
                clear_device_cache(garbage_collection=True)
                most = middle
                log.warning("no memory for a batch of %d on this device: %d at once from here on", len(part), most)
            waiting[:0] = [part[:middle], part[middle:]]
