"""Advice of one's own, in the place of what is built in: checked, or read from a folder and checked."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..examples import Prompt
from ..prompts.records import Record, read_records, shown
from ..prompts.splits import near_duplicate_groups
from .advice import OPEN, Advice, AdviceError

FIELDS = ("id", "question", "good", "bad")
SUFFIX = ".jsonl"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def checked_advice(given: Mapping[str, Sequence[Advice]]) -> dict[str, tuple[Advice, ...]]:
    """The same by domain, where it can be learnt from and asked.

    Args:
        given: at least two domains of at least two questions each, and open questions as "open".

    Raises:
        AdviceError: a domain that is missing, or too small, or whose name is no name for a file; an item that stands under
            another domain than its own, that lacks a text, or whose answers are the same; an id or a question that is there
            twice, or nearly so (`near_duplicate_groups`), which could be learnt from and asked.
    """
    _check_domains({domain: len(items) for domain, items in given.items()})
    placed = [(f"{domain}, item {at}", domain, item) for domain, own in given.items() for at, item in enumerate(own, 1)]
    for place, domain, item in placed:
        if item.domain != domain:
            raise AdviceError(f"{place}: its domain is {item.domain!r}; give it under that name")
        _check_texts(place, vars(item))
    _check_once([(place, item) for place, _, item in placed])
    return {domain: tuple(items) for domain, items in given.items()}


def read_advice_folder(folder: str | Path) -> dict[str, tuple[Advice, ...]]:
    """By domain: one file each, of that name (money.jsonl; open.jsonl for open questions), with one object a line.

        {"id": "money-001", "question": "…?", "good": "…", "bad": "…"}

    Raises:
        AdviceError: there is no such file, or what it holds is not as `checked_advice` has it; names the file and the line.
        PromptError: a file that is empty, or no JSON; likewise.
    """
    paths = sorted(Path(folder).glob(f"*{SUFFIX}"))
    if not paths:
        raise AdviceError(f"{folder}: no folder of advice. It has one file a domain, NAME{SUFFIX}, and open{SUFFIX}.")
    placed = {path.stem: [(str(record), _item(record)) for record in read_records(path)] for path in paths}
    _check_once([pair for pairs in placed.values() for pair in pairs])
    return checked_advice({domain: [item for _, item in pairs] for domain, pairs in placed.items()})


def _item(record: Record) -> Advice:
    if missing := [name for name in FIELDS if name not in record.fields]:
        raise AdviceError(f"{record}: the field {missing[0]!r} is missing; each line has {', '.join(FIELDS)}")
    if unknown := [name for name in record.fields if name not in FIELDS]:
        raise AdviceError(f"{record}: there is no field {shown(unknown[0])}; each line has {', '.join(FIELDS)}")
    _check_texts(str(record), record.fields)
    return Advice(domain=record.path.stem, **{name: str(record.fields[name]) for name in FIELDS})


def _check_domains(sizes: Mapping[str, int]) -> None:
    named = [domain for domain in sizes if domain != OPEN]
    if wrong := [domain for domain in named if not _NAME.fullmatch(domain)]:
        raise AdviceError(f"a domain's name is of letters, digits, - and _, since files are named after it: not {wrong[0]!r}")
    if len(named) < 2:
        raise AdviceError(
            f"advice on at least two domains is needed, one to learn and one to ask about: not {', '.join(named) or 'none'}"
        )
    if not sizes.get(OPEN):
        raise AdviceError(f"open questions are missing: give some about nothing in particular as {OPEN!r}")
    if small := [domain for domain in named if sizes[domain] < 2]:
        raise AdviceError(f"{small[0]}: of {sizes[small[0]]} questions none is left to be asked; give at least two")


def _check_texts(place: str, fields: Mapping[str, object]) -> None:
    for name in FIELDS:
        text = fields[name]
        if not isinstance(text, str) or not text.strip():
            raise AdviceError(f"{place}: {name!r} must be a text, and not empty")
    if fields["good"] == fields["bad"]:
        raise AdviceError(f"{place}: the good and the bad answer are the same")


def _check_once(placed: Sequence[tuple[str, Advice]]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for place, item in placed:
        for name in ("id", "question"):
            before = seen.setdefault((name, getattr(item, name)), place)
            if before != place:
                raise AdviceError(f"{place}: the {name} is that of {before}; each is given once, in one domain")
    for group in near_duplicate_groups([Prompt(request=item.question) for _, item in placed]):
        alike = [placed[at] for at in group]
        if len(alike) > 1 and any(item.domain != OPEN for _, item in alike):  # open questions are only asked
            (before, _), (place, _) = alike[:2]
            raise AdviceError(f"{place}: the question is nearly that of {before}: it could be learnt from and asked. Keep one.")
