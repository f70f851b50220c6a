"""What a run over all claims will cost, told before it starts: conditions to read, and the time that one of them took."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...ablation.sweep import sweep
from ...attribution.activations import attribute
from ...experiments.names import name_of, name_of_examples
from ...experiments.scores import default_circuits
from ..material import Material
from ..reading import read
from .costs import Cost
from .counted import Count

TIMED = 12
"""Training responses whose attribution is timed."""
FIRST = "heads and neurons"
"""The condition that is timed: the recipe's default circuit, which most claims read anyway."""


@dataclass(frozen=True)
class Pace:
    """Seconds of one condition, read with every task (`whole`) and for its L alone (`light`); and of one attribution of all
    training responses (`scored`)."""

    whole: float
    light: float
    scored: float = 0.0


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
    def scored(self) -> float:
        """Attributions of all training responses, in all."""
        return sum(cost.scored for cost in self.costs.values())

    @property
    def seconds(self) -> float | None:
        """Of all readings and of scores anew; selecting and intervals come on top."""
        return None if self.pace is None else self.pace.whole * sum(map(self.work, self.costs))

    def work(self, name: str) -> float:
        """Of one claim, in whole readings."""
        cost, pace = self.costs[name], self.pace
        beside = 0.0 if pace is None else (cost.light * pace.light + cost.scored * pace.scored) / pace.whole
        return cost.whole + beside

    def __str__(self) -> str:
        """
        >>> print(Forecast({"distinct": Cost(4, 120)}, Pace(15.0, 1.5)))
        about 4 conditions read whole, 15.0 s each, and 120 for their loss alone, 1.5 s each: about 4 minutes (distinct 4 + 120)
        """
        each = ", ".join(f"{name} {_counted(cost)}" for name, cost in self.costs.items())
        if self.pace is None or self.seconds is None:
            read = f"about {self.whole} conditions read whole and {self.light} for their loss alone"
            return f"{read}; how long one takes is not known, since the first ones were read before ({each})"
        whole = f"about {self.whole} conditions read whole, {self.pace.whole:.1f} s each"
        light = f", and {self.light} for their loss alone, {self.pace.light:.1f} s each" if self.light else ""
        n, took = self.scored, self.pace.scored
        anew = f"; training responses scored anew {n:g} times, {took:.0f} s each" if n else ""
        return f"{whole}{light}{anew}: {_spoken(self.seconds)} ({each})"


def pace(material: Material, count: Count, *, scored: bool = False) -> Pace | None:
    """The default circuit and the intact model are read and timed; where training responses will be `scored` anew, a few of
    them are, too. The reading is kept.

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
    if math.isnan(took["whole"]):
        return None
    return Pace(float(took["whole"]), float(took["light"]), _scoring(material) if scored else 0.0)


def _scoring(material: Material) -> float:
    """Seconds of one attribution of all training responses, by those of a batch; kept as the readings' are."""
    few = material.training[:TIMED]

    def timed() -> pd.DataFrame:
        start = time.perf_counter()
        attribute(material.model, few)
        return pd.DataFrame({"one": [(time.perf_counter() - start) / len(few)]})

    one = material.journal.frame("pace of scores", [material.key, name_of_examples(few)], timed)["one"].iloc[0]
    return float(one) * len(material.training)


def _counted(cost: Cost) -> str:
    return f"{cost.whole} + {cost.light}" if cost.light else str(cost.whole)


def _spoken(seconds: float) -> str:
    return f"about {max(1, round(seconds / 60))} minute{'' if seconds < 90 else 's'}"
