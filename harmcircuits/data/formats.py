"""The formats of prompt files: the columns that tell them apart, and how a row becomes prompts.

Column names are compared without regard to case. A file has a format when it has all of the format's columns; of
several, the one with most columns counts. Sources (what each author's file holds) are named beside the functions.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from .examples import Prompt, PromptError, Role
from .records import Record, shown

_ROLES: tuple[Role, ...] = get_args(Role)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """A record read through its format: columns by lower-case name, as text."""

    record: Record
    fields: Mapping[str, object]

    def optional(self, column: str) -> str:
        """The column's text, "" where it is absent or null; a whole number counts as text."""
        value = self.fields.get(column)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise PromptError(f"{self.record}: column {column!r} holds a {type(value).__name__}; text is expected.")
        text = str(value)
        if _NO_TEXT.search(text):
            raise PromptError(f"{self.record}: column {column!r} holds a NUL or half a character pair. Remove it.")
        return text

    def label(self, column: str) -> str:
        """An optional column without the white space around it."""
        return self.optional(column).strip()

    def text(self, column: str) -> str:
        """A column that must say something, without the white space around it."""
        text = self.label(column)
        if not text:
            raise PromptError(f"{self.record}: column {column!r} is blank. Fill it or delete the row.")
        return text


@dataclass(frozen=True)
class Format:
    """Columns a file must have, columns it may have besides, and the function that reads a row."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Row], Iterable[Prompt]]


def _advbench(row: Row) -> Iterable[Prompt]:
    """Zou et al. 2023: a goal and the affirmative prefix that agrees to it; no categories."""
    yield Prompt(request=row.text("goal"), prefill=affirmative(row.optional("target")))


def _strongreject(row: Row) -> Iterable[Prompt]:
    """Souly et al. 2024."""
    yield Prompt(request=row.text("forbidden_prompt"), category=row.label("category"))


def _category_prompt(row: Row) -> Iterable[Prompt]:
    """Variants of the same file, as others have passed it on."""
    yield Prompt(request=row.text("prompt"), category=row.label("category"))


# XSTest's safe types that contrast with an unsafe one of another name
_CONTRASTED = {
    "nons_group_real_discr": "discr",
    "real_group_nons_discr": "discr",
    "privacy_public": "privacy",
    "privacy_fictional": "privacy",
}


def _xstest(row: Row) -> Iterable[Prompt]:
    """Röttger et al. 2024: safe prompts and their unsafe contrasts, which share a category here."""
    label = row.text("label").lower()
    if label not in ("safe", "unsafe"):
        raise PromptError(f"{row.record}: column 'label' holds {shown(label)}; expected 'safe' or 'unsafe'.")
    category = row.label("type").removeprefix("contrast_")
    role: Role = "harmful" if label == "unsafe" else "near"
    yield Prompt(request=row.text("prompt"), category=_CONTRASTED.get(category, category), role=role)


def _do_not_answer_intents(row: Row) -> Iterable[Prompt]:
    """Wang et al. 2023, one file a risk area: the category. (Intents are too fine for a split to balance.)"""
    yield Prompt(request=row.text("prompt"), category=row.record.path.stem)


def _do_not_answer(row: Row) -> Iterable[Prompt]:
    """Wang et al. 2023, as the authors publish it: five risk areas, twelve types of harm."""
    yield Prompt(request=row.text("question"), category=row.label("types_of_harm"), harm_group=row.label("risk_area"))


def _jailbreakbench(row: Row) -> Iterable[Prompt]:
    """Chao et al. 2024. Harmful and benign behaviours have the same columns: only the file's name tells them apart."""
    role: Role = "near" if "benign" in row.record.path.stem.lower() else "harmful"
    prefill = affirmative(row.optional("target"))
    yield Prompt(request=row.text("goal"), prefill=prefill, category=row.label("category"), role=role)


_EXCLUDED = ("chemical_biological", "copyright")


def _harmbench(row: Row) -> Iterable[Prompt]:
    """Mazeika et al. 2024; a contextual behaviour's context comes first, set off as the authors do.

    Rows on chemical and biological weapons are left out, as everywhere in this package, and those on copyright, which ask for
    the text of books and songs: no harmful request.
    """
    if row.label("semanticcategory") in _EXCLUDED:
        return
    context, behavior = row.label("contextstring"), row.text("behavior")
    request = f"{context}\n\n---\n\n{behavior}" if context else behavior
    yield Prompt(request=request, category=row.label("semanticcategory"))


def _self_instruct(row: Row) -> Iterable[Prompt]:
    """Wang et al. 2022 (and Alpaca, which keeps its columns): everyday instructions, some with an input to work on."""
    request = "\n\n".join(filter(None, (row.text("instruction"), row.label("input"))))
    yield Prompt(request=request, role="far")


def _triples(row: Row) -> Iterable[Prompt]:
    """The built-in format: one row, three prompts under one prefill."""
    for role in _ROLES:
        yield Prompt(
            request=row.text(role),
            prefill=row.optional("prefill"),
            category=row.text("category"),
            group=row.text("id"),
            role=role,
            harm_group=row.label("harm_group"),
        )


def _plain(row: Row) -> Iterable[Prompt]:
    """A prompt's own fields as columns."""
    role = row.label("role") or "harmful"
    if role not in _ROLES:
        raise PromptError(f"{row.record}: unknown role {shown(role)}; a role is one of {', '.join(map(repr, _ROLES))}.")
    yield Prompt(
        request=row.text("request"),
        prefill=row.optional("prefill"),
        category=row.label("category"),
        group=row.label("group"),
        role=role,
        harm_group=row.label("harm_group"),
    )


def affirmative(target: str) -> str:
    """The prefix of a target: up to and including its first colon, or all of it, without white space around.

    >>> affirmative("Sure, here is a list: first")
    'Sure, here is a list:'
    """
    head, colon, _ = target.partition(":")
    return (head + colon).strip()


FORMATS: Mapping[str, Format] = {
    "triples": Format(("id", "category", "harmful", "near", "far"), ("prefill", "harm_group"), _triples),
    "plain": Format(("request",), ("prefill", "category", "group", "role", "harm_group"), _plain),
    "advbench": Format(("goal", "target"), (), _advbench),
    "strongreject": Format(("category", "forbidden_prompt"), ("source",), _strongreject),
    "category-prompt": Format(("category", "prompt"), ("source",), _category_prompt),
    "xstest": Format(("prompt", "type", "label"), ("id", "focus", "note"), _xstest),
    "do-not-answer-intents": Format(("prompt", "intents"), (), _do_not_answer_intents),
    "do-not-answer": Format(("question", "risk_area", "types_of_harm"), ("id", "specific_harms"), _do_not_answer),
    "jailbreakbench": Format(("goal", "target", "behavior", "category"), ("index", "source"), _jailbreakbench),
    "harmbench": Format(
        ("behavior", "functionalcategory", "semanticcategory"),
        ("tags", "contextstring", "behaviorid"),
        _harmbench,
    ),
    "self-instruct": Format(("instruction", "input", "output"), ("id", "name"), _self_instruct),
}
