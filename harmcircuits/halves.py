"""A batch that the device has no memory for is read in halves, and these in halves again.

    for indices, found in each_batch(batched(rows, batch_size=8), read):
        losses[indices] = found

What is read of a row does not depend on its batch, beyond rounding: a run on a smaller device goes on, more slowly, instead of
ending.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

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
