"""Files and folders written whole or not at all, locks between processes, and the cache folder.

A file or folder is written beside its place under a temporary name, flushed to the disk and then renamed.
"""

import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from filelock import FileLock, Timeout
from safetensors import SafetensorError

CACHE_VARIABLE = "HARMCIRCUITS_CACHE"
Options = ParamSpec("Options")
Result = TypeVar("Result")


class StoreError(RuntimeError):
    """Something could not be written, read or locked; the message names the file and the reason."""


def printable(text: object, *, kept: str = "") -> str:
    """Escape control characters, so that untrusted text cannot move the terminal's cursor; `kept` letters stay.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(letter if letter.isprintable() or letter in kept else repr(letter)[1:-1] for letter in str(text))


def one_line(text: object) -> str:
    """Return at most 200 printable letters of what an error says or a file holds, for a message."""
    return printable(str(text)[:200])[:200]


@contextmanager
def storage_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an error of the system while `path` is written (a full disk, no permission) into a `StoreError`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{os.fspath(path)}: cannot be written ({error})") from error


def cache_dir() -> Path:
    """Return the cache folder, created if missing: `$HARMCIRCUITS_CACHE`, else below `$XDG_CACHE_HOME` or `~/.cache`."""
    chosen, base = os.environ.get(CACHE_VARIABLE), Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = base if base.is_absolute() else Path.home() / ".cache"  # the XDG specification says to ignore a relative path
    folder = Path(chosen).expanduser().absolute() if chosen else base / "harmcircuits"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256, in hex, of a file's bytes."""
    total = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`: on success what was written there replaces `path`, on failure it goes.

    The temporary name keeps the suffix, since some writers add one otherwise. Whoever may read other new files there may read
    the file, also where its writer makes it for the owner alone (safetensors).
    """
    target = Path(path)
    with _beside(target) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode & 0o777
        yield temporary
        temporary.chmod(mode)
        _flush(temporary)
        temporary.replace(target)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new temporary folder beside `path`; on success it is renamed to `path`, on failure removed.

    If `path` has come into being meanwhile (another process made the same thing), that one is kept.
    """
    target = Path(path)
    with _beside(target) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes left beside `path` under temporary names; call it only while holding its lock."""
    target = Path(path)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.partial{glob.escape(target.suffix)}"):
        _remove(leftover)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with `\\n` line ends, atomically; half a character pair becomes an escape."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary path in the target's folder, removed at the end whatever happens."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial{target.suffix}")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        finally:
            _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())  # a rename alone does not survive a crash


@contextmanager
def locked(path: str | os.PathLike[str], *, timeout: float = -1, tidy: bool = False) -> Iterator[None]:
    """Hold the lock that guards `path`, the file `.NAME.lock` beside it; the system releases it when its holder ends.

    A thread that holds it already goes on, and keeps it.

    Args:
        timeout: seconds to wait for another holder; below 0, for ever.
        tidy: remove the lock file in the end; only where nobody waits for it.

    Raises:
        StoreError: another process holds it for longer than `timeout`, or the lock file cannot be made.
    """
    target = Path(path)
    lock = FileLock(target.with_name(f".{target.name}.lock"), is_singleton=True)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=timeout)
        except Timeout as error:
            raise StoreError(
                f"{target}: another process has held the lock {lock.lock_file}. Wait until it ends, or end it."
            ) from error
    try:
        yield
    finally:
        if tidy and lock.lock_counter == 1 and os.name == "posix":  # elsewhere a file that is open cannot be removed
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def held(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a run's folder for this process. When what is inside fails, empty folders that were made here go again.

    Raises:
        StoreError: another process or thread is at work there, or the folder cannot be made.
    """
    place = Path(folder)
    with storage_errors(place):
        missing = [parent for parent in (place, *place.parents) if not parent.exists()]
    try:
        with locked(place / "run", timeout=0, tidy=True):
            yield
    except BaseException:  # an interrupt too
        for parent in missing:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def alone_in_folder(verb: Callable[Options, Result]) -> Callable[Options, Result]:
    """Let a verb hold the folder in its option `folder=`: a second call for the same one raises StoreError at once."""

    @wraps(verb)
    def alone(*args: Options.args, **options: Options.kwargs) -> Result:
        folder = cast("str | Path | None", options.get("folder"))
        with nullcontext() if folder is None else held(folder):
            return verb(*args, **options)

    return alone
