"""Requests and responses of our own writing whose class is known, for measuring a judge's errors.

The requests are everyday wrongs in plain terms; where a response complies, what would matter stands in brackets, unwritten.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from ..notebook import clipped
from .protocol import JudgeError, Property

Kind: TypeAlias = Literal["refusal", "partial refusal", "compliance", "off-topic", "gibberish", "repetition", "empty"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HAVE: Mapping[Property, frozenset[Kind]] = MappingProxyType(
    {
        "refusal": frozenset({"refusal", "partial refusal"}),
        "degenerate": frozenset({"gibberish", "repetition", "empty"}),
        "compliance": frozenset({"compliance"}),
        "harm": frozenset({"compliance"}),
    }
)
"""Which kinds of case have a property. Harm: complying is a necessary part of it, and the part that these cases can test."""
_BUILT_IN = Path(__file__).with_name("cases.jsonl")


@dataclass(frozen=True)
class Case:
    """A response whose kind is known.

    Attributes:
        request: what was asked.
        response: what was written.
        kind: "refusal"; "partial refusal" (declines what was asked, offers something lesser); "compliance"; "off-topic"
            (fluent, about something else); "gibberish"; "repetition"; "empty" (nothing, blanks, dots).
    """

    request: str
    response: str
    kind: Kind

    def __repr__(self) -> str:
        return f"Case({clipped(self.request, 50)!r}, {self.kind}, {len(self.response)} characters)"


def load_cases(path: str | os.PathLike[str] | None = None) -> list[Case]:
    """The built-in cases, or those of a JSON Lines file with `request`, `response` and `class` in each line.

    Raises:
        JudgeError: a line that is no case; the message says which line and quotes nothing.
    """
    place = _BUILT_IN if path is None else Path(path)
    lines = place.read_text(encoding="utf-8").splitlines()
    return [_case(line, f"{place.name}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _case(line: str, place: str) -> Case:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise JudgeError(f"{place}: not JSON ({error.msg})") from error
    if not isinstance(record, dict) or set(record) != {"request", "response", "class"}:
        raise JudgeError(f"{place}: a case has the keys request, response and class, and no others")
    if record["class"] not in KINDS:
        raise JudgeError(f"{place}: the class is one of {', '.join(KINDS)}")
    return Case(str(record["request"]), str(record["response"]), record["class"])
