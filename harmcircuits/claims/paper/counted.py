"""A journal that counts: which conditions were read, which were found from before, and how far the run is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ... import store
from ...store.journal import Journal
from ...tasks.teacher_forced import INTACT
from ..reading import PARTS

READING = PARTS[0]
"""The part that every reading of a condition keeps first."""


@dataclass(eq=False)
class Count:
    """Conditions by digest, the intact model apart.

    Attributes:
        read: read in this run.
        reused: read by an earlier run, and not again.
        bar: told of each, if there is one.
    """

    read: set[str] = field(default_factory=set)
    reused: set[str] = field(default_factory=set)
    bar: Any = None

    def kept(self, key: object) -> None:
        """A condition was read now. One that a damaged file had made look kept is counted as read."""
        name = _name(key)
        self.reused.discard(name)
        if name and name not in self.read:
            self.read.add(name)
            self._advance()

    def found(self, key: object) -> None:
        """A condition is there already: what this run read itself is not counted twice."""
        name = _name(key)
        if name and name not in self.read | self.reused:
            self.reused.add(name)
            self._advance(free=True)

    def reach(self, done: float, *, worked: float = 0.0) -> None:
        """Moves the bar to `done` after a claim: by what was `worked` besides readings, and by what two claims share, which was
        expected of both and read once."""
        if self.bar is None:
            return
        self._advance(max(0.0, min(worked, done - self.bar.n)))
        self._advance(max(0.0, done - self.bar.n), free=True)

    def _advance(self, by: float = 1.0, *, free: bool = False) -> None:
        if self.bar is None:
            return
        if free:  # the time left is told by what took time
            self.bar.initial += by
        self.bar.update(by)


@dataclass(frozen=True)
class CountedJournal(Journal):
    """A `Journal` that tells `count` of every reading."""

    count: Count = field(default_factory=Count)

    def kept(self, what: str, key: object) -> pd.DataFrame | None:
        """As `Journal.kept`."""
        found = super().kept(what, key)
        if what == READING and found is not None:
            self.count.found(key)
        return found

    def keep(self, what: str, key: object, made: pd.DataFrame) -> None:
        """As `Journal.keep`."""
        super().keep(what, key, made)
        if what == READING:
            self.count.kept(key)


def _name(key: object) -> str:
    """A digest of what was read under which condition; "" for the intact model, which is read beside every few."""
    assert isinstance(key, Sequence), "a reading's key ends with its condition"
    return "" if key[-1] == INTACT else store.digest(list(key))
