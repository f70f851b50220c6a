"""What tests of a circuit found: a table of findings, what is behind them, two figures, a file and a page."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from .. import figures, store
from ..notebook import notebook_html
from ..report.claims import claim_page
from ..report.drawable import drawable
from ..statistics import Estimate
from .hypotheses_answers import Finding
from .hypotheses_components import COLUMNS as OF_COMPONENTS
from .hypotheses_page import METHOD, NAME, document, shown
from .hypotheses_random import COLUMNS as OF_RANDOM

FORMAT = "harmcircuits circuit tests 1"
FILE = f"{NAME}.json"
TABLE = [
    "test",
    "measure",
    "question",
    "statistic",
    "value",
    "low",
    "high",
    "n",
    "control",
    "p",
    "p_adjusted",
    "answer",
    "reason",
]


@dataclass(frozen=True, eq=False)
class CircuitTests:
    """What `test_circuit` found.

    Attributes:
        findings: one a test; `table` shows them.
        components: minimality, one row a tested component (`hypotheses_components.COLUMNS`); empty for a mask.
        sufficiency: random circuits of growing size, one row a multiple and measure (`hypotheses_random.COLUMNS`).
        about: heads, neurons, weights (of the circuit), triples, triples_of_few (for minimality and sufficiency), draws, added,
            margin, seed; of an earlier run's circuit also model, circuit and reproduce.
    """

    NAME: ClassVar[str] = NAME
    """Of its files."""

    findings: tuple[Finding, ...]
    components: pd.DataFrame
    sufficiency: pd.DataFrame
    about: Mapping[str, Any]

    def table(self) -> pd.DataFrame:
        """One row a test: `TABLE`. value has a 95 % interval (low, high).

        n counts triples, and for minimality components. Null values have a `reason`.
        """
        rows = [
            {**asdict(one), **asdict(one.estimate), "p": one.p.value, "reason": one.estimate.reason or one.p.reason}
            for one in self.findings
        ]
        return pd.DataFrame(rows, columns=TABLE)

    def figure(self, *, measure: Literal["rise", "selectivity"] = "rise") -> go.Figure:
        """Rise of L (or selectivity) under random circuits against their size, the circuit's own as a line."""
        own = next(one.estimate for one in self.findings if (one.test, one.measure) == ("sufficiency", measure))
        return figures.random_circuits(
            self.sufficiency[self.sufficiency["measure"] == measure],
            own=own.value if own.value is not None else np.nan,
            low=own.low,
            high=own.high,
            measure=measure,
        )

    def figures(self) -> dict[str, go.Figure]:
        """`figure` of each measure."""
        return {"rise": self.figure(), "selectivity": self.figure(measure="selectivity")}

    def drawn(self) -> dict[str, go.Figure]:
        """`figures`; none, with a warning, where one cannot be drawn."""
        return drawable(NAME, self.figures)

    def page(self, *, figures: Mapping[str, go.Figure] | None = None) -> str:
        """Answers, figures, numbers, limits, method, settings and command as one HTML page that fetches nothing, laid out as a
        claim's; no text that a model read or wrote is on it. `figures`: those of `drawn`, where somebody has them already."""
        drawn = self.drawn() if figures is None else figures
        return claim_page(document(self.findings, self.about), method=METHOD, figures=drawn, table=shown(self.table()))

    def save(self, folder: str | Path, *, figures: Mapping[str, go.Figure] | None = None) -> None:
        """Writes `circuit-tests.json`, with the command that makes it again, and `circuit-tests.html` (`page`) into `folder`,
        each atomically.

        Args:
            figures: as of `page`.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
        """
        frames = {name: _records(getattr(self, name)) for name in ("components", "sufficiency")}
        found = [asdict(one) | {"estimate": one.estimate.to_json(), "p": one.p.to_json()} for one in self.findings]
        about = {"command": self.about.get("reproduce", ""), "n": self.about["triples"], "about": dict(self.about)}
        with store.held(folder):
            store.write_json(Path(folder) / FILE, {"format": FORMAT, **about, "findings": found, **frames})
            store.write_text(Path(folder) / f"{NAME}.html", self.page(figures=figures))

    @classmethod
    def load(cls, folder: str | Path) -> "CircuitTests":
        """Reads what `save` wrote.

        Raises:
            StoreError: the file is missing, damaged, or holds something else.
        """
        path = Path(folder) / FILE
        value = store.read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise store.StoreError(f"{path} holds no tests of a circuit (its 'format' should be {FORMAT!r})")
        try:
            found = tuple(
                Finding(**one | {key: Estimate.from_json(one[key]) for key in ("estimate", "p")}) for one in value["findings"]
            )
            components = pd.DataFrame(value["components"], columns=OF_COMPONENTS)
            random = pd.DataFrame(value["sufficiency"], columns=OF_RANDOM)
            return cls(found, typed(components), typed(random), value["about"])
        except (KeyError, TypeError, ValueError) as error:
            raise store.StoreError(f"{path} was changed since it was saved ({error}). Run the tests again.") from error

    def __repr__(self) -> str:
        return f"CircuitTests({_size(self.about)}, {self.about['triples']} triples: {len(self.findings)} findings)"

    def _repr_html_(self) -> str:
        return notebook_html(_size(self.about), self.table().drop(columns=["reason"]), figure=self.figure)


def _size(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{about[kind]} {kind}" for kind in ("heads", "neurons", "weights") if about[kind])


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain values; what is null is None."""
    whole = frame.astype(object).where(frame.notna(), None)
    return [{str(key): _plain(value) for key, value in row.items()} for row in whole.to_dict("records")]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The same dtypes whether it was measured or read: words as objects, all else as numbers (null: NaN)."""
    numbers = [name for name in frame if name not in ("kind", "measure", "reason")]
    return frame.assign(**{str(name): pd.to_numeric(frame[name]) for name in numbers})
