"""Where the sentences of a text end: what is cut at a number of tokens is not to be learnt as if it ended there."""

import re

_END = re.compile(r"""(?<=[^\s\d])[.!?…]["'”’)\]*]*(?=\s+[^\sa-z]|\s*$)""")
"""Not after a digit, where a list begins more often than a sentence ends; nor before a small letter, as in "e.g. this"."""


def beginnings(text: str) -> list[str]:
    """Everything that a text can be cut to at the end of a sentence, the shortest first.

    >>> beginnings("Take two eggs. Boil them (e.g. in water)! Then")
    ['Take two eggs.', 'Take two eggs. Boil them (e.g. in water)!']
    """
    return [text[: found.end()] for found in _END.finditer(text)]


def whole_sentences(text: str) -> str:
    """A text up to the end of its last whole sentence; "" where there is none.

    >>> whole_sentences("Steps:\\n1. Take two eggs.\\n2. Boil them for")
    'Steps:\\n1. Take two eggs.'
    """
    return next(reversed(beginnings(text)), "")
