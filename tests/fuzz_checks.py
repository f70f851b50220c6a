"""What must hold of a reader, whatever it is given.

It reads, or raises an error of ours whose message names the file, is short, moves no terminal and quotes no request.
Nothing else may be raised, opened or run.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fuzz_seeds import SECRETS
from fuzz_watch import EVALUATED, watched

SLOWEST = 5.0
"""Seconds of processor time for an input of at most `fuzz_mutations.LONGEST` bytes."""
_LENGTH = 12
_STRETCHES = frozenset(text[at : at + _LENGTH] for text in SECRETS for at in range(len(text) - _LENGTH + 1))
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
Told = Literal["read", "refused"]
Reader = Callable[[Path], Told | None]
"""None counts as read."""


class Finding(AssertionError):
    """Something that must not be. `place` tells findings apart: many inputs arrive at one."""

    def __init__(self, what: str, place: str) -> None:
        super().__init__(f"{what} [{place}]")
        self.place = place


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader.

    Attributes:
        ending: of the file's name.
        seeds: makes good files.
        read: reads the file, and asserts what must hold of what it read.
        errors: the right answers to a bad file; others are findings.
        names: what the message names; where nothing, its caller adds the name.
        share: of a campaign's inputs.
        evaluates: whether Python text is compiled: jinja and pandas do so with text of their own.
        lines, characters: a message has at most.
    """

    ending: str
    seeds: Callable[[], list[bytes]]
    read: Reader
    errors: tuple[type[Exception], ...]
    names: Literal["file", "folder", "nothing"] = "file"
    share: int = 32
    evaluates: bool = False
    lines: int = 3
    characters: int = 600


def tried(target: Target, data: bytes, folder: Path) -> Told:
    """Gives a target one input, in a file of `folder`: "read" or "refused".

    Raises:
        Finding: the reader did something else.
    """
    path = folder / f"input{target.ending}"
    path.write_bytes(data)
    began = time.process_time()
    with _heard() as log, watched(folder) as touched:
        try:
            told = target.read(path) or "read"
        except AssertionError as error:
            raise Finding(str(error) or "an assertion", _place(error)) from error
        except Exception as error:
            if not isinstance(error, target.errors):
                raise Finding(f"raised {error!r:.300}", _place(error)) from error
            _check_message(error, path, target)
            told = "refused"
    spent = time.process_time() - began
    touched = [what for what in touched if not (target.evaluates and what == EVALUATED)]
    _require(not touched, f"touched {touched[:3]}", "touched")
    _require(not any(map(_quotes, log)), f"logged {log[0][:300]!r}" if log else "", "logged")
    _require(spent < SLOWEST, f"took {spent:.1f} s", "slow")
    return told


def _check_message(error: Exception, path: Path, target: Target) -> None:
    message, place = str(error), _place(error)
    named = {"file": str(path), "folder": str(path.parent), "nothing": ""}[target.names]
    _require(named in message, f"does not name the {target.names}: {message:.300}", place)
    _require(message.count("\n") < target.lines, f"{message.count(chr(10)) + 1} lines long", place)
    _require(len(message) <= target.characters, f"{len(message)} characters long: {message:.300}", place)
    _require(not _CONTROL.search(message), f"would move a terminal's cursor: {message!r:.300}", place)
    at: BaseException | None = error
    while at is not None:  # a traceback shows these too
        _require(not _quotes(str(at)), f"quotes what was to be read: {at!r:.300}", place)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _require(holds: bool, what: str, place: str) -> None:
    if not holds:
        raise Finding(what, place)


def _quotes(message: str) -> bool:
    return any(message[at : at + _LENGTH] in _STRETCHES for at in range(len(message) - _LENGTH + 1))


def _place(error: BaseException) -> str:
    """The innermost line of ours, or of these tests, that an error went through."""
    found, trace = "nowhere", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if "harmcircuits" in file.parts or file.name.startswith("fuzz_"):
            found = f"{file.parent.name}/{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {found}"


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What the package says in its log meanwhile, which is said to nobody else."""
    said: list[str] = []
    log = logging.getLogger("harmcircuits")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.propagate = before
