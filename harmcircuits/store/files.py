"""Files and folders written at once or not at all.

Nothing here leaves a half-written file: a file or folder is written beside its place under a temporary name, flushed to the
disk and then renamed.
"""

import errno
import glob
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import StoreError, check_no_pipe, storage_errors
from .place import cache_place

DAY = 86_400.0
"""Seconds: no single file takes so long to write."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.partial(\..*)?")


def cache_dir() -> Path:
    """The cache folder, created if missing.

    `$HARMCIRCUITS_CACHE`, else `$XDG_CACHE_HOME/harmcircuits`, else `~/.cache/harmcircuits`.

    Raises:
        StoreError: it cannot be created.
    """
    folder = cache_place()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256, in hex, of a file's bytes.

    Raises:
        FileNotFoundError: there is no such file. StoreError: a pipe or a device is there.
    """
    check_no_pipe(path)
    total = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`: on success what was written there replaces `path`, on failure it goes.

    The temporary name keeps the suffix, since some writers add one otherwise. Missing parent folders are created. The file
    may be read by whoever may read other new files there, also where its writer makes it for the owner alone (safetensors).

    Raises:
        StoreError: the disk is full, read-only or not ours, a folder is in the place of the file, or nothing was written to
            the temporary path.
    """
    target = Path(path)
    with _beside(target) as temporary:
        mode = stat.S_IMODE(_as_new(temporary).st_mode)
        yield temporary
        if not temporary.is_file():
            raise StoreError(f"{target} is unchanged: nothing was written to the temporary file {temporary.name}.")
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)
        _flush(temporary)
        temporary.replace(target)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a new temporary folder beside `path`; on success it is renamed to `path`, on failure removed.

    If `path` has come into being meanwhile (another process made the same thing), that one is kept.

    Raises:
        StoreError: the disk is full, read-only or not ours.
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
    """Removes what killed processes left beside `path` under temporary names; call it only while holding its lock."""
    target = Path(path)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.partial{glob.escape(target.suffix)}"):
        _remove(leftover)


def remove_leftovers_in(folder: str | os.PathLike[str]) -> None:
    """Removes what killed processes left in `folder`, and not below it, under temporary names.

    Call it only while nobody else writes there.
    """
    for leftover in _leftovers(folder):
        _remove(leftover)


def remove_old_leftovers_in(folder: str | os.PathLike[str]) -> None:
    """The same of a folder where others may be writing: those that nobody has changed for a `DAY`, by the clock that the
    folder's files have. What cannot be removed stays: it is in nobody's way."""
    old = _leftovers(folder)
    if not old:
        return
    try:
        now = _as_new(Path(folder) / f".now.{secrets.token_hex(4)}.partial").st_mtime
    except OSError:
        return
    for leftover in old:
        with suppress(OSError):
            if now - leftover.lstat().st_mtime >= DAY:
                _remove(leftover)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8 with `\\n` line ends, atomically.

    Half a character pair, which UTF-8 cannot hold (as in the name of a folder in another encoding), becomes `\\udcff`: in JSON,
    its own escape.
    """
    with (
        atomic_file(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.write(text)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary path in the target's folder, removed at the end whatever happens."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial{target.suffix}")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(target.parent)
        finally:
            _remove(temporary)


def _as_new(free: Path) -> os.stat_result:
    """What the system says of a new file, asked with an empty one at a free path: who may read and write it, as umask and
    folder have it, and what time it is there."""
    free.touch()
    try:
        return free.stat()
    finally:
        free.unlink()


def _flush(path: Path) -> None:
    """Makes the system write a file, or a folder's entries, to the disk: a rename alone does not survive a crash."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not path.is_dir() or error.errno != errno.EINVAL:  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def _leftovers(folder: str | os.PathLike[str]) -> list[Path]:
    return [path for path in Path(folder).glob(".*.partial*") if _TEMPORARY.fullmatch(path.name)]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
