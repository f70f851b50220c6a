"""Prompts from the built-in set, or from a file in any of the field's formats."""

import errno
import logging
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ..examples import Prompt, Role
from .errors import PromptError
from .formats import FORMATS, Format, Row
from .promptset import PromptSet
from .records import SUFFIXES, Record, listed, read_records, shown

BUILTIN = Path(__file__).with_name("builtin")

_log = logging.getLogger(__name__)


PREFILLS = ("Sure, here is", "Sure, here's a", "Of course. Here is", "Sure! Here is how")
"""Shared by the requests of two sources in turn, so that no prefill tells them apart."""


def load_prompts(
    source: str | PathLike[str] | None = None,
    *,
    harmful: str | PathLike[str] | None = None,
    benign: str | PathLike[str] | None = None,
    format: str | None = None,
    name: str | None = None,
    prefill: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> PromptSet:
    """Reads a prompt set; the format is recognised from the columns.

    Formats (`FORMATS`): the built-in triples, AdvBench, StrongREJECT, XSTest, do-not-answer, JailbreakBench, HarmBench,
    self-instruct seeds (and Alpaca), and plain files with a `request` column and any of `prefill`, `category`, `group`,
    `role` and `harm_group`. Harmful is the role where a file does not say otherwise.

    Args:
        source: a .csv, .tsv, .json or .jsonl file in UTF-8, or a folder of such files in one format, read in order of
            their names; None for the built-in triples.
        harmful: a file of harmful requests, in place of `source`, where there are no triples; with `benign`.
        benign: a file of unrelated benign requests. Both get the same few prefills in turn, unless `prefill` says otherwise.
        format: a name from `FORMATS`, to be used whatever other columns there are.
        name: the set's name; the file's or folder's by default.
        prefill: the first words of every answer, in place of the file's own; "" for none.
        columns: for plain files, what each field is called there: `{"request": "my column", "category": "topic"}`.

    Raises:
        PromptError: if the file is missing, malformed, or in no known format; names the file, the line and the cure,
            and never quotes a request.
    """
    if harmful is not None or benign is not None:
        if source is not None or harmful is None or benign is None:
            raise PromptError("give harmful= and benign= together, and no other source: two files that are no triples.")
        return _unpaired(_path_and_role(harmful, benign), format=format, name=name, prefill=prefill, columns=columns)
    if source is None:
        return _read(BUILTIN, format="triples", name=name or "built-in", prefill=prefill, columns=None)
    path = Path(source).expanduser()
    if format is not None and format not in FORMATS:
        raise PromptError(f"format={format!r} is unknown; known formats:\n{_known_formats()}")
    return _read(path, format=format, name=name, prefill=prefill, columns=columns)


def _path_and_role(harmful: str | PathLike[str], benign: str | PathLike[str]) -> list[tuple[Path, Role]]:
    return [(Path(harmful).expanduser(), "harmful"), (Path(benign).expanduser(), "far")]


def _unpaired(
    sources: Sequence[tuple[Path, Role]],
    *,
    format: str | None,
    name: str | None,
    prefill: str | None,
    columns: Mapping[str, str] | None,
) -> PromptSet:
    """Both files, each with the role that it stands for."""
    prompts: list[Prompt] = []
    for path, role in sources:
        read = _read(path, format=format, name=None, prefill=prefill, columns=columns)
        shared = [PREFILLS[at % len(PREFILLS)] if prefill is None else prefill for at in range(len(read))]
        prompts += [replace(prompt, role=role, group="", prefill=first) for prompt, first in zip(read, shared, strict=True)]
    return PromptSet(tuple(prompts), name or " and ".join(path.stem for path, _ in sources))


def _read(
    path: Path, *, format: str | None, name: str | None, prefill: str | None, columns: Mapping[str, str] | None
) -> PromptSet:
    if columns is not None:
        if format not in (None, "plain"):
            raise PromptError(f"columns=… names the fields of a plain file; leave out format={format!r}.")
        format = "plain"
    files = _files(path)
    records = {file: _renamed(read_records(file), columns) for file in files}
    found = {file: format or _recognise(rows[0]) for file, rows in records.items()}
    if len(set(found.values())) > 1:
        listing = ", ".join(f"{file.name}: {kind}" for file, kind in found.items())
        raise PromptError(f"{path}: a folder must hold one format, found {listing}. Load the files one by one and add them.")
    kind = FORMATS[found[files[0]]]
    read = [(record, prompt) for rows in records.values() for record in rows for prompt in _prompts(record, kind)]
    _check_groups(read)
    prompts = [prompt if prefill is None else replace(prompt, prefill=prefill) for _, prompt in read]
    _log.info("%s: %d prompts in format %s", path, len(prompts), found[files[0]])
    return PromptSet(tuple(prompts), name or (path.resolve().name if path.is_dir() else path.stem))


def _files(path: Path) -> list[Path]:
    try:
        return _listed(path)
    except OSError as error:  # a name too long, or a folder that we may not look into
        name = shown(path) if error.errno == errno.ENAMETOOLONG else path  # which may be a request
        raise PromptError(f"{name}: cannot be looked up ({error.strerror}). Give the path of a file or folder.") from None


def _listed(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
        if not files:
            raise PromptError(f"{path.absolute()}: no file in the folder ends in {', '.join(SUFFIXES)}.")
        return files
    if not path.exists():
        raise PromptError(
            f"{path.absolute()}: no such file. Check the path (relative ones start from the working folder), or call "
            "load_prompts() for the built-in prompts."
        )
    return [path]


def _renamed(records: Sequence[Record], columns: Mapping[str, str] | None) -> list[Record]:
    """The records with the columns that the user named under our names."""
    if columns is None:
        return list(records)
    plain = FORMATS["plain"]
    unknown = [field for field in columns if field not in plain.required + plain.optional]
    if unknown:
        known = ", ".join(plain.required + plain.optional)
        raise PromptError(f"columns={dict(columns)!r}: {unknown[0]!r} is no field of a prompt; the fields are {known}.")
    missing = [column for column in columns.values() if column not in records[0].fields]
    if missing:
        raise PromptError(f"{records[0]}: no column {missing[0]!r} (from columns=…); found {_names(records[0])}.")
    return [replace(record, fields=_rename(record.fields, columns)) for record in records]


def _rename(fields: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, object]:
    others = {name: value for name, value in fields.items() if name.casefold() not in columns}
    return others | {ours: fields[theirs] for ours, theirs in columns.items() if theirs in fields}


def _recognise(record: Record) -> str:
    """The format of most columns among those whose columns the record has."""
    have = {name.casefold() for name in record.fields}
    fitting = [name for name, kind in FORMATS.items() if have.issuperset(kind.required)]
    if not fitting:
        raise PromptError(
            f"{record.path}: the columns {_names(record)} belong to no known format. Name yours with "
            f"columns={{'request': '…'}}, or give the file one of these sets of columns:\n{_known_formats()}"
        )
    return max(fitting, key=lambda name: len(FORMATS[name].required))


def _prompts(record: Record, kind: Format) -> list[Prompt]:
    row = Row(record, {name.casefold(): value for name, value in record.fields.items()})
    missing = [column for column in kind.required if column not in row.fields]
    if missing:
        raise PromptError(f"{record}: expected the columns {', '.join(kind.required)}, found {_names(record)}.")
    prompts = list(kind.read(row))
    for prompt in prompts:
        _check_shown(record, prompt)
    return prompts


def _check_shown(record: Record, prompt: Prompt) -> None:
    """Names are printed: none of them may move a terminal's cursor, or begin a new line of a table."""
    for field in ("category", "group", "harm_group"):
        control = next((letter for letter in getattr(prompt, field) if unicodedata.category(letter) == "Cc"), None)
        if control is not None:
            raise PromptError(f"{record}: the {field} holds the control character {control!r}. Remove it: names are printed.")


def _check_groups(read: Sequence[tuple[Record, Prompt]]) -> None:
    seen: dict[tuple[str, str], Record] = {}
    for record, prompt in read:
        first = seen.setdefault((prompt.group, prompt.role), record) if prompt.group else record
        if first is not record:
            raise PromptError(
                f"{record}: group {shown(prompt.group)} already has a {prompt.role!r} prompt ({first}). "
                "A group has one prompt a role: rename one of them."
            )


def _names(record: Record) -> str:
    return listed(record.fields)


def _known_formats() -> str:
    lines = []
    for name, kind in FORMATS.items():
        optional = f" (and perhaps {', '.join(kind.optional)})" if kind.optional else ""
        lines.append(f"  {name}: {', '.join(kind.required)}{optional}")
    return "\n".join(lines)
