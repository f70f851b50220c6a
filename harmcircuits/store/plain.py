"""Plain values: their digests, and JSON files that every reader accepts."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from .errors import StoreError
from .files import write_text


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
    text = json.dumps(plain(value, "value"), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes `value` as indented JSON, keys in their order, atomically; dataclasses become dicts and tuples lists.

    Raises:
        ValueError: NaN or infinity, which JSON cannot hold. TypeError: a value that is not plain. Both name its place.
    """
    value = plain(value, Path(path).name)
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file.

    Raises:
        StoreError: the file is missing or not JSON; the message names the file, the line and the cure.
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
    except RecursionError as error:
        raise StoreError(f"{source}: brackets nested too deep to read. Restore it, or delete it and make it again.") from error
    except OSError as error:
        raise StoreError(f"{source}: cannot be read ({error.strerror}). Check the path and its permissions.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def plain(value: object, place: str) -> object:
    """`value` with dataclasses as dicts and tuples as lists; whatever else JSON cannot hold is refused by its place."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{place} is {value}, which JSON cannot hold: write null and the reason instead.")
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), f"{place}.{field.name}") for field in fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}: keys must be strings.")
        return {key: plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{place} is a {type(value).__name__}: convert it to numbers, strings, lists and dicts first.")
