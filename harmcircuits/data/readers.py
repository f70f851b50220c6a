"""Prompts from the built-in set, a benchmark by name, or a file in any of the field's formats.

A file has a format when it has all of the format's columns, whatever their case; of several, the one with most columns counts.
Errors name the file and the line, and never quote a request.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from os import PathLike
from pathlib import Path
from typing import Any, cast

from .examples import Prompt, PromptError, Role
from .prompt_set import ROLES, PromptSet
from .sources import BENCHMARKS, files_of, names, records, shown

log = logging.getLogger(__name__)
BUILTIN = Path(__file__).with_name("builtin")
PREFILLS = ("Sure, here is", "Sure, here's a", "Of course. Here is", "Sure! Here is how")
"""Shared by harmful and benign requests in turn, so that no prefill tells them apart."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One record of a file: its place ("file.csv, line 3"), the file's stem, and columns by lower-case name."""

    place: str
    stem: str
    fields: Mapping[str, object]

    def raw(self, column: str) -> str:
        """The column's text, "" where it is absent or null; a whole number counts as text."""
        value = self.fields.get(column)
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise PromptError(f"{self.place}: column {column!r} holds a {type(value).__name__}; text is expected.")
        text = "" if value is None else str(value)
        if _NO_TEXT.search(text):
            raise PromptError(f"{self.place}: column {column!r} holds a NUL or half a character pair. Remove it.")
        return text

    def get(self, column: str) -> str:
        """The column's text without the white space around it."""
        return self.raw(column).strip()

    def text(self, column: str) -> str:
        """The text of a column that must not be blank."""
        if not (text := self.get(column)):
            raise PromptError(f"{self.place}: column {column!r} is blank. Fill it or delete the row.")
        return text


@dataclass(frozen=True)
class Format:
    """Columns that a file must have, columns that it may have, and the function that reads a row."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Row], Iterable[Prompt]]


def affirmative(target: str) -> str:
    """The prefix of a target: "Sure, here is a list:", up to and including its first colon, or all of it."""
    head, colon, _ = target.partition(":")
    return (head + colon).strip()


def _columns(request: str, **columns: str) -> Callable[[Row], Iterable[Prompt]]:
    """Read harmful requests from a column, and other fields from others; of a prefill's column, its `affirmative` prefix."""

    def read(row: Row) -> Iterable[Prompt]:
        fields: dict[str, Any] = {field: row.get(column) for field, column in columns.items()}
        yield Prompt(request=row.text(request), **fields | {"prefill": affirmative(fields.get("prefill", ""))})

    return read


def _xstest(row: Row) -> Iterable[Prompt]:
    """Safe prompts and their unsafe contrasts, which share a category here."""
    label, kind = row.text("label").lower(), row.get("type").removeprefix("contrast_")
    if label not in ("safe", "unsafe"):
        raise PromptError(f"{row.place}: column 'label' holds {shown(label)}; expected 'safe' or 'unsafe'.")
    kind = re.sub(
        r"^(nons_group_real|real_group_nons)_discr$", "discr", re.sub(r"^privacy_(public|fictional)$", "privacy", kind)
    )
    yield Prompt(request=row.text("prompt"), category=kind, role="harmful" if label == "unsafe" else "near")


def _jailbreakbench(row: Row) -> Iterable[Prompt]:
    """Harmful and benign behaviours have the same columns: only the file's name tells them apart."""
    role: Role = "near" if "benign" in row.stem.lower() else "harmful"
    yield from (replace(prompt, role=role) for prompt in _columns("goal", prefill="target", category="category")(row))


def _harmbench(row: Row) -> Iterable[Prompt]:
    """A contextual behaviour's context comes first. Weapons, as everywhere here, and copyright (no harm) are left out."""
    if row.get("semanticcategory") not in ("chemical_biological", "copyright"):
        request = "\n\n---\n\n".join(filter(None, (row.get("contextstring"), row.text("behavior"))))
        yield Prompt(request=request, category=row.get("semanticcategory"))


def _self_instruct(row: Row) -> Iterable[Prompt]:
    """Everyday instructions, some with an input to work on; also Alpaca's columns."""
    yield Prompt(request="\n\n".join(filter(None, (row.text("instruction"), row.get("input")))), role="far")


