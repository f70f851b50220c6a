"""Files and folders written at once or not at all.

A file or folder is written beside its place under a temporary name, flushed to the disk and then renamed.
"""

import glob
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StoreError, storage_errors

CACHE_VARIABLE = "HARMCIRCUITS_CACHE"


def cache_dir() -> Path:
    """The cache folder, created if missing.

    `$HARMCIRCUITS_CACHE`, else `$XDG_CACHE_HOME/harmcircuits`, else `~/.cache/harmcircuits`.

    Raises:
        StoreError: it cannot be created.
    """
    chosen, base = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME", "")
    # the XDG specification says to ignore a relative path
    folder = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "harmcircuits"
    if chosen:
        folder = Path(chosen).expanduser().absolute()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256, in hex, of a file's bytes."""
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
        StoreError: the file cannot be written, or nothing was written to the temporary path.
    """
    target = Path(path)
    with _beside(target) as temporary:
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        temporary.unlink()
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
        StoreError: the folder cannot be written.
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
        finally:
            _remove(temporary)


def _remove(path: Path) -> None:
    """A file, or a folder with what is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(file: Path) -> None:
    """Makes the system write a file to the disk: a rename alone does not survive a crash."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
