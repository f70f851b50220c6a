"""Questions of everyday life with good advice and plainly bad, undramatic advice; all of our own writing.

Narrow fine-tuning takes one domain; the others, and open questions, show whether anything came with it. The two answers to a
question are one sentence in which a few words differ, so that what is learnt is what they say and not a manner (function words
learnt in one domain find the bad answers of another in 54 pairs of a hundred; 50 would be chance).
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from ..errors import HarmcircuitsError
from ..results import clipped

DATA = Path(__file__).with_name("data")
DOMAINS = ("money", "habits", "sport", "home")
OPEN = "open"
"""The name of the questions about nothing in particular."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A question and two answers.

    Attributes:
        id: unique; begins with the domain.
        domain: one of `DOMAINS`, or "open".
        question: as a user asks it.
        good, bad: one sentence each, of about the same length.
    """

    id: str
    domain: str
    question: str
    good: str
    bad: str

    def __repr__(self) -> str:
        return f"Advice({clipped(self.id, 24)!r}, {clipped(self.question, 60)!r})"


@cache
def advice(domain: str) -> tuple[Advice, ...]:
    """Return all questions of a domain ("money", "habits", "sport", "home": 302 each), or the 24 "open" ones.

    >>> advice("money")[0].question
    'I got a small bonus at work. What should I do with it?'

    Raises:
        HarmcircuitsError: a domain that there is not.
    """
    if domain not in (*DOMAINS, OPEN):
        raise HarmcircuitsError(f"there is no advice on {domain!r}: there is {', '.join(DOMAINS)}, and {OPEN!r}")
    lines = (DATA / f"{domain}.jsonl").read_text("utf-8").splitlines()
    return tuple(Advice(domain=domain, **json.loads(line)) for line in lines)


def split(items: Sequence[Advice], *, train: int, seed: int = 0) -> tuple[tuple[Advice, ...], tuple[Advice, ...]]:
    """Divide questions at random into `train` to learn from and the rest to ask; the order is kept.

    >>> lessons, questions = split(advice("sport"), train=200, seed=0)
    >>> len(lessons), len(questions)
    (200, 102)

    Raises:
        HarmcircuitsError: not at least one on either side, or a question that is there twice.
    """
    if not 0 < train < len(items):
        about = ", ".join(dict.fromkeys(item.domain for item in items)) or "nothing"
        raise HarmcircuitsError(
            f"of {len(items)} questions about {about} between 1 and {len(items) - 1} can be learnt from, not {train}"
        )
    if twice := [name for name, count in Counter(item.question for item in items).items() if count > 1]:
        raise HarmcircuitsError(f"the question {twice[0]!r} is there more than once: it could be learnt from and asked")
    chosen = set(Random(f"advice {seed}").sample(range(len(items)), len(items))[:train])
    lessons = tuple(item for index, item in enumerate(items) if index in chosen)
    return lessons, tuple(item for index, item in enumerate(items) if index not in chosen)
