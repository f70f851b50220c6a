"""`Dissociation`: everything that a run found, on disk and back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .. import figures, report, store
from ..attribution.drawn import heads_figure, neurons_figure
from ..components import Circuit, WeightMask
from ..notebook import notebook_html
from .battery import RESPONSES
from .folder import (
    ITEMS,
    NULLS,
    OUTCOMES,
    PAGE,
    REPORT,
    clear,
    read_circuits,
    read_items,
    read_outcomes,
    save_circuits,
)
from .nulls import Nulls
from .scores import Scores


@dataclass(frozen=True, eq=False)
class Dissociation:
    """Everything that a run found. `report` is what `report.json` holds."""

    report: dict[str, Any]
    outcomes: pd.DataFrame
    responses: pd.DataFrame
    circuits: dict[str, Circuit | WeightMask]
    scores: Scores | None
    nulls: Nulls | None
    items: pd.DataFrame = field(default_factory=pd.DataFrame)
    controls: dict[str, Circuit | WeightMask] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """One of "dissociated", "shared", "insensitive", "undecided", "cannot be measured"."""
        return str(self.report["verdict"])

    def table(self) -> pd.DataFrame:
        """One row a condition: the short table, values with 95 % intervals as text."""
        return report.summary_frame(self.report)

    def figure(self) -> go.Figure:
        """Retained generation against retained recognition, with controls."""
        return figures.retained(report.retained_frame(self.report))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Further tables of the report page, by caption: aims against tasks."""
        return report.crossed_frames(self.report)

    def figures(self) -> dict[str, go.Figure]:
        """All figures of the report page, by name."""
        drawn = {"rises": figures.rises(report.rises_frame(self.report)), "retained": self.figure()}
        main = next(iter(self.circuits.values()))
        if "crossed" in self.report:
            drawn["crossed"] = figures.crossed_effects(report.effects_frame(self.report))
        if self.scores is not None and isinstance(main, Circuit):
            drawn["heads"] = heads_figure(self.scores.harmful, selected=main.heads)
            drawn["neurons"] = neurons_figure(self.scores.harmful, selected=main.neurons)
        if self.nulls is not None and any(len(rises) for rises in self.nulls.rises.values()):
            null = [(kind, value) for kind in self.nulls.rises for value in self.nulls.selectivity(kind)]
            frame = pd.DataFrame(null, columns=["null", "value"])
            own = self.nulls.observed_estimate
            drawn["nulls"] = figures.scatter_null(
                self.nulls.observed_selectivity, frame, low=own.low, high=own.high, n=len(self.nulls.observed)
            )
        return drawn

    def save(self, folder: str | Path, *, show_responses: bool = False) -> None:
        """Writes report.json, report.html, outcomes.csv, items.csv, circuits, controls, scores and nulls into `folder`.

        Circuits say where they come from, so that `hc.prune(model, folder / "circuits" / …)` applies them to this run's model
        alone. Each file is written atomically; report.json comes after all that `load` reads, so that a folder without one is
        an interrupted save. What an earlier run left in the same folder and this one does not have is removed. Response text is
        in none of them unless `show_responses`, and then on the page alone.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
        """
        target = Path(folder)
        with store.held(target):
            self._write(target, show_responses=show_responses)

    def _write(self, target: Path, *, show_responses: bool) -> None:
        clear(target)
        store.write_text(target / OUTCOMES, self.outcomes.to_csv(index=False))
        store.write_text(target / ITEMS, self.items.to_csv(index=False))
        saved = {"circuits": save_circuits(target / "circuits", self.circuits, self.report)}
        saved["controls"] = save_circuits(target / "controls", self.controls, self.report)
        for name, scores in (self.scores.parts if self.scores is not None else {}).items():
            scores.save(target / "scores" / f"{name}.safetensors")
        if self.nulls is not None:
            self.nulls.save(target / "scores" / NULLS)
        store.write_json(target / REPORT, self.report | saved)
        page = report.page(  # last: whatever is wrong with a figure, the numbers are kept
            self.report,
            figures=self.figures(),
            tables=self.tables(),
            responses=self.responses,
            show_responses=show_responses,
        )
        store.write_text(target / PAGE, page)

    @classmethod
    def load(cls, folder: str | Path) -> "Dissociation":
        """Reads what `save` wrote. Responses are not among it: `responses` is empty.

        Raises:
            StoreError: a file is missing (an interrupted save has no report.json), or is not what it should be.
            ReportError: report.json lacks a part, or has one of another kind.
            CircuitError, MaskError, AttributionError: a damaged circuit or score file.
        """
        source = Path(folder)
        found = report.checked_report(store.read_json(source / REPORT), where=str(source / REPORT))
        circuits, controls = (read_circuits(source, found, kind) for kind in ("circuits", "controls"))
        if not circuits:
            raise report.ReportError(f"{source / REPORT} names no circuit: it was changed. Run the measurement again.")
        outcomes, items = read_outcomes(source / OUTCOMES), read_items(source / ITEMS)
        scores = Scores.load(source / "scores") if (source / "scores" / "harmful.safetensors").exists() else None
        nulls = Nulls.load(source / "scores" / NULLS) if (source / "scores" / NULLS).exists() else None
        nothing = pd.DataFrame(columns=RESPONSES)
        return cls(found, outcomes, nothing, circuits, scores, nulls, items, controls)

    def __repr__(self) -> str:
        return (
            f"Dissociation({self.verdict!r}, {len(self.report['conditions'])} conditions, {self.report['n_triples']} triples)"
        )

    def _repr_html_(self) -> str:
        return notebook_html(str(self.report["verdict_sentence"]), self.table(), figure=self.figure)
