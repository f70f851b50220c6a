"""Tables as plain values, for JSON files, and back: every digit of a number is kept."""

import re
from typing import Any

import pandas as pd

_NUMBERS = re.compile(r"u?int(8|16|32|64)|U?Int(8|16|32|64)|[fF]loat(16|32|64)|bool|boolean")


def as_plain(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns in their order with their types, and rows; what is not a number is null.

    >>> as_plain(pd.DataFrame({"rule": ["t"], "n": [3], "p": [float("nan")]}))
    {'columns': {'rule': 'text', 'n': 'int64', 'p': 'float64'}, 'rows': [['t', 3, None]]}
    """
    numeric = {str(column): pd.api.types.is_numeric_dtype(kind) for column, kind in frame.dtypes.items()}
    types = {name: str(kind) if numeric[name] else "text" for name, kind in zip(numeric, frame.dtypes, strict=True)}
    rows = frame.astype(object).where(frame.notna(), None).to_numpy(dtype=object).tolist()
    return {"columns": types, "rows": [[cell.item() if hasattr(cell, "item") else cell for cell in row] for row in rows]}


def as_frame(value: Any) -> pd.DataFrame:
    """What `as_plain` was given.

    Raises:
        KeyError, TypeError, ValueError: it is no such value.

    >>> as_frame(as_plain(pd.DataFrame({"n": [3], "p": [float("nan")]}))).dtypes.astype(str).tolist()
    ['int64', 'float64']
    """
    columns = dict(value["columns"])
    frame = pd.DataFrame(value["rows"], columns=list(columns), dtype=object)
    numeric = {name: _numeric(kind) for name, kind in columns.items() if kind != "text"}
    try:
        typed = frame.astype(numeric)
    except OverflowError as error:
        raise ValueError(f"a number is too large for its column ({error})") from error
    return typed.assign(**{name: _text(list(frame[name])) for name, kind in columns.items() if kind == "text"})


def as_kept(frame: pd.DataFrame) -> pd.DataFrame:
    """As `as_frame(as_plain(frame))`: what is made now has the types and index of what was kept before.

    >>> as_kept(pd.DataFrame({"n": [3, 4]})[1:]).index.tolist()
    [0]
    """
    return as_frame(as_plain(frame))


def _numeric(kind: Any) -> Any:
    """A column's type.

    Raises:
        TypeError, ValueError: `as_plain` writes no such one: text of a fixed width would take as much memory as it claims, and
            other words are read by numpy as Python.
    """
    if not _NUMBERS.fullmatch(kind):
        raise ValueError(f"a column of numbers cannot be of the type {kind[:30]!r}")
    return pd.api.types.pandas_dtype(kind)


def _text(values: list[Any]) -> "pd.Series[Any]":
    """With the type that pandas gives to text where it finds some, which is not that of other objects in every version."""
    return pd.Series([*values, ""]).iloc[:-1]
