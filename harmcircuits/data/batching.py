"""Rows of tokens as padded batches, the one loss that everything here is about, and batches halved when memory runs out.

    for indices, found in each_batch(batched(rows, batch_size=8), read):
        losses[indices] = found

What is read of a row does not depend on its batch, beyond rounding: a run on a smaller device goes on, more slowly, instead of
ending.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from ..models.numbers import check_finite
from ..models.past import logits_shared
from ..models.protocol import HookedModel, pad_id
from .examples import Example, Row, example_rows, row_length

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Made = TypeVar("Made")
_FULL = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""In PyTorch's errors, when a GPU, a CPU's allocator (of each system), or a library on a GPU gets none."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, and where to look.

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
    """`rows` padded on the right to the longest; logits at `positions` predict the asked tokens."""
    tokens = pad_sequence([torch.tensor(row.tokens) for row in rows], batch_first=True, padding_value=pad_id(model))
    lengths = torch.tensor([len(row.tokens) for row in rows])[:, None]
    mask = (torch.arange(tokens.shape[1])[None] < lengths).long()
    asked = [torch.arange(row.start, row.stop) + index * tokens.shape[1] for index, row in enumerate(rows)]
    row_of = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(part) for part in asked]))
    flat = torch.cat(asked)
    return Batch(tokens, mask, flat - 1, tokens.flatten()[flat], row_of)


def batched(rows: Sequence[Any], *, batch_size: int, length: Any = len) -> Iterator[list[int]]:
    """Indices of `rows` in batches of similar length, the longest first: memory runs out at once or never.

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    order = sorted(range(len(rows)), key=lambda index: length(rows[index]), reverse=True)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def token_nll(logits: Float[Tensor, "asked d_vocab"], batch: Batch) -> Float[Tensor, " asked"]:
    """−ln p of each asked token, in nats."""
    return cross_entropy(logits.float(), batch.targets.to(logits.device), reduction="none")


def response_loss(logits: Float[Tensor, "asked d_vocab"], batch: Batch) -> Float[Tensor, " b"]:
    """Mean negative log-likelihood of each row's asked tokens, in nats per token; prompt, prefill and padding never count."""
    return batch.mean_over_rows(token_nll(logits, batch))


@torch.no_grad()
def loss(model: HookedModel, examples: Sequence[Example], *, batch_size: int = 16) -> Float[Tensor, " example"]:
    """L of each example: mean negative log-likelihood of its response tokens, nats per token, float32, in order.

    Raises:
        ExampleError: an example with an empty response, or longer than the model's context, or a prompt, which has none yet.
        ModelError: a loss that is not a number (names the example, and where in the model that begins).
    """
    return row_losses(model, example_rows(model, examples), batch_size=batch_size)


@torch.no_grad()
def row_losses(model: HookedModel, rows: Sequence[Row], *, batch_size: int = 16) -> Float[Tensor, " row"]:
    """The same of rows that are laid out already. Raises ModelError as `loss`."""

    def read(indices: list[int]) -> Float[Tensor, " b"]:
        some = [rows[index] for index in indices]
        batch = make_batch(model, some)
        found = response_loss(logits_shared(model, batch.tokens, batch.attention_mask, batch.positions), batch).cpu()
        check_finite(model, found, what="the loss", examples=indices, rows=[row.tokens for row in some])
        return found

    losses = torch.empty(len(rows))
    for indices, found in each_batch(batched(rows, batch_size=batch_size, length=row_length), read):
        losses[indices] = found
    return losses


class BatchError(RuntimeError):
    """The device has no memory for even one row; the message says what needs less."""


@dataclass(frozen=True)
class Full:
    """What the device said instead of computing: its words alone, since the error holds what the failed pass has computed."""

    words: str


def each_batch(batches: Iterable[list[Item]], read: Callable[[list[Item]], Made]) -> Iterator[tuple[list[Item], Made]]:
    """`(rows, read(rows))` of each batch of rows; where memory is not enough, of its halves, and of no larger batches from then
    on, as the log says.

    Args:
        batches: rows, or their indices.
        read: may be called again for some of the rows, so that it leaves nothing behind when it fails.

    Raises:
        BatchError: not even one row fits.

    >>> list(each_batch([[0, 1], [2]], lambda indices: [10 * index for index in indices]))
    [([0, 1], [0, 10]), ([2], [20])]
    """
    most: int | None = None
    for batch in batches:
        waiting = [batch]
        while waiting:
            part = waiting.pop(0)
            if most is None or len(part) <= most:
                made = attempt(read, part)
                if not isinstance(made, Full):
                    yield part, made
                    continue
                if len(part) == 1:
                    raise not_even_one(made)
                most = (len(part) + 1) // 2
                log.warning("no memory for a batch of %d on this device: %d at once from here on", len(part), most)
            middle = (len(part) + 1) // 2
            waiting[:0] = [part[:middle], part[middle:]]


def attempt(do: Callable[[Item], Made], given: Item) -> Made | Full:
    """What `do(given)` makes, or that there was no memory for it, in which case all that it has computed is gone again."""
    try:
        return do(given)
    except BatchError:  # of a smaller loop in this one, which has tried
        raise
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in _FULL):
            raise
        full = Full(str(error).partition("\n")[0] or type(error).__name__)
    from accelerate.utils.memory import clear_device_cache  # no batch that fits waits for this import

    clear_device_cache(garbage_collection=True)
    return full


def fitting(do: Callable[[Item], Made], given: Item) -> Made:
    """What `do(given)` makes. Raises BatchError where there is no memory for it."""
    made = attempt(do, given)
    if isinstance(made, Full):
        raise not_even_one(made)
    return made


def not_even_one(full: Full) -> BatchError:
    return BatchError(
        f"not even one text fits into this device's memory, beside the model ({full.words}). Shorter texts need less, and so "
        "does half precision, where the model is not in it yet (dtype=torch.bfloat16, --dtype bfloat16)."
    )
