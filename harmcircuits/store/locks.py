"""Locks between processes and threads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import StoreError, storage_errors


@contextmanager
def locked(path: str | os.PathLike[str], *, timeout: float | None = None, tidy: bool = False) -> Iterator[None]:
    """Holds the lock that guards `path`, between processes and threads; the lock is the file `.NAME.lock` beside it.

    The system releases it when its holder ends, however it ends.

    Args:
        path: what is guarded; it need not exist.
        timeout: seconds to wait for another holder; None waits for ever.
        tidy: removes the lock file in the end. Only where nobody waits for the lock: who had opened the file would hold one
            that others no longer see.

    Raises:
        StoreError: another process holds it for longer than `timeout`, or the lock file cannot be made.
    """
    target = Path(path)
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=-1 if timeout is None else timeout)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            longer = f" for more than {timeout:g} s" if timeout else ""
            raise StoreError(
                f"{target}: another process has held the lock {lock.lock_file}{longer}. Wait until it ends, or end it."
            ) from error
    try:
        yield
    finally:
        if tidy and os.name == "posix":  # elsewhere a file that is open cannot be removed
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
