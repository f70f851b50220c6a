"""Characters that a text holds and nobody sees: zero-width ones, tags, marks that turn the direction of writing.

They are kept, since a model reads them; but a copy that differs in them alone is a copy.
"""

import unicodedata

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Shown as nothing, though Unicode does not call them formatting."""
_VARIANTS = frozenset(chr(code) for block in (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for code in block)
"""Choose between two looks of the character before, as in emoji."""


def is_invisible(character: str) -> bool:
    """Whether nothing is shown for it; a choice between two looks of an emoji is seen."""
    return unicodedata.category(character) == "Cf" or character in _BLANK


def holds_invisible(text: str) -> bool:
    """Whether any character of it is invisible.

    >>> holds_invisible("bake\\u200bry"), holds_invisible("bakery")
    (True, False)
    """
    return not text.isascii() and any(map(is_invisible, text))


def as_seen(text: str) -> str:
    """The text without what is not seen.

    >>> as_seen("ba\\u200bke\\u202ery")
    'bakery'
    """
    if text.isascii():
        return text
    return "".join(character for character in text if not is_invisible(character) and character not in _VARIANTS)
