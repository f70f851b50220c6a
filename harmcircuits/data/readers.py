"""Read prompts from the built-in set, a benchmark by name, a list, a table, or a file in any of the field's formats.

A file or table has a format when it has all of the format's columns, whatever their case; of several, the one with most
columns counts. Errors name the file and the line, and never quote a request.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from os import PathLike
from pathlib import Path
from typing import Any, cast

import pandas as pd

from ..errors import HarmcircuitsError
from .examples import Prompt, Role
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
        """Return the column's text, "" where it is absent or null; a whole number counts as text."""
        value = self.fields.get(column)
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise HarmcircuitsError(f"{self.place}: column {column!r} holds a {type(value).__name__}; text is expected.")
        text = "" if value is None else str(value)
        if _NO_TEXT.search(text):
            raise HarmcircuitsError(f"{self.place}: column {column!r} holds a NUL or half a character pair. Remove it.")
        return text

    def get(self, column: str) -> str:
        return self.raw(column).strip()

    def text(self, column: str) -> str:
        if not (text := self.get(column)):
            raise HarmcircuitsError(f"{self.place}: column {column!r} is blank. Fill it or delete the row.")
        return text


def _columns(request: str, **columns: str) -> "Reader":
    """Read harmful requests from a column, and other fields from others. A prefill ends with its first colon, if it has one."""

    def read(row: Row) -> list[Prompt]:
        fields: dict[str, Any] = {field: row.get(column) for field, column in columns.items()}
        head, colon, _ = fields.get("prefill", "").partition(":")
        return [Prompt(request=row.text(request), **fields | {"prefill": (head + colon).strip()})]

    return read


def _xstest(row: Row) -> list[Prompt]:
    """Safe prompts and their unsafe contrasts, which share a category here."""
    label, kind = row.text("label").lower(), row.get("type").removeprefix("contrast_")
    if label not in ("safe", "unsafe"):
        raise HarmcircuitsError(f"{row.place}: column 'label' holds {shown(label)}; expected 'safe' or 'unsafe'.")
    kind = re.sub(r"^(privacy)_(public|fictional)$|^(nons_group_real|real_group_nons)_(discr)$", r"\1\4", kind)
    return [Prompt(request=row.text("prompt"), category=kind, role="harmful" if label == "unsafe" else "near")]


def _jailbreakbench(row: Row) -> list[Prompt]:
    """Harmful and benign behaviours have the same columns: only the file's name tells them apart."""
    role: Role = "near" if "benign" in row.stem.lower() else "harmful"
    return [replace(prompt, role=role) for prompt in _columns("goal", prefill="target", category="category")(row)]


def _harmbench(row: Row) -> list[Prompt]:
    """A contextual behaviour's context comes first. Weapons, as everywhere here, and copyright (no harm) are left out."""
    if row.get("semanticcategory") in ("chemical_biological", "copyright"):
        return []
    request = "\n\n---\n\n".join(filter(None, (row.get("contextstring"), row.text("behavior"))))
    return [Prompt(request=request, category=row.get("semanticcategory"))]


def _triples(row: Row) -> list[Prompt]:
    """The built-in format: one row, three prompts under one prefill."""
    shared = {"category": row.text("category"), "group": row.text("id"), "harm_group": row.get("harm_group")}
    return [Prompt(request=row.text(role), prefill=row.raw("prefill"), role=role, **shared) for role in ROLES]


def _plain(row: Row) -> list[Prompt]:
    role = cast(Role, row.get("role") or "harmful")
    if role not in ROLES:
        raise HarmcircuitsError(f"{row.place}: unknown role {shown(role)}; a role is one of {', '.join(map(repr, ROLES))}.")
    labels = {field: row.get(field) for field in ("category", "group", "harm_group")}
    return [Prompt(request=row.text("request"), prefill=row.raw("prefill"), role=role, **labels)]


Reader = Callable[[Row], list[Prompt]]
FORMATS: Mapping[str, tuple[tuple[str, ...], Reader]] = {
    "triples": (("id", "category", "harmful", "near", "far"), _triples),
    "plain": (("request",), _plain),
    "advbench": (("goal", "target"), _columns("goal", prefill="target")),  # Zou et al. 2023; no categories
    "strongreject": (("category", "forbidden_prompt"), _columns("forbidden_prompt", category="category")),  # Souly et al. 2024
    "xstest": (("prompt", "type", "label"), _xstest),  # Röttger et al. 2024
    "do-not-answer": (  # Wang et al. 2023
        ("question", "risk_area", "types_of_harm"),
        _columns("question", category="types_of_harm", harm_group="risk_area"),
    ),
    "jailbreakbench": (("goal", "target", "behavior", "category"), _jailbreakbench),
    "harmbench": (("behavior", "functionalcategory", "semanticcategory"), _harmbench),  # Mazeika et al. 2024
    "self-instruct": (  # Wang et al. 2022; some have an input to work on; also Alpaca's columns
        ("instruction", "input", "output"),
        lambda row: [Prompt(request="\n\n".join(filter(None, (row.text("instruction"), row.get("input")))), role="far")],
    ),
}
"""Of each format, the columns that a file must have, and the function that reads a row."""

Source = str | PathLike[str] | pd.DataFrame | Iterable[str | Prompt | Mapping[str, object]]
"""A file, a folder or the name of a benchmark; or a table, or a list of requests, of prompts or of rows."""


