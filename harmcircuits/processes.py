"""Several processes of one run: each reads its share of the prompts, and all of them know what was read.

    with hc.several_processes() as group:  # under `accelerate launch` or `torchrun`; otherwise this one process
        A = hc.attribute(model, examples, progress=group.first)
        if group.first:
            A.save("scores.safetensors")

Every process runs the whole program, on the same prompts, with a copy of the model. Inside the context, loops over batches deal
out the very batches that one process would read: each is read by one process, and its numbers go to all. So what is read of an
example is what one process reads, bit for bit on the same hardware that has memory for the batch; only sums over batches
(scores of weights) are added up in another order. What is not dealt out is computed by every process alike.

An error in one process ends all. Results are the caller's to write, in the first process alone; journals and the cache of
responses are read and written by it, and the others are told what stands there.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # PyTorch takes a second, and the shell's help needs none
    import torch
    from torch import Tensor

Job = TypeVar("Job")
Made = TypeVar("Made")
_PATIENCE = timedelta(days=2)
"""For the slowest process: errors are told, and a launcher ends the others when one dies."""
_SHOWN = 80
"""Letters of a place, in an error."""


class ProcessError(RuntimeError):
    """One process of a run has failed, or they have come apart; the message says which, where, and what to look at."""


@dataclass(frozen=True, eq=False)
class Group:
    """The processes that share a run, as one of them sees it.

    Attributes:
        rank: this one's number, from 0.
        size: how many there are.
        device: what this one computes on where nothing else is asked for; None: as always.
        channel: through which they tell each other what they read, on the CPU.
    """

    rank: int = 0
    size: int = 1
    device: "torch.device | None" = None
    channel: "_Channel | None" = field(default=None, repr=False)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, prints and shows progress."""
        return self.rank == 0


@dataclass(eq=False)
class _Channel:
    """PyTorch's process group on the CPU, and whether the last thing told there was an error, which all have raised."""

    processes: Any
    failed: bool = False


_ALONE = Group()
_GROUP: ContextVar[Group] = ContextVar("group", default=_ALONE)


def current() -> Group:
    """The group that shares the work now: this process alone, unless inside `several_processes`."""
    return _GROUP.get()


