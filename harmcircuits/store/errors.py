"""What goes wrong on a disk, as one error that names the file and the system's own reason; text from elsewhere, printable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError


class StoreError(RuntimeError):
    """Something could not be written, read or locked; the message names the file and the reason."""


def printable(text: object, *, kept: str = "") -> str:
    """Text from elsewhere, for the terminal: control characters are shown as escapes.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'

    Args:
        kept: letters that stay as they are, such as line ends.
    """
    return "".join(letter if letter.isprintable() or letter in kept else repr(letter)[1:-1] for letter in str(text))


def one_line(text: object) -> str:
    """What an error says, or a file holds, for a message: printable, and of 200 letters at most.

    >>> one_line(ValueError("a\\x1b[31m\\nname"))
    'a\\\\x1b[31m\\\\nname'
    """
    line = printable(str(text)[:200])
    return line if len(line) <= 200 else f"{line[:199]}…"


@contextmanager
def storage_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an error of the system, while `path` is written, into a `StoreError` that names both.

    Raises:
        StoreError: the disk is full, read-only or not ours, say.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{os.fspath(path)}: cannot be written ({error})") from error