def load_prompts(
    source: Source | None = None,
    *,
    harmful: Source | None = None,
    benign: Source | None = None,
    prefill: str | None = None,
) -> PromptSet:
    """Read a prompt set; the format is recognised from the columns (`FORMATS`). Harmful is the role where a file says none.

    Benchmarks by name: "advbench", "harmbench", "jailbreakbench", "strongreject", "xstest": the authors' file at a pinned
    revision, downloaded once ("./advbench" is a file or folder). One without prefills gets the shared ones in turn.

    >>> load_prompts(["Spread a rumour about the shop.", {"request": "Describe the shop.", "role": "far"}])
    PromptSet('prompts', prompts: 2 (1 harmful, 0 near, 1 far), categories: 0, triples: 0)
    >>> load_prompts(harmful=["Mock his accent."], benign=["Name a song."]).benign[0].prefill  # shared in turn
    'Sure, here is'

    Args:
        source: a benchmark's name; or a .csv, .tsv, .json or .jsonl file in UTF-8, or a folder of such files, read in order of
            their names; or a DataFrame, or a list of requests (strings), of `hc.Prompt`s or of rows (dicts), in the columns of
            a file; None for the built-in triples.
        harmful: in place of `source`, where there are no triples: a source of harmful requests; with `benign`.
        benign: a source of unrelated benign requests; of one that holds both kinds, the benign ones. Both sets get
            the same few prefills in turn, unless `prefill` says otherwise.
        prefill: the first words of every answer, in place of the file's own; "" for none.

    Raises:
        HarmcircuitsError: the source is missing, malformed, or in no known format, or a benchmark can neither be downloaded nor
            was put into the cache by hand.
    """
    if harmful is None and benign is None:
        prompts = replace(_read(BUILTIN), name="built-in") if source is None else _read(source)
        share = isinstance(source, str) and source in BENCHMARKS and not any(prompt.prefill for prompt in prompts)
    else:
        if source is not None or harmful is None or benign is None:
            raise HarmcircuitsError("give harmful= and benign= together, and no other source: two sets that are no triples.")
        bad, good = _read(harmful), _read(benign)
        if isinstance(benign, str) and benign in BENCHMARKS and not good.benign:
            raise HarmcircuitsError(f"benign={benign!r}: this benchmark holds harmful requests alone. Give a file, or xstest.")
        both = [replace(prompt, role="harmful", group="") for prompt in bad.harmful or bad.prompts]
        both += [replace(prompt, role="far", group="") for prompt in good.benign or good.prompts]
        prompts, share = PromptSet(tuple(both), f"{bad.name} and {good.name}"), True
    if prefill is not None or share:
        turns = {role: cycle(PREFILLS if prefill is None else [prefill]) for role in ROLES}
        prompts = replace(prompts, prompts=tuple(replace(prompt, prefill=next(turns[prompt.role])) for prompt in prompts))
    return prompts


def _read(source: Source) -> PromptSet:
    """Read one file, folder, benchmark or table as it is written."""
    path, prompts, seen = Path("prompts"), list[Prompt](), set[tuple[str, str]]()
    tables = [(path, _in_memory(source))]
    if isinstance(source, str | PathLike):
        path, tables = Path(source).expanduser(), [(file, records(file)) for file in files_of(source)]
    for file, table in tables:
        form = None
        for place, fields in table:
            row = Row(place, file.stem, {str(name).strip().casefold(): value for name, value in fields.items()})
            form = form or _recognise(row)
            required, read = FORMATS[form]
            if not set(required) <= set(row.fields):
                raise HarmcircuitsError(f"{row.place}: expected the columns {', '.join(required)}, found {names(row.fields)}.")
            for prompt in read(row):
                if prompt.group and (prompt.group, prompt.role) in seen:
                    raise HarmcircuitsError(
                        f"{row.place}: the second {prompt.role!r} prompt of its group. Name groups of each file apart."
                    )
                seen.add((prompt.group, prompt.role))
                prompts.append(prompt)
        if form is None:
            raise HarmcircuitsError(
                f"{file}: there are no prompts. Check that all of them were written, downloaded or selected."
            )
        log.info("%s: prompts in format %s", file, form)
    return PromptSet(tuple(prompts), path.resolve().name if path.is_dir() else path.stem)


def _in_memory(source: Any) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the rows of a table or a list, each with its place; a missing value is None."""
    if isinstance(source, pd.DataFrame):
        source = source.astype(object).where(source.notna(), None).to_dict("records")
    for index, item in enumerate(source):
        place, fields = f"prompt {index}", {"request": item} if isinstance(item, str) else item
        if not isinstance(fields, Prompt | Mapping):
            raise HarmcircuitsError(f"{place} is of type {type(item).__name__}: give a request, an hc.Prompt or a dict.")
        yield place, dict(vars(fields) if isinstance(fields, Prompt) else fields)


def _recognise(row: Row) -> str:
    """Of the formats whose columns the row has, the one with most."""
    fitting = {name: len(required) for name, (required, _) in FORMATS.items() if set(required) <= set(row.fields)}
    if not fitting:
        known = "; ".join(f"{name}: {', '.join(required)}" for name, (required, _) in FORMATS.items())
        raise HarmcircuitsError(
            f"{row.place}: the columns {names(row.fields)} belong to no known format. Give the file one of these sets of "
            f"columns: {known}."
        )
    return max(fitting, key=fitting.__getitem__)