def _do_not_answer_intents(row: Row) -> Iterable[Prompt]:
    """One file a risk area, which is the category: intents are too fine for a split to balance."""
    yield Prompt(request=row.text("prompt"), category=row.stem)


def _triples(row: Row) -> Iterable[Prompt]:
    """The built-in format: one row, three prompts under one prefill."""
    shared = {"category": row.text("category"), "group": row.text("id"), "harm_group": row.get("harm_group")}
    for role in ROLES:
        yield Prompt(request=row.text(role), prefill=row.raw("prefill"), role=role, **shared)


def _plain(row: Row) -> Iterable[Prompt]:
    """A prompt's own fields as columns."""
    role = cast(Role, row.get("role") or "harmful")
    if role not in ROLES:
        raise PromptError(f"{row.place}: unknown role {shown(role)}; a role is one of {', '.join(map(repr, ROLES))}.")
    labels = {field: row.get(field) for field in ("category", "group", "harm_group")}
    yield Prompt(request=row.text("request"), prefill=row.raw("prefill"), role=role, **labels)


FORMATS: Mapping[str, Format] = {
    "triples": Format(("id", "category", "harmful", "near", "far"), ("prefill", "harm_group"), _triples),
    "plain": Format(("request",), ("prefill", "category", "group", "role", "harm_group"), _plain),
    # Zou et al. 2023: a goal and the target that agrees to it; no categories
    "advbench": Format(("goal", "target"), (), _columns("goal", prefill="target")),
    # Souly et al. 2024, and the same file as others have passed it on
    "strongreject": Format(("category", "forbidden_prompt"), ("source",), _columns("forbidden_prompt", category="category")),
    "category-prompt": Format(("category", "prompt"), ("source",), _columns("prompt", category="category")),
    "xstest": Format(("prompt", "type", "label"), ("id", "focus", "note"), _xstest),  # Röttger et al. 2024
    # Wang et al. 2023: one file a risk area, and as published
    "do-not-answer-intents": Format(("prompt", "intents"), (), _do_not_answer_intents),
    "do-not-answer": Format(
        ("question", "risk_area", "types_of_harm"),
        ("id", "specific_harms"),
        _columns("question", category="types_of_harm", harm_group="risk_area"),
    ),
    "jailbreakbench": Format(("goal", "target", "behavior", "category"), ("index", "source"), _jailbreakbench),
    "harmbench": Format(  # Mazeika et al. 2024
        ("behavior", "functionalcategory", "semanticcategory"), ("tags", "contextstring", "behaviorid"), _harmbench
    ),
    "self-instruct": Format(("instruction", "input", "output"), ("id", "name"), _self_instruct),  # Wang et al. 2022
}


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
    """Read a prompt set; the format is recognised from the columns (`FORMATS`). Harmful is the role where a file says none.

    Benchmarks by name: "advbench", "harmbench", "jailbreakbench", "strongreject", "xstest": the authors' file at a pinned
    revision, downloaded once ("./advbench" is a file or folder). One without prefills gets the shared ones in turn.

    Args:
        source: a benchmark's name; or a .csv, .tsv, .json or .jsonl file in UTF-8, or a folder of such files in one format,
            read in order of their names; None for the built-in triples.
        harmful: a file or benchmark of harmful requests, in place of `source`, where there are no triples; with `benign`.
        benign: a file or benchmark of unrelated benign requests, likewise. Of one that holds both kinds, only the benign
            requests are taken. Both sets get the same few prefills in turn, unless `prefill` says otherwise.
        format: a name from `FORMATS`, to be used whatever other columns there are.
        name: the set's name; the benchmark's, file's or folder's by default.
        prefill: the first words of every answer, in place of the file's own; "" for none.
        columns: for plain files, the column of each field: `{"request": "my column", "category": "topic"}`.

    Raises:
        PromptError: the file is missing, malformed, or in no known format, or a benchmark can neither be downloaded nor was
            put into the cache by hand.
    """
    if format is not None and format not in FORMATS:
        raise PromptError(f"format={format!r} is unknown; known formats: {', '.join(FORMATS)}.")
    plain = FORMATS["plain"].required + FORMATS["plain"].optional
    if columns is not None and (format not in (None, "plain") or not set(columns) <= set(plain)):
        raise PromptError(
            f"columns={dict(columns)!r} names the fields of a plain file ({', '.join(plain)}), format={format!r}."
        )
    read = lambda place: _read(place, format="plain" if columns is not None else format, columns=columns or {})
    if harmful is None and benign is None:
        prompts = read(source) if source is not None else replace(_read(BUILTIN, format="triples", columns={}), name="built-in")
        share = isinstance(source, str) and source in BENCHMARKS and not any(prompt.prefill for prompt in prompts)
    else:
        if source is not None or harmful is None or benign is None:
            raise PromptError("give harmful= and benign= together, and no other source: two files that are no triples.")
        bad, good = read(harmful), read(benign)
        if isinstance(benign, str) and benign in BENCHMARKS and not good.benign:
            raise PromptError(f"benign={benign!r}: this benchmark holds harmful requests alone. Give a file, or xstest.")
        roles: dict[Role, tuple[Prompt, ...]] = {"harmful": bad.harmful or bad.prompts, "far": good.benign or good.prompts}
        both = (replace(prompt, role=role, group="") for role, own in roles.items() for prompt in own)
        prompts, share = PromptSet(tuple(both), f"{bad.name} and {good.name}"), True
    if prefill is not None:
        prompts = replace(prompts, prompts=tuple(replace(prompt, prefill=prefill) for prompt in prompts))
    elif share:
        turns = {role: cycle(PREFILLS) for role in ROLES}
        prompts = replace(prompts, prompts=tuple(replace(prompt, prefill=next(turns[prompt.role])) for prompt in prompts))
    return replace(prompts, name=name or prompts.name)


