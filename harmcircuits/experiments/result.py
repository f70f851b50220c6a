"""`Dissociation`: everything that a run found, on disk and back."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .. import figures, report, store
from ..components import Circuit
from .battery import RESPONSES, WHO
from .nulls import Nulls
from .scores import Scores

REPORT, OUTCOMES, NULLS = "report.json", "outcomes.csv", "nulls.safetensors"


@dataclass(frozen=True, eq=False)
class Dissociation:
    """Everything that a run found. `report` is what `report.json` holds."""

    report: dict[str, Any]
    outcomes: pd.DataFrame
    responses: pd.DataFrame
    circuits: dict[str, Circuit]
    scores: Scores | None
    nulls: Nulls | None

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

    def figures(self) -> dict[str, go.Figure]:
        """All figures of the report page, by name."""
        drawn = {"rises": figures.rises(report.rises_frame(self.report)), "retained": self.figure()}
        main = next(iter(self.circuits.values()))
        if self.scores is not None:
            drawn["heads"] = figures.heads_heatmap(self.scores.harmful.heads.numpy(), selected=tuple(main.heads))
            drawn["neurons"] = figures.neurons_by_layer(self.scores.harmful.neurons.numpy(), selected=tuple(main.neurons))
        if self.nulls is not None and any(len(rises) for rises in self.nulls.rises.values()):
            null = [(kind, value) for kind in self.nulls.rises for value in self.nulls.selectivity(kind)]
            frame = pd.DataFrame(null, columns=["null", "value"])
            drawn["nulls"] = figures.scatter_null(self.nulls.observed_selectivity, frame)
        return drawn

    def save(self, folder: str | Path, *, show_responses: bool = False) -> None:
        """Writes report.json, outcomes.csv, report.html, circuits, scores and nulls into `folder`.

        Each file is written atomically, and report.json last: a folder without one holds an interrupted save. Response text is
        in none of them unless `show_responses`, and then on the page alone.

        Raises:
            StoreError: the folder cannot be written.
        """
        target = Path(folder)
        with store.storage_errors(target / REPORT):
            (target / REPORT).unlink(missing_ok=True)
        store.write_text(target / OUTCOMES, self.outcomes.to_csv(index=False))
        for name, file in _files(self.circuits).items():
            self.circuits[name].save(target / "circuits" / file)
        for name, scores in (self.scores.parts if self.scores is not None else {}).items():
            scores.save(target / "scores" / f"{name}.safetensors")
        if self.nulls is not None:
            self.nulls.save(target / "scores" / NULLS)
        page = report.page(
            self.report, figures=self.figures(), tables={}, responses=self.responses, show_responses=show_responses
        )
        store.write_text(target / "report.html", page)
        store.write_json(target / REPORT, self.report)

    @classmethod
    def load(cls, folder: str | Path) -> "Dissociation":
        """Reads what `save` wrote. Responses are not among it: `responses` is empty.

        Raises:
            StoreError: a file is missing (an interrupted save has no report.json), or is not what it should be.
            CircuitError, AttributionError: a damaged circuit or score file.
        """
        source = Path(folder)
        found = store.read_json(source / REPORT)
        own = [one["name"] for one in found["conditions"] if one["kind"] == "circuit"]
        circuits = {name: Circuit.load(source / "circuits" / file) for name, file in _files(own).items()}
        outcomes = _read_outcomes(source / OUTCOMES)
        scores = Scores.load(source / "scores") if (source / "scores" / "harmful.safetensors").exists() else None
        nulls = Nulls.load(source / "scores" / NULLS) if (source / "scores" / NULLS).exists() else None
        return cls(found, outcomes, pd.DataFrame(columns=RESPONSES), circuits, scores, nulls)

    def __repr__(self) -> str:
        return (
            f"Dissociation({self.verdict!r}, {len(self.report['conditions'])} conditions, {self.report['n_triples']} triples)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.report['verdict_sentence'])}</p>{self.table().to_html(index=False, escape=True)}"


def _read_outcomes(path: Path) -> pd.DataFrame:
    """Names and groups as text, whatever they look like; readings as numbers, empty where none was taken."""
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(("condition", *WHO), str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise store.StoreError(f"cannot read {path}: {error}. Run the measurement again.") from error


def _files(names: Iterable[str]) -> dict[str, str]:
    """A file for each name from the user: no separators, no dots, and no two names in one."""
    files: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"[^\w-]+", "-", name)
        taken = sum(file.rpartition(".")[0].partition("~")[0] == stem for file in files.values())
        files[name] = f"{stem}~{taken}.json" if taken else f"{stem}.json"
    return files
