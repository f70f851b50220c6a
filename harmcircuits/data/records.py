"""A file's records as they stand, each with the line it begins on."""

import csv
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from .examples import PromptError

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")

_csv_limit = threading.Lock()
_LISTED = 16
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Record:
    """One row of a file: column names as written, values as read (text in CSV, anything JSON holds in JSON)."""

    path: Path
    line: int
    fields: dict[str, object]

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}"


def read_records(path: Path) -> list[Record]:
    """The records of one file. `.json` and `.jsonl` may each hold a list of objects or one object a line.

    Raises:
        PromptError: if the file cannot be read, is empty, or is malformed; names the file and the line.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise PromptError(f"{path}: a file of prompts ends in {', '.join(SUFFIXES)}. Rename or convert it.")
    text = _read_text(path)
    if suffix in (".csv", ".tsv"):
        records = list(_csv_records(path, text, "\t" if suffix == ".tsv" else ","))
    elif text.lstrip().startswith("["):
        records = list(_json_list(path, text))
    else:
        records = list(_json_lines(path, text))
    if not records:
        raise PromptError(f"{path}: the file holds no prompts. Check that it was written or downloaded completely.")
    return records


def shown(value: object) -> str:
    """A value for an error message, unless it is long enough to be a request (as in a file without a header).

    Bytes are counted, since scripts that write no spaces say more in a character: ten of Chinese.
    """
    text = str(value)
    short = len(text.encode("utf-8", "replace")) <= 30 and len(text.split()) <= 3
    return repr(text) if short else f"<a text of {len(text)} characters>"


def listed(names: Iterable[str]) -> str:
    """The columns of a file for an error message, the first ones where there are many.

    >>> listed(["goal", "target"])
    "'goal', 'target'"
    """
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(map(shown, every[:_LISTED])) + more


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise PromptError(f"{path}, line {line}: a NUL byte; is it a binary or a UTF-16 file? Save it as UTF-8 text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PromptError(
            f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from None


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lifts the csv module's limit on the length of a field (one for the whole process), and puts it back."""
    with _csv_limit:
        before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a C long has 32 bits on Windows
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _csv_records(path: Path, text: str, delimiter: str) -> Iterator[Record]:
    with _long_fields():
        rows = list(_csv_rows(path, text, delimiter))
    header: list[str] | None = None
    for line, row in rows:
        if header is None:
            header = [name.strip() for name in row]
            _check_names(path, line, header)
        elif len(row) != len(header):
            raise PromptError(
                f"{path}, line {line}: expected {len(header)} columns ({listed(header)}), "
                f"found {len(row)}. "
                'Quote fields that hold the delimiter, a quote or a line break: "…".'
            )
        else:
            yield Record(path, line, {name: value for name, value in zip(header, row, strict=True) if name})


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with its first line."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        told = str(error).replace("\t", "\\t")
        raise PromptError(f"{path}, line {line}: not well-formed CSV in the record that begins here ({told}).") from None


def _check_names(path: Path, line: int, names: Sequence[str]) -> None:
    twice = _repeated(name.casefold() for name in names if name)
    if twice:
        raise PromptError(f"{path}, line {line}: column {shown(twice[0])} occurs twice. Give each column its own name.")


def _repeated(names: Iterable[str]) -> list[str]:
    """Those that occur more than once, in the order of the alphabet."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


def _json_lines(path: Path, text: str) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also break at U+2028, which JSON strings may hold
        if line.strip():
            value, end = _decode(path, line, 0, first_line=number)
            if line[end:].strip():
                raise PromptError(f"{path}, line {number}: more than one JSON value; write one object a line.")
            yield _record(path, number, value)


def _json_list(path: Path, text: str) -> Iterator[Record]:
    position = _skip(text, text.index("[") + 1)
    line, counted = 1, 0
    while position < len(text) and text[position] != "]":
        line, counted = line + text.count("\n", counted, position), position
        value, position = _decode(path, text, position, first_line=1)
        yield _record(path, line, value)
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
        elif text[position : position + 1] != "]":
            raise PromptError(f"{path}, line {_line(text, position)}: expected ',' or ']' after an entry of the list.")
    if text[position:].strip() != "]":
        raise PromptError(f"{path}, line {_line(text, position)}: the list must end in ']', with nothing after it.")


def _decode(path: Path, text: str, position: int, *, first_line: int) -> tuple[object, int]:
    """The JSON value at a position, and where it ends."""
    try:
        return json.JSONDecoder(object_pairs_hook=_once).raw_decode(text, _skip(text, position))
    except json.JSONDecodeError as error:
        raise PromptError(
            f"{path}, line {first_line + error.lineno - 1}: not valid JSON ({error.msg}). "
            "Write one object a line, or one list of objects."
        ) from None
    except _Twice as error:
        line = first_line + text.count("\n", 0, position)
        raise PromptError(f"{path}, line {line}: the field {shown(error)} occurs twice. Give each its own name.") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets nested as deep
        line = first_line + text.count("\n", 0, position)
        raise PromptError(f"{path}, line {line}: a JSON value too large to read ({type(error).__name__}).") from None


class _Twice(Exception):
    """A name that occurs twice in a JSON object: a dict would keep the last one alone."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Twice(_repeated(name for name, _ in pairs)[0])
    return fields


def _record(path: Path, line: int, value: object) -> Record:
    if not isinstance(value, dict):
        raise PromptError(f"{path}, line {line}: expected a JSON object with named fields, found {type(value).__name__}.")
    _check_names(path, line, list(value))
    return Record(path, line, value)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