def _read(source: str | PathLike[str], *, format: str | None, columns: Mapping[str, str]) -> PromptSet:
    """The prompts of one file, folder or benchmark, as they are written there."""
    path, prompts, formats = Path(source).expanduser(), list[Prompt](), dict[str, str]()
    for file in files_of(source):
        rows = [_row(file, place, fields, columns) for place, fields in records(file)]
        if not rows:
            raise PromptError(f"{file}: the file holds no prompts. Check that it was written or downloaded completely.")
        kind = FORMATS[formats.setdefault(file.name, format or _recognise(rows[0]))]
        for row in rows:
            if not set(kind.required) <= set(row.fields):
                raise PromptError(f"{row.place}: expected the columns {', '.join(kind.required)}, found {names(row.fields)}.")
            prompts += kind.read(row)
    if len(set(formats.values())) > 1:
        found = ", ".join(f"{name}: {kind_name}" for name, kind_name in formats.items())
        raise PromptError(f"{path}: a folder must hold one format, found {found}. Load the files one by one and add them.")
    log.info("%s: %d prompts in format %s", path, len(prompts), next(iter(formats.values())))
    return PromptSet(tuple(prompts), path.resolve().name if path.is_dir() else path.stem)


def _row(file: Path, place: str, fields: Mapping[str, object], columns: Mapping[str, str]) -> Row:
    """A record, with the columns that the user named under our names."""
    if missing := [column for column in columns.values() if column not in fields]:
        raise PromptError(f"{place}: no column {missing[0]!r} (from columns=…); found {names(fields)}.")
    others = {name.casefold(): value for name, value in fields.items() if name.casefold() not in columns}
    return Row(place, file.stem, others | {ours: fields[theirs] for ours, theirs in columns.items()})


def _recognise(row: Row) -> str:
    """The format of most columns among those whose columns the row has."""
    fitting = [name for name, kind in FORMATS.items() if set(kind.required) <= set(row.fields)]
    if not fitting:
        known = "; ".join(f"{name}: {', '.join(kind.required)}" for name, kind in FORMATS.items())
        raise PromptError(
            f"{row.place}: the columns {names(row.fields)} belong to no known format. Name yours with "
            f"columns={{'request': '…'}}, or give the file one of these sets of columns: {known}."
        )
    return max(fitting, key=lambda name: len(FORMATS[name].required))
