"""A batch that the device has no memory for is read in halves, and these in halves again.

    for indices, found in each_batch(batched(rows, batch_size=8), read):
        losses[indices] = found

What is read of a row does not depend on its batch, beyond rounding: a run on a smaller device goes on, more slowly, instead of
ending. The log says so once a loop.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from .processes import each

log = logging.getLogger(__name__)
Made = TypeVar("Made")
_CURE = "Load the model in half precision (dtype=torch.bfloat16, --dtype bfloat16), or take shorter texts or another device"


class BatchError(RuntimeError):
    """The device has no memory for even one row; the message says what needs less."""


@dataclass(frozen=True)
class Full:
    """What the device said instead of computing: its words alone, since the error holds what the failed pass has computed."""

    words: str


def each_batch(
    batches: Iterable[list[int]], read: Callable[[list[int]], Made], *, alone: Callable[[list[int]], Made] | None = None
) -> Iterator[tuple[list[int], Made]]:
    """`(indices, read(indices))` of each batch, as `processes.each` deals them out; where memory is not enough, of its halves,
    and of no larger batches from then on.

    Args:
        batches: indices of rows.
        read: may be called again for some of the rows, so that it leaves nothing behind when it fails.
        alone: reads one row in less memory, where `read` cannot.

    Raises:
        BatchError: not even one row fits.

    >>> list(each_batch([[0, 1], [2]], lambda indices: [10 * index for index in indices]))
    [([0, 1], [0, 10]), ([2], [20])]
    """
    most: int | None = None

    def in_parts(indices: list[int]) -> list[tuple[list[int], Made]]:
        nonlocal most
        found: list[tuple[list[int], Made]] = []
        waiting = [indices]
        while waiting:
            part = waiting.pop(0)
            made = Full("") if most is not None and len(part) > most else attempt(lambda: read(part))  # noqa: B023
            if not isinstance(made, Full):
                found.append((part, made))
            elif len(part) == 1:
                found.append((part, _alone(alone, part, made)))
            else:
                if most is None or len(part) <= most:
                    most = (len(part) + 1) // 2
                    log.warning("no memory for a batch of %d on this device: %d at once from here on", len(part), most)
                middle = (len(part) + 1) // 2
                waiting[:0] = [part[:middle], part[middle:]]
        return found

    for _, parts in each(batches, in_parts):
        yield from parts


def attempt(do: Callable[[], Made]) -> Made | Full:
    """What `do` gives, or that there was no memory for it, in which case all that it has computed is gone again."""
    from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size  # only where it happens

    try:
        return do()
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        full = Full(str(error).partition("\n")[0])
    clear_device_cache(garbage_collection=True)
    return full


def _alone(read: Callable[[list[int]], Made] | None, part: list[int], full: Full) -> Made:
    made = full if read is None else attempt(lambda: read(part))
    if isinstance(made, Full):
        raise BatchError(f"row {part[0]} alone does not fit into this device's memory ({made.words}). {_CURE}.")
    return made
