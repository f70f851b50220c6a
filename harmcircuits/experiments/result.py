"""`Dissociation`: everything that a run found, on disk and back."""

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .. import figures, report, store
from ..components import Circuit, Provenance
from .battery import RESPONSES, WHO
from .nulls import Nulls
from .scores import Scores

REPORT, OUTCOMES, PAGE, NULLS = "report.json", "outcomes.csv", "report.html", "nulls.safetensors"
RESULTS = ("harmful_nll_rise", "near_nll_rise", "far_nll_rise", "selectivity")
SCORES = ("harmful", "near", "far", "recognition")


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
            own = self.nulls.observed_estimate
            drawn["nulls"] = figures.scatter_null(
                self.nulls.observed_selectivity, frame, low=own.low, high=own.high, n=len(self.nulls.observed)
            )
        return drawn

    def save(self, folder: str | Path, *, show_responses: bool = False) -> None:
        """Writes report.json, outcomes.csv, report.html, circuits, scores and nulls into `folder`.

        Circuits say where they come from, so that `hc.prune(model, folder / "circuits" / …)` applies them to this run's model
        alone. Each file is written atomically; report.json comes after all that `load` reads, so that a folder without one is
        an interrupted save. What an earlier run left in the same folder and this one does not have is removed. Response text is
        in none of them unless `show_responses`, and then on the page alone.

        Raises:
            StoreError: the folder cannot be written.
        """
        target = Path(folder)
        page = report.page(
            self.report, figures=self.figures(), tables={}, responses=self.responses, show_responses=show_responses
        )
        _clear(target)
        store.write_text(target / OUTCOMES, self.outcomes.to_csv(index=False))
        for name, file in _files(self.circuits).items():
            self.circuits[name].save(target / "circuits" / file, provenance=_origin(self.report, name))
        for name, scores in (self.scores.parts if self.scores is not None else {}).items():
            scores.save(target / "scores" / f"{name}.safetensors")
        if self.nulls is not None:
            self.nulls.save(target / "scores" / NULLS)
        store.write_json(target / REPORT, self.report)
        store.write_text(target / PAGE, page)

    @classmethod
    def load(cls, folder: str | Path) -> "Dissociation":
        """Reads what `save` wrote. Responses are not among it: `responses` is empty.

        Raises:
            StoreError: a file is missing (an interrupted save has no report.json), or is not what it should be.
            CircuitError, AttributionError: a damaged circuit or score file.
        """
        source = Path(folder)
        found = store.read_json(source / REPORT)
        own = _circuits_in(found)
        if own is None:
            raise store.StoreError(f"{source / REPORT} is not the report of a run: it has no conditions. Run it again.")
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
    words = ("condition", *WHO)
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(words, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise store.StoreError(f"cannot read {path}: {error}. Run the measurement again.") from error
    if absent := [column for column in (*words, "nll") if column not in frame]:
        raise store.StoreError(f"{path} has no columns {', '.join(absent)}: it was changed since it was written.")
    return frame.fillna(dict.fromkeys(words, ""))


def _circuits_in(found: object) -> list[str] | None:
    """The names of the circuits in a report; None where it is no report."""
    listed = found.get("conditions") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) and {"name", "kind"} <= set(one) for one in listed):
        return None
    return [str(one["name"]) for one in listed if one["kind"] == "circuit"]


def _clear(folder: Path) -> None:
    """Removes what an earlier run wrote there; nothing where there is no report of one, and no file that is not ours."""
    try:
        own = _circuits_in(store.read_json(folder / REPORT)) or []
    except store.StoreError:
        own = []
    ours = [f"circuits/{file}" for file in _files(own).values()] + [f"scores/{name}.safetensors" for name in SCORES]
    for name in (REPORT, PAGE, OUTCOMES, f"scores/{NULLS}", *ours):
        with store.storage_errors(folder / name):
            (folder / name).unlink(missing_ok=True)


def _origin(document: Mapping[str, Any], name: str) -> Provenance | None:
    """Where the circuit `name` comes from; None where the report does not name the weights."""
    model, settings = document.get("model", {}), document.get("settings", {})
    if not model.get("base"):
        return None
    packages = ("harmcircuits", "transformer_lens", "transformers")
    generation: Mapping[str, Any] = next(
        (own["generation"] for own in document.get("conditions", []) if own.get("name") == name), {}
    )
    return Provenance(
        base=model["base"],
        model=model["name"],
        data=f"training prompts sha256 {settings.get('training prompts sha256')}; results on {settings.get('prompts')}",
        scores="first-order attribution of harmful responses, benign text protected (hc.dissociate)",
        seed=document.get("seed"),
        results={"verdict": document.get("verdict"), **{key: generation[key] for key in RESULTS if key in generation}},
        versions={package: document[f"{package}_version"] for package in packages if f"{package}_version" in document},
    )


def _files(names: Iterable[str]) -> dict[str, str]:
    """A file for each name from the user: no separators, no dots, and no two names in one."""
    files: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"[^\w-]+", "-", name)
        taken = sum(file.rpartition(".")[0].partition("~")[0] == stem for file in files.values())
        files[name] = f"{stem}~{taken}.json" if taken else f"{stem}.json"
    return files
