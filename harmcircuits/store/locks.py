"""Locks between processes and threads, and folders that one of them works in at a time."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from filelock import FileLock, Timeout

from .errors import StoreError, storage_errors

Given = ParamSpec("Given")
Found = TypeVar("Found")


@contextmanager
def locked(path: str | os.PathLike[str], *, timeout: float | None = None, tidy: bool = False) -> Iterator[None]:
    """Holds the lock that guards `path`, between processes and threads; the lock is the file `.NAME.lock` beside it.

    The system releases it when its holder ends, however it ends. A thread that holds it already goes on, and keeps it.

    Args:
        path: what is guarded; it need not exist.
        timeout: seconds to wait for another holder; None waits for ever.
        tidy: removes the lock file in the end. Only where nobody waits for the lock: who had opened the file would hold one
            that others no longer see.

    Raises:
        StoreError: another process holds it for longer than `timeout`, or the lock file cannot be made.
    """
    target = Path(path)
    lock = FileLock(target.with_name(f".{target.name}.lock"), is_singleton=True)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=-1 if timeout is None else timeout)
        except Timeout as error:
            longer = f" for more than {timeout:g} s" if timeout else ""
            raise StoreError(
                f"{target}: another process has held the lock {lock.lock_file}{longer}. Wait until it ends, or end it."
            ) from error
    try:
        yield
    finally:
        if tidy and lock.lock_counter == 1 and os.name == "posix":  # elsewhere a file that is open cannot be removed
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def alone_in_folder(verb: Callable[Given, Found]) -> Callable[Given, Found]:
    """A verb that works in its option `folder=` alone (`held`): a second call for the same folder, by another process or
    thread, raises StoreError at once."""

    @wraps(verb)
    def alone(*args: Given.args, **options: Given.kwargs) -> Found:
        folder = cast("str | Path | None", options.get("folder"))
        with nullcontext() if folder is None else held(folder):
            return verb(*args, **options)

    return alone


@contextmanager
def held(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Holds a run's folder for this process.

    When what is inside fails, the folders that were made here go again, unless there is something in them.

    Raises:
        StoreError: another process or thread is at work there, or the folder cannot be made.
    """
    place = Path(folder)
    with storage_errors(place):
        missing = [one for one in (place, *place.parents) if not one.exists()]
    try:
        with locked(place / "run", timeout=0, tidy=True):
            yield
    except BaseException:  # an interrupt too
        for one in missing:
            if one.is_dir() and not any(one.iterdir()):
                one.rmdir()
        raise
