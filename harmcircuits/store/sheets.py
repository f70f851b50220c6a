"""Tables as CSV that a spreadsheet opens as text: names come from files, and a cell that begins with "=" would be computed.

A text that begins with `=`, `+`, `-`, `@`, a tab, a line end or a full-width form of these gets an apostrophe before it, and so
does one that begins with an apostrophe: `as_read` takes one away again. Numbers stay numbers.
"""

import csv
from pathlib import Path
from typing import Any

import pandas as pd

from .errors import StoreError, check_no_pipe

_COMPUTED = "=+-@\t\r\n＝＋－＠"
_GUARD = "'"


def as_csv(frame: pd.DataFrame) -> str:
    """The frame as CSV, without its index.

    >>> print(as_csv(pd.DataFrame({"group": ["=1+1", "plain"], "nll": [-0.5, 2.0]})))
    group,nll
    '=1+1,-0.5
    plain,2.0
    <BLANKLINE>
    """
    guarded = frame.map(_guarded)
    broken = guarded.map(lambda cell: isinstance(cell, str) and "\r" in cell).any(axis=None)  # which is not quoted by itself
    return str(guarded.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL))


def read_csv(path: Path, *, cure: str, **options: Any) -> pd.DataFrame:
    """`pandas.read_csv`, whose cells are still as `as_csv` wrote them.

    Args:
        cure: what to do where there is no table, for the message.
        options: of `pandas.read_csv`.

    Raises:
        StoreError: the file is missing, a pipe, or no table.
    """
    check_no_pipe(path)
    try:
        frame: pd.DataFrame = pd.read_csv(path, **options)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}. {cure}") from error
    return frame


def as_read(frame: pd.DataFrame) -> pd.DataFrame:
    """What `as_csv` was given, from what pandas read."""
    return frame.map(_bare)


def _guarded(cell: object) -> object:
    return _GUARD + cell if isinstance(cell, str) and cell[:1] and cell[0] in _COMPUTED + _GUARD else cell


def _bare(cell: object) -> object:
    return cell[1:] if isinstance(cell, str) and cell[:1] == _GUARD and cell[1:2] and cell[1] in _COMPUTED + _GUARD else cell
