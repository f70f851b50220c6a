"""What files hold: plain values as JSON and their digests, tables as plain values, tensors as safetensors."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .files import StoreError, atomic_file, one_line, write_text

_NUMBERS = re.compile(r"[uU]?[iI]nt(8|16|32|64)|[fF]loat(16|32|64)|bool(ean)?")


def digest(value: object) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of `value`: nested dicts, lists, tuples, dataclasses and scalars.

    A dataclass counts as the dict of its fields and a tuple as a list; the order of keys does not matter.

    Raises:
        TypeError: a value or key of another type. ValueError: NaN or infinity. Both name its place in `value`.

    >>> digest({"b": 1, "a": (2, 3)}) == digest({"a": [2, 3], "b": 1})
    True
    >>> digest({"a": 1}) == digest({"a": 1.0})
    False
    """
    text = json.dumps(plain(value, "value"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented JSON, keys in their order, atomically. Raises TypeError and ValueError as `digest`."""
    write_text(path, json.dumps(plain(value, Path(path).name), indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value in a JSON file.

    Raises:
        StoreError: the file is missing or not JSON; the message names the file, the line and the cure.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no such file. Check the path, or make the file first.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not JSON ({one_line(error)}). Restore it, or delete it and make it again.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def plain(value: object, place: str) -> object:
    """Return `value` with dataclasses as dicts and tuples as lists; whatever else JSON cannot hold is refused by its place."""
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{place} is {value}, which JSON cannot hold: write null and the reason instead.")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), f"{place}.{field.name}") for field in fields(value)}
    if isinstance(value, Mapping):
        if other := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"{place} has the key {other[0]!r}: keys must be strings.")
        return {key: plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{place} is a {type(value).__name__}: convert it to numbers, strings, lists and dicts first.")


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
        KeyError, TypeError, ValueError: `value` is no such table.

    >>> as_frame(as_plain(pd.DataFrame({"n": [3], "p": [float("nan")]}))).dtypes.astype(str).tolist()
    ['int64', 'float64']
    """
    types = dict(value["columns"])
    frame = pd.DataFrame(value["rows"], columns=list(types), dtype=object)
    if unknown := [kind for kind in types.values() if kind != "text" and not _NUMBERS.fullmatch(kind)]:
        raise ValueError(f"a column cannot be of the type {str(unknown[0])[:30]!r}")
    try:
        typed = frame.astype({name: pd.api.types.pandas_dtype(kind) for name, kind in types.items() if kind != "text"})
    except OverflowError as error:
        raise ValueError(f"a number is too large for its column ({error})") from error
    texts = {name: pd.Series([*frame[name], ""]).iloc[:-1] for name, kind in types.items() if kind == "text"}
    return typed.assign(**texts)  # with the type that pandas of this version gives to text


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, format: str, about: object) -> None:
    """Write one safetensors file, atomically; its header holds `format`, `about` as JSON, and a digest of everything."""
    whole, text = {name: tensor.contiguous() for name, tensor in tensors.items()}, json.dumps(plain(about, "about"))
    with atomic_file(path) as temporary:
        save_file(whole, temporary, metadata={"format": format, "about": text, "digest": _digest(whole, text)})


def read_about(path: str | Path) -> Any:
    """Return the `about` of a file that `save_tensors` wrote, without its tensors; None where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("about", "null"))
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no such file. Check the path.") from error
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise StoreError(f"cannot read {path}: {one_line(error)}. The file is damaged: save it again.") from error


def read_tensors(
    path: str | Path, *, format: str, what: str, error: type[Exception] = StoreError
) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors of a file that `save_tensors` wrote, and its `about`.

    Args:
        what: the file should hold, for the message.
        error: what to raise.

    Raises:
        error: the file is missing, damaged, of another format, or was changed since it was saved.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != format:
                kind = one_line(header.get("format"))
                raise error(f"{path} holds no {what} (its 'format' should be {format!r}, and is {kind!r})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no iterator of its own)
            if header["digest"] != _digest(tensors, header["about"]):
                raise error(f"{path} was changed since it was saved. Save the {what} again.")
            return tensors, json.loads(header["about"])
    except error:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as cause:  # also of shapes beyond 64 bits
        raise error(f"cannot read {path}: {one_line(cause)}. Save the {what} again.") from cause


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    """SHA-256, in hex, of `about` and of names, types, shapes and bytes."""
    total = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        flat = tensor.detach().cpu().contiguous().as_strided((tensor.numel(),), (1,))  # an expanded one of size 1 has stride 0
        total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()
