"""What rests on disk: files and folders written whole or not at all, locks, the cache folder; JSON, tables, tensors.

A file or folder is written beside its place under a temporary name, flushed to the disk and then renamed.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import HarmcircuitsError, one_line

CACHE_VARIABLE = "HARMCIRCUITS_CACHE"
Verb = TypeVar("Verb", bound=Callable[..., Any])


@contextmanager
def storage_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an error of the system while `path` is written (a full disk, no permission) into a `HarmcircuitsError`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise HarmcircuitsError(f"{os.fspath(path)}: cannot be written ({error})") from error


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


def atomic_file(path: str | os.PathLike[str]) -> AbstractContextManager[Path]:
    """Yield a temporary path beside `path`: on success what was written there replaces `path`, on failure it goes.

    The temporary name keeps the suffix, since some writers add one otherwise. The file's mode is that of other new files there.
    """
    return _replacing(Path(path), Path.touch)


def atomic_folder(path: str | os.PathLike[str]) -> AbstractContextManager[Path]:
    """Yield a new temporary folder beside `path`; on success it is renamed to `path`, on failure removed.

    If `path` has come into being meanwhile (another process made the same thing), that one is kept.
    """
    return _replacing(Path(path), Path.mkdir)


@contextmanager
def _replacing(target: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial{target.suffix}")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            make(temporary)
            mode = temporary.stat().st_mode & 0o777
            yield temporary
            temporary.chmod(mode)
            for file in filter(Path.is_file, [temporary, *temporary.rglob("*")]):
                with file.open("rb+") as opened:
                    os.fsync(opened.fileno())  # a rename alone does not survive a crash
            try:
                temporary.replace(target)
            except OSError:
                if not (temporary.is_dir() and target.is_dir()):
                    raise
        finally:
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with `\\n` line ends, atomically; half a character pair becomes an escape."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


@contextmanager
def locked(path: str | os.PathLike[str], *, timeout: float = -1, tidy: bool = False) -> Iterator[None]:
    """Hold the lock that guards `path`, the file `.NAME.lock` beside it; the system releases it when its holder ends.

    A thread that holds it already goes on. `tidy` removes the lock file in the end: only where nobody waits for it. Raises
    HarmcircuitsError where another process holds it for longer than `timeout` seconds (below 0: wait for ever).
    """
    target = Path(path)
    lock = FileLock(target.with_name(f".{target.name}.lock"), is_singleton=True)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=timeout)
        except Timeout as error:
            raise HarmcircuitsError(
                f"{target}: another process has held the lock {lock.lock_file}. Wait until it ends."
            ) from error
    try:
        yield
    finally:
        if tidy and lock.lock_counter == 1 and os.name == "posix":  # elsewhere a file that is open cannot be removed
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def held(folder: str | os.PathLike[str] | None) -> AbstractContextManager[None]:
    """Hold a run's folder (None: nothing). Raises HarmcircuitsError where another process or thread is at work there."""
    return nullcontext() if folder is None else locked(Path(folder) / "run", timeout=0, tidy=True)


def alone_in_folder(verb: Verb) -> Verb:
    """Let a verb hold the folder in its option `folder=`: a second call for the same one raises HarmcircuitsError at once."""

    @wraps(verb)
    def alone(*args: Any, **options: Any) -> Any:
        with held(options.get("folder")):
            return verb(*args, **options)

    return cast(Verb, alone)


def digest(value: object) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of `value`: nested dicts, lists, tuples, dataclasses and scalars.

    A dataclass counts as the dict of its fields and a tuple as a list; the order of keys does not matter.

    Raises:
        TypeError: a value of another type. ValueError: NaN or infinity.

    >>> digest({"b": 1, "a": (2, 3)}) == digest({"a": [2, 3], "b": 1})
    True
    >>> digest({"a": 1}) == digest({"a": 1.0})
    False
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented JSON, keys in their order, atomically. Raises TypeError and ValueError as `digest`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: object) -> dict[Any, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"JSON cannot hold a {type(value).__name__}: convert it to numbers, strings, lists and dicts first.")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value in a JSON file. HarmcircuitsError, where it is missing or not JSON, names the file, line and cure."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HarmcircuitsError(f"{path}: there is no such file. Check the path, or make the file first.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise HarmcircuitsError(f"{path}: not JSON ({one_line(error)}). Restore it, or delete it and make it again.") from error


def as_plain(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a table as plain values, every digit kept: columns in order with their types, and rows; a missing cell is null.

    >>> as_plain(pd.DataFrame({"rule": ["t"], "n": [3], "p": [float("nan")]}))
    {'columns': {'rule': 'text', 'n': 'int64', 'p': 'float64'}, 'rows': [['t', 3, None]]}
    """
    types = {str(name): str(kind) if pd.api.types.is_numeric_dtype(kind) else "text" for name, kind in frame.dtypes.items()}
    rows = frame.astype(object).where(frame.notna(), None).to_numpy(dtype=object).tolist()
    return {"columns": types, "rows": [[cell.item() if hasattr(cell, "item") else cell for cell in row] for row in rows]}


def as_frame(value: Any) -> pd.DataFrame:
    """Return the table that `as_plain` was given, with a fresh index.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: `value` is no such table.

    >>> as_frame(as_plain(pd.DataFrame({"n": [3], "p": [float("nan")]}))).dtypes.astype(str).tolist()
    ['int64', 'float64']
    """
    types = dict(value["columns"])
    frame = pd.DataFrame(value["rows"], columns=list(types), dtype=object)
    typed = frame.astype({name: kind for name, kind in types.items() if kind != "text"})
    # with the type that pandas of this version gives to text, also where a column has none
    return typed.assign(**{name: pd.Series([*frame[name], ""]).iloc[:-1] for name, kind in types.items() if kind == "text"})


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, format: str, about: object) -> None:
    """Write one safetensors file, atomically; its header holds `format`, `about` as JSON, and a digest of everything."""
    whole, text = {name: tensor.contiguous() for name, tensor in tensors.items()}, json.dumps(about, default=_plain)
    with atomic_file(path) as temporary:
        save_file(whole, temporary, metadata={"format": format, "about": text, "digest": _digest(whole, text)})


@contextmanager
def read_tensors(path: str | Path, *, format: str, what: str) -> Iterator[tuple[dict[str, Tensor], Any]]:
    """Yield the tensors of a file that `save_tensors` wrote, and its `about`; the body makes an object of them.

    Args:
        what: the name of such an object, for the message.

    Raises:
        HarmcircuitsError: the file is missing, damaged, of another format, or was changed since it was saved; the body finds
            something else in it than `save` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != format:
                raise HarmcircuitsError(f"it holds no {what} (its 'format' should be {format!r}, not {header.get('format')!r})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
        if header["digest"] != _digest(tensors, header["about"]):
            raise HarmcircuitsError("it was changed since it was saved")
        yield tensors, json.loads(header["about"])
    except (OSError, SafetensorError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as cause:
        raise HarmcircuitsError(f"cannot read {path}: {one_line(cause)}. Save the {what} again.") from cause


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    total = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        total.update(bytes_of(tensor))
    return total.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the values of a tensor of any type, as they lie in memory, row by row."""
    flat = tensor.detach().cpu().contiguous().as_strided((tensor.numel(),), (1,))  # an expanded one of size 1 has stride 0
    return flat.view(torch.uint8).numpy().data
