"""What a run over all claims will cost, told before it starts: conditions to read, and the time that one of them took."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...ablation.sweep import sweep
from ...experiments.names import name_of, name_of_examples
from ...experiments.scores import default_circuits
from ..material import Material
from ..reading import read
from .costs import Cost
from .counted import Count

FIRST = "heads and neurons"
"""The condition that is timed: the recipe's default circuit, which most claims read anyway."""


@dataclass(frozen=True)
class Pace:
    """Seconds that one condition takes, read with every task (`whole`) and for its L alone (`light`)."""

    whole: float
    light: float


@dataclass(frozen=True)
class Forecast:
    """What is expected, and how it is told.

    Attributes:
        costs: of each claim, at most: what two claims share, and what is kept from before, is read once.
        pace: None where it could not be timed.
    """

    costs: Mapping[str, Cost]
    pace: Pace | None

    @property
    def whole(self) -> int:
        """Conditions read with every task, in all."""
        return sum(cost.whole for cost in self.costs.values())

    @property
    def light(self) -> int:
        """Conditions read for their L alone, in all."""
        return sum(cost.light for cost in self.costs.values())

    @property
    def seconds(self) -> float | None:
        """Of all readings; attributing, selecting and intervals come on top."""
        return None if self.pace is None else self.whole * self.pace.whole + self.light * self.pace.light

    def work(self, name: str) -> float:
        """Of one claim, in whole readings."""
        share = 0.0 if self.pace is None else self.pace.light / self.pace.whole
        return self.costs[name].whole + self.costs[name].light * share

    def __str__(self) -> str:
        """
        >>> print(Forecast({"rules": Cost(4, 120)}, Pace(15.0, 1.5)))
        about 4 conditions read whole, 15.0 s each, and 120 for their loss alone, 1.5 s each: about 4 minutes (rules 4 + 120)
        """
        each = ", ".join(f"{name} {_counted(cost)}" for name, cost in self.costs.items())
        if self.pace is None or self.seconds is None:
            read = f"about {self.whole} conditions read whole and {self.light} for their loss alone"
            return f"{read}; how long one takes is not known, since the first ones were read before ({each})"
        whole = f"about {self.whole} conditions read whole, {self.pace.whole:.1f} s each"
        light = f", and {self.light} for their loss alone, {self.pace.light:.1f} s each" if self.light else ""
        return f"{whole}{light}: {_spoken(self.seconds)} ({each})"


def pace(material: Material, count: Count) -> Pace | None:
    """The default circuit and the intact model are read and timed. The reading is kept.

    What an earlier run of the same question timed is taken from the journal. None where the reading was kept by a run that
    timed nothing.
    """
    material.asked  # noqa: B018 — laid out once, before the clock starts
    circuit = default_circuits(material.model, material.scores, material.settings)[FIRST]

    def timed() -> pd.DataFrame:
        start, before = time.perf_counter(), len(count.read)
        read(material, {FIRST: circuit})
        middle, new = time.perf_counter(), len(count.read) > before
        sweep(material.model, [None, circuit], material.examples)
        light = (time.perf_counter() - middle) / 2
        whole = (middle - start) / 2 if new else math.nan
        return pd.DataFrame({"whole": [whole], "light": [light]})

    key: list[Any] = [material.key, name_of(circuit), name_of_examples(material.examples), material.settings.as_dict()]
    key.append(None if material.judge is None else material.judge.name)
    took = material.journal.frame("pace", key, timed).iloc[0]
    read(material, {FIRST: circuit})  # of an earlier run: counted among what is kept
    return None if math.isnan(took["whole"]) else Pace(float(took["whole"]), float(took["light"]))


def _counted(cost: Cost) -> str:
    return f"{cost.whole} + {cost.light}" if cost.light else str(cost.whole)


def _spoken(seconds: float) -> str:
    return f"about {max(1, round(seconds / 60))} minute{'' if seconds < 90 else 's'}"