def launched() -> bool:
    """Whether a launcher has started several processes (`accelerate launch`, `torchrun`: they set WORLD_SIZE)."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def several_processes() -> Iterator[Group]:
    """Inside, the processes that a launcher has started share the work; without one, this process does all of it.

    All of them make the same calls with the same arguments. Each has a GPU of its own where there are some, which `load_model`
    takes by default. What a script does itself (saving, printing) is for `group.first`.

    Yields:
        The group: `rank`, `size`, `device`, `first`.

    Raises:
        ProcessError: the launcher's process group is gone; inside, in all processes: they are at different places of the run,
            or one has met an error that is not of this package, which that one raises as it is. An error of this package is
            raised in all of them.

    >>> with several_processes() as group:
    ...     group.size, group.first
    (1, True)
    """
    if current().size > 1:
        yield current()
        return
    group = _joined()
    token = _GROUP.set(group)
    try:
        yield group
    except Exception as error:
        if group.channel is not None and not group.channel.failed:
            _exchange(group, _Said("an error", error=error))
        raise
    else:
        _exchange(group, _Said("the end"))
    finally:
        _GROUP.reset(token)


def each(jobs: Iterable[Job], do: Callable[[Job], Made]) -> Iterator[tuple[Job, Made]]:
    """`(job, do(job))` of each job, in order; in several processes each job is done by one of them, in turns.

    A turn takes as long as its longest job: neighbours should cost alike, as batches sorted by length do.

    Args:
        jobs: the same in every process: indices or other plain values, which are compared.
        do: what it makes is pickled where there are several processes. A tensor that is a part of a larger one would take the
            whole of it along.

    >>> list(each([1, 2], lambda job: 10 * job))
    [(1, 10), (2, 20)]
    """
    group = current()
    if group.size == 1:
        for job in jobs:
            yield job, do(job)
        return
    rest = iter(jobs)
    while turn := list(islice(rest, group.size)):
        own = turn[group.rank : group.rank + 1]  # none, in the last turn of some
        yield from zip(turn, chain(*_exchange(group, _attempt(f"batches {turn}", do, own))), strict=True)


def from_first(make: Callable[[], Made]) -> Made:
    """What `make` gives in the first process, which alone calls it: what stands on a disk that it writes to, say."""
    group = current()
    if group.size == 1:
        return make()
    told = _exchange(group, _attempt("what the first process reads", lambda _: make(), [0] if group.first else []))
    found: Made = told[0][0]
    return found


def add_up(sums: Sequence["Tensor"]) -> None:
    """Adds up the tensors of all processes, in place; each of them then holds the same."""
    group = current()
    if group.channel is None:
        return
    from torch import distributed

    _exchange(group, _Said(f"{len(sums)} sums"))  # who has failed before says so here, and nobody waits for it below
    for total in sums:
        distributed.all_reduce(total, group=None if total.is_cuda else group.channel.processes)


@dataclass(frozen=True, eq=False)
class _Said:
    """What one process tells the others: where it is, and what it made or met there."""

    at: str
    made: Sequence[Any] = ()
    error: Exception | None = None


def _joined() -> Group:
    """This process's group: the one that is there, or the one that its launcher asks for."""
    import torch
    from torch import distributed

    if launched() and not distributed.is_initialized():
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
        if not distributed.is_initialized():
            raise ProcessError(
                f"a launcher has started {os.environ['WORLD_SIZE']} processes, and this one is no longer one of them: was its "
                "process group destroyed? Share the whole run before that."
            )
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return _ALONE
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    channel = _Channel(distributed.new_group(backend="gloo", timeout=_PATIENCE))
    return Group(distributed.get_rank(), distributed.get_world_size(), device, channel)


def _attempt(at: str, do: Callable[[Any], Any], jobs: Sequence[Any]) -> _Said:
    """What one process does by itself: within it, nothing more is shared."""
    token = _GROUP.set(_ALONE)
    try:
        return _Said(at, [do(job) for job in jobs])
    except Exception as error:  # raised by `_exchange`, in all processes
        return _Said(at, error=error)
    finally:
        _GROUP.reset(token)


def _exchange(group: Group, own: _Said) -> list[Sequence[Any]]:
    """What each process made, by rank. Raises, in all, the first error that any of them tells."""
    if group.channel is None:
        return [own.made]
    from torch import distributed

    everyone: list[Any] = [None] * group.size
    told = own if own.error is None else _Said(own.at, error=_as_told(own.error, group.rank))
    distributed.all_gather_object(everyone, told, group=group.channel.processes)
    error = _first_error(everyone)
    group.channel.failed = error is not None
    if error is not None:
        raise own.error if own.error is not None and everyone[group.rank].error is error else error
    return [one.made for one in everyone]


def _first_error(everyone: Sequence[_Said]) -> Exception | None:
    met = next((one.error for one in everyone if one.error is not None), None)
    apart = next((rank for rank, one in enumerate(everyone) if one.at != everyone[0].at), 0)
    if met is not None or not apart:
        return met
    return ProcessError(
        f"process {apart} is at {everyone[apart].at[:_SHOWN]}, and process 0 at {everyone[0].at[:_SHOWN]}: give all of them "
        "the same model, prompts and settings, and let each make every call of this package."
    )


def _as_told(error: Exception, rank: int) -> Exception:
    """An error as the other processes meet it. What is not ours may quote a text: its own process shows it."""
    if type(error).__module__.startswith(f"{__package__}."):
        return error
    return ProcessError(f"process {rank} has failed with {type(error).__name__}, and shows it itself.")
