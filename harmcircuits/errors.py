"""The package's own exceptions, and text of others that their messages quote. All others are those of libraries."""


class HarmcircuitsError(ValueError):
    """Bad input, or something that is missing. The message says what is wrong, where, and the cure; it quotes no request."""


class SelectionError(HarmcircuitsError):
    """A circuit that these scores cannot give: too few components promote the behaviour, or none is left unprotected."""


def printable(text: object, *, keep: str = "") -> str:
    """Escape control characters, so that untrusted text cannot move the terminal's cursor; those of `keep` stay.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in str(text))


def one_line(text: object) -> str:
    """Return at most 200 printable letters of an error or of a file's content, for a message."""
    return printable(str(text)[:200])[:200]
