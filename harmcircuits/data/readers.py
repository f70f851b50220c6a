"""Prompts from the built-in set, a benchmark by name, or a file in any of the field's formats."""

import errno
import logging
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from os import PathLike
from pathlib import Path

from .benchmarks import BENCHMARKS, benchmark_files
from .examples import Prompt, PromptError, Role
from .formats import FORMATS, Format, Row
from .prompt_set import ROLES, PromptSet
from .records import SUFFIXES, Record, listed, read_records, shown

BUILTIN = Path(__file__).with_name("builtin")

_log = logging.getLogger(__name__)

PREFILLS = ("Sure, here is", "Sure, here's a", "Of course. Here is", "Sure! Here is how")
"""Shared by harmful and benign requests in turn, so that no prefill tells them apart."""


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
    """Read a prompt set; the format is recognised from the columns.

    Benchmarks by name (`BENCHMARKS`): "advbench", "harmbench", "jailbreakbench", "strongreject", "xstest":
    the authors' file at a pinned revision, downloaded once. A string that is one of these names is the benchmark, whatever lies
    in the working folder; "./advbench" or a `Path` is a file or folder. A benchmark whose file has no prefills gets the shared
    ones in turn.

    Formats (`FORMATS`): the built-in triples, AdvBench, StrongREJECT, XSTest, do-not-answer, JailbreakBench, HarmBench,
    self-instruct seeds (and Alpaca), and plain files with a `request` column and any of `prefill`, `category`, `group`,
    `role` and `harm_group`. Harmful is the role where a file does not say otherwise.

    Args:
        source: a benchmark's name; or a .csv, .tsv, .json or .jsonl file in UTF-8, or a folder of such files in one format,
            read in order of their names; None for the built-in triples.
        harmful: a file or benchmark of harmful requests, in place of `source`, where there are no triples; with `benign`. Of
            one that holds both kinds, only the harmful requests are taken.
        benign: a file or benchmark of unrelated benign requests, likewise. Both get the same few prefills in turn, unless
            `prefill` says otherwise.
        format: a name from `FORMATS`, to be used whatever other columns there are.
        name: the set's name; the benchmark's, file's or folder's by default.
        prefill: the first words of every answer, in place of the file's own; "" for none.
        columns: for plain files, what each field is called there: `{"request": "my column", "category": "topic"}`.

    Raises:
        PromptError: if the file is missing, malformed, or in no known format, or a benchmark can neither be downloaded nor was
            put into the cache by hand; names the file, the line and the cure, and never quotes a request.
    """
    if format is not None and format not in FORMATS:
        raise PromptError(f"format={format!r} is unknown; known formats:\n{_known_formats()}")
    if harmful is not None or benign is not None:
        if source is not None or harmful is None or benign is None:
            raise PromptError("give harmful= and benign= together, and no other source: two files that are no triples.")
        return _unpaired({"harmful": harmful, "far": benign}, format=format, name=name, prefill=prefill, columns=columns)
    if source is None:
        return _read(BUILTIN, format="triples", name=name or "built-in", prefill=prefill, columns=None)
    return _read(source, format=format, name=name, prefill=prefill, columns=columns)


def _unpaired(
    sources: Mapping[Role, str | PathLike[str]],
    *,
    format: str | None,
    name: str | None,
    prefill: str | None,
    columns: Mapping[str, str] | None,
) -> PromptSet:
    """The requests of both sources, each with the role that the source stands for."""
    sets = {role: _read(source, format=format, name=None, prefill=prefill, columns=columns) for role, source in sources.items()}
    if isinstance(sources["far"], str) and sources["far"] in BENCHMARKS and not sets["far"].benign:
        raise PromptError(
            f"benign={sources['far']!r}: this benchmark holds harmful requests alone. Give benign ones: a file, or xstest."
        )
    prompts = [replace(p, role=role, group="") for role, own in sets.items() for p in _of_kind(own, harmful=role == "harmful")]
    default_name = " and ".join(own.name for own in sets.values())
    return PromptSet(tuple(_with_shared_prefills(prompts) if prefill is None else prompts), name or default_name)


def _of_kind(prompts: PromptSet, *, harmful: bool) -> Sequence[Prompt]:
    """The harmful or the benign prompts; all where the file does not tell them apart."""
    return (prompts.harmful if harmful else prompts.benign) or prompts.prompts


def _with_shared_prefills(prompts: Iterable[Prompt]) -> list[Prompt]:
    """The prompts of each role with the shared prefills in turn."""
    turns = {role: cycle(PREFILLS) for role in ROLES}
    return [replace(prompt, prefill=next(turns[prompt.role])) for prompt in prompts]


def _read(
    source: str | PathLike[str],
    *,
    format: str | None,
    name: str | None,
    prefill: str | None,
    columns: Mapping[str, str] | None,
) -> PromptSet:
    if columns is not None:
        if format not in (None, "plain"):
            raise PromptError(f"columns=… names the fields of a plain file; leave out format={format!r}.")
        format = "plain"
    path, benchmark = Path(source).expanduser(), benchmark_files(source)
    files = benchmark or _files(path)
    records = {file: _renamed(read_records(file), columns) for file in files}
    found = {file: format or _recognise(rows[0]) for file, rows in records.items()}
    if len(set(found.values())) > 1:
        listing = ", ".join(f"{file.name}: {kind}" for file, kind in found.items())
        raise PromptError(f"{path}: a folder must hold one format, found {listing}. Load the files one by one and add them.")
    kind = FORMATS[found[files[0]]]
    read = [(record, prompt) for rows in records.values() for record in rows for prompt in _prompts(record, kind)]
    _check_groups(read)
    prompts = [prompt if prefill is None else replace(prompt, prefill=prefill) for _, prompt in read]
    if benchmark and prefill is None and not any(prompt.prefill for prompt in prompts):
        prompts = _with_shared_prefills(prompts)
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
            f"{path.absolute()}: no such file, and no benchmark ({', '.join(BENCHMARKS)}). Check the path (relative ones start "
            "from the working folder), or call load_prompts() for the built-in prompts."
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
