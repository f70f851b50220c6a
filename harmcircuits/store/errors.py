"""What goes wrong on a disk, as one error that names the file, the cause and the cure.

A full or read-only disk becomes a `StoreError` that says how much is free and, of files in the cache, how to move it.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .place import CACHE_VARIABLE, cache_place

_REASONS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than the system allows",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.EEXIST: "a file is in the place of a folder",
    errno.EISDIR: "a folder is in the place of a file",
    errno.ENOENT: "no folder can be made there, or it has been removed meanwhile",
    errno.ENAMETOOLONG: "a name in the path is too long",
    errno.ELOOP: "links lead round in a circle",
}
_LACK_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
# where free bytes are beside the point
_BAD_PATH = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP)


class StoreError(RuntimeError):
    """Something could not be written, read or locked; the message names the file, the cause and the cure."""


def printable(text: object, *, kept: str = "") -> str:
    """Text from elsewhere, for the terminal: what would move the cursor, or change a colour or a title, shows itself.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'

    Args:
        kept: letters that stay as they are, such as line ends.
    """
    return "".join(letter if letter.isprintable() or letter in kept else repr(letter)[1:-1] for letter in str(text))


def said(cause: object) -> str:
    """What an error says, for a message: one line of at most 200 characters, which moves no terminal's cursor.

    >>> said(ValueError("a\\x1b[31m name"))
    'a\\\\x1b[31m name'
    """
    line = printable(str(cause)[:200])
    return line if len(line) <= 200 else f"{line[:199]}…"


@contextmanager
def storage_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns a full, read-only or forbidden disk, or a place that takes no folder, into a `StoreError`; other errors pass.

    Args:
        path: what is being written; errors about other places pass too.

    Raises:
        StoreError: naming `path`, the cause and the cure.
    """
    target = Path(path)
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = _errno(error)
        if number not in _REASONS or not _concerns(error, target):
            raise
        raise StoreError(
            f"{target}: cannot be written: {_REASONS[number]} ({errno.errorcode[number]}). {_cure(number, target)} "
            "Nothing half-written was left."
        ) from error


def check_no_folder(path: str | os.PathLike[str]) -> None:
    """Finds out before the work what writing a file to `path` after it would.

    Raises:
        StoreError: a folder is there.
    """
    with storage_errors(path):
        if Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))


def check_no_file(path: str | os.PathLike[str]) -> None:
    """The same of a folder that is to be made at `path`.

    Raises:
        StoreError: a file is there.
    """
    with storage_errors(path):
        if Path(path).exists() and not Path(path).is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))


def check_no_pipe(path: str | os.PathLike[str]) -> None:
    """A pipe in the place of a file would be waited for, for ever. What cannot be looked at is left to the reading.

    Raises:
        StoreError: a pipe or a device is there.
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise StoreError(f"{place}: a pipe or a device is in the place of a file. Remove it, or give another path.")


def _errno(error: OSError | SafetensorError) -> int | None:
    """The system's number of an error; safetensors gives it in the text alone."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _concerns(error: Exception, target: Path) -> bool:
    """Whether an error is about the target's own place, not about another file that was used meanwhile."""
    name = getattr(error, "filename", None)
    place = target.absolute().parent
    culprit = Path(name).absolute() if isinstance(name, str) else place
    return culprit.is_relative_to(place) or target.absolute().is_relative_to(culprit)


def _cure(number: int, target: Path) -> str:
    """What to do about it; only files in the cache go elsewhere by moving the cache."""
    in_cache = target.absolute().is_relative_to(cache_place())
    elsewhere = f"another place ({CACHE_VARIABLE} moves the cache)" if in_cache else "another folder"
    first = {errno.EISDIR: "Remove that folder or choose", **dict.fromkeys(_LACK_OF_SPACE, "Free some space or choose")}
    cure = f"{first.get(number, 'Choose')} {elsewhere}."
    return cure if number in _BAD_PATH else f"{_free_space(target)} {cure}"


def _free_space(path: Path) -> str:
    folder = path.absolute()
    while not _is_folder(folder):
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free:,} bytes are free in {folder}."


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # below a folder that we may not look into
        return False
