"""Where results and models rest on disk: the cache folder, digests, atomic writes, locks.

Nothing here leaves a half-written file: a file or folder is written beside its place under a temporary name, flushed
to the disk and then renamed. A full or read-only disk becomes a `StoreError` that says how much is free and, of files in
the cache, how to move it.
"""

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout
from safetensors import SafetensorError

CACHE_VARIABLE = "HARMCIRCUITS_CACHE"
_REASONS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.EEXIST: "a file is in the place of a folder",
    errno.EISDIR: "a folder is in the place of a file",
    errno.ENOENT: "no folder can be made there, or it has been removed meanwhile",
    errno.ENAMETOOLONG: "a name in the path is too long",
}
_LACK_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
# where free bytes are beside the point
_BAD_PATH = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG)


class StoreError(RuntimeError):
    """Something could not be written, read or locked; the message names the file, the cause and the cure."""


def cache_dir() -> Path:
    """The cache folder, created if missing.

    `$HARMCIRCUITS_CACHE`, else `$XDG_CACHE_HOME/harmcircuits`, else `~/.cache/harmcircuits`.

    Raises:
        StoreError: it cannot be created.
    """
    folder = _cache_place()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _cache_place() -> Path:
    """Where the cache folder is, or would be."""
    chosen, base = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    # the XDG specification says to ignore a relative path
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "harmcircuits"


def digest(value: object) -> str:
    """SHA-256, in hex, of the canonical JSON of `value`: nested dicts, lists, tuples, dataclasses and scalars.

    A dataclass counts as the dict of its fields and a tuple as a list; the order of keys does not matter.

    Raises:
        TypeError: a value or key of another type. ValueError: NaN or infinity. Both name its place in `value`.

    >>> digest({"b": 1, "a": (2, 3)}) == digest({"a": [2, 3], "b": 1})
    True
    >>> digest({"a": 1}) == digest({"a": 1.0})
    False
    """
    text = json.dumps(_plain(value, "value"), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256, in hex, of a file's bytes.

    Raises:
        FileNotFoundError: there is no such file.
    """
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
        mode = _mode_of_new_files(temporary)
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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8 with `\\n` line ends, atomically."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes `value` as indented JSON, keys in their order, atomically; dataclasses become dicts and tuples lists.

    Raises:
        ValueError: NaN or infinity, which JSON cannot hold. TypeError: a value that is not plain. Both name its place.
    """
    plain = _plain(value, Path(path).name)
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file.

    Raises:
        StoreError: the file is missing, or is not JSON; the message names the file, the line and the cure.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise StoreError(f"{source}: there is no such file. Check the path, or make the file first.") from error
    except json.JSONDecodeError as error:
        raise StoreError(
            f"{source}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}). "
            "The file is damaged or cut short: restore it, or delete it and make it again."
        ) from error
    except ValueError as error:  # undecodable bytes, or a constant that JSON does not have
        raise StoreError(f"{source}: not JSON ({error}). Restore it, or delete it and make it again.") from error
    except OSError as error:
        raise StoreError(f"{source}: cannot be read ({error.strerror}). Check the path and its permissions.") from error


@contextmanager
def locked(path: str | os.PathLike[str], *, timeout: float | None = None) -> Iterator[None]:
    """Holds the lock that guards `path`, between processes and threads; the lock is the file `.NAME.lock` beside it.

    The system releases it when its holder ends, however it ends.

    Args:
        path: what is guarded; it need not exist.
        timeout: seconds to wait for another holder; None waits for ever.

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
            raise StoreError(
                f"{target}: another process has held the lock {lock.lock_file} for more than {timeout:g} s. "
                "Wait until it ends, or end it."
            ) from error
    try:
        yield
    finally:
        lock.release()


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


def _mode_of_new_files(free: Path) -> int:
    """Who may read and write a new file, as umask and folder have it; asked with an empty one at a free path."""
    free.touch()
    mode = stat.S_IMODE(free.stat().st_mode)
    free.unlink()
    return mode


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


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
    in_cache = target.absolute().is_relative_to(_cache_place())
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _plain(value: object, place: str) -> object:
    """`value` with dataclasses as dicts and tuples as lists; whatever else JSON cannot hold is refused by its place."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{place} is {value}, which JSON cannot hold: write null and the reason instead.")
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), f"{place}.{field.name}") for field in fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}: keys must be strings.")
        return {key: _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{place} is a {type(value).__name__}: convert it to numbers, strings, lists and dicts first.")
