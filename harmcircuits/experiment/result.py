"""Dissociation: does harmful generation come apart from the recognition of harm?

1. Split the prompts. The baseline answers under attack, greedily: after a prefill, the first words of a compliant answer.
2. Choose the balanced question on development prompts. Where the baseline shows nothing that could be lost, stop and say so.
3. Select circuits by first-order scores of training responses; choose the size of each on development responses.
4. Measure circuits and controls on test requests that took no part in either. Loss increase ΔL: mean negative log-likelihood
   of the baseline's own responses, ablated − baseline, nats per token. Recognition: log-odds of a question about the request
   and of its reversed twin, averaged, so that saying "No" more often changes nothing; AUROC of harmful against benign
   requests. Intervals: 95 %, bootstrap over requests.
5. Dissociated: the loss of harmful responses rises, more than that of benign ones and more than under random controls, while
   recognition keeps the fixed share of its signal, and a control aimed at recognition lowers it. Shared: recognition falls
   too, beyond random. Not selective: benign responses are hurt as much. Undecided: the intervals allow more than one of these.
"""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .. import store
from .._version import __version__
from ..ablation.ablate import BASELINE, Condition
from ..circuits import Circuit, WeightMask
from ..errors import HarmcircuitsError, one_line
from ..report import Section, page
from ..results import notebook_html
from ..statistics import Estimate
from .circuits import Circuits
from .decision import Verdict
from .effect_table import dissociation_plane, effect_leaves, effects_frame, estimate_of, figures_of, interval_text, sentences
from .effects import Effects
from .material import Material
from .measure import TEXT_COLUMNS, Outcomes

Contrast = tuple[str, str]  # name of a circuit; "matched" or "unrelated" (benign requests)
SCHEMA = 2
KINDS = ("circuits", "controls")
ORDER = ("dissociated", "shared", "not selective", "undecided", "cannot be measured")
"""Answers, the one that a run leads with first."""
COLUMNS = {
    "loss_increase": "ΔL",
    "specific_share": "share of ΔL specific to harm",
    "complied": "complies",
    "refused": "turns away",
    "refused_specific_share": "share of turning away specific to harm",
    "degenerate": "degenerate",
    "refusal": "refuses without prefill",
    "recognition_auroc": "AUROC",
    "one_sided_auroc": "AUROC, one-sided",
    "bias_mean": "bias to “No”",
    "fact": "facts",
    "passage": "prose loss",
}
"""Effects of `table`, in order, and their names on the page."""
ROLES = {"harmful": "harmful", "near": "matched", "far": "unrelated", "all": ""}
QUESTION = "Does harmful generation come apart from the recognition of harm?"
NO_JUDGE = "Compliance is read by rules on the surface of short texts; whether a text would do harm is not judged."
UNPAIRED = "Harmful and benign requests are no triples: a difference between them may be one of their sources."
UNTRAINED = "No training requests were given: circuits of heads and neurons have no controls."
PACKAGES = ("torch", "transformers", "transformer_lens", "numpy", "scipy")


@dataclass(frozen=True, eq=False)
class Dissociation:
    """What `dissociate` found.

    Attributes:
        report: everything in plain values, as `report.json` holds it (schema 2).
        outcomes: every measured value.
        circuits, controls: what was ablated, by name; hooks and checkpoints are in the report alone.
    """

    report: dict[str, Any]
    outcomes: Outcomes
    circuits: Mapping[str, Circuit | WeightMask]
    controls: Mapping[str, Circuit | WeightMask]

    @cached_property
    def effects(self) -> pd.DataFrame:
        """One row a condition, effect and role: value, low, high, n, reason."""
        return effects_frame(self.report)

    @property
    def sweep(self) -> pd.DataFrame:
        """Sizes that were tried on development responses."""
        return pd.DataFrame(self.report["sweep"])

    @property
    def answer(self) -> str:
        """The answer of the circuit that the run leads with."""
        return str(self.report["answer"])

    @property
    def sentences(self) -> list[str]:
        """Plain sentences: is the effect harm's own, is harm recognised, is recognition kept, does text fall apart?"""
        return list(self.report["sentences"])

    def estimate(self, condition: str, effect: str, role: str = "all") -> Estimate:
        """Return one effect size; missing where it was not measured."""
        effects: Mapping[str, Any] = next(
            (each["effects"] for each in self.report["conditions"] if each["name"] == condition), {}
        )
        leaf = effects.get(effect, {}).get(role)
        return Estimate.missing("not measured") if leaf is None else Estimate(**leaf)

    def table(self, *, controls: bool = True) -> pd.DataFrame:
        """One row a condition, one column an effect and role; values with intervals as text."""
        rows = self.effects if controls else self.effects[~self.effects["control"].astype(bool)]
        rows = rows[rows["effect"].isin(COLUMNS)]
        rows = rows.assign(text=[interval_text(estimate_of(row)) for row in rows.to_dict("records")])
        wide = rows.pivot_table("text", "condition", ["effect", "role"], aggfunc="first", sort=False)
        return wide[[(effect, role) for effect in COLUMNS for role in ROLES if (effect, role) in wide]]

    def figure(self) -> go.Figure:
        """Draw the dissociation plane: harmful generation lost against recognition kept."""
        return dissociation_plane(self.effects, measure=str(self.report["recognition"]["measure"]))

    def figures(self) -> dict[str, go.Figure]:
        """Every figure by name, the plane first; none where nothing was ablated."""
        if not self.report["answers"]:
            return {}
        return {"plane": self.figure(), **figures_of(self.effects, self.sweep)}

    def page(self) -> str:
        """One HTML page that fetches nothing: the answer, figures, the table. No text that the model wrote."""
        return page([self.section()], model=str(self.report["model"]["name"]))

    def section(self) -> Section:
        """Return what a page shows of the result."""
        report, controls = self.report, [*self.controls]
        every = self.table().rename(columns=COLUMNS | ROLES)
        circuits = every.drop(index=controls, errors="ignore").dropna(axis="columns", how="all")
        answers = [f"{row['circuit']}, {row['contrast']} benign requests: {row['answer']}." for row in report["answers"]]
        limits = {UNPAIRED: not report["prompts"]["paired"], UNTRAINED: not report["prompts"]["train"], NO_JUDGE: True}
        return Section(
            name="dissociation",
            question=QUESTION,
            answer=self.answer,
            sentences=[*self.sentences, *answers],
            figures=self.figures(),
            tables={"Effect sizes, 95 % intervals": circuits.T, "Circuits and controls": every},
            limits=[limit for limit, holds in limits.items() if holds],
            method=__doc__ or "",
            model=report["model"] | {"prompts": report["prompts"]},
            settings=report["settings"],
            command=report["command"],
        )

    def __repr__(self) -> str:
        return f"Dissociation({self.answer!r}, {len(self.circuits)} circuits, {len(self.controls)} controls)"

    def _repr_html_(self) -> str:
        return notebook_html("; ".join([self.answer, *self.sentences]), self.table(controls=False).reset_index())

    def save(self, folder: str | Path) -> Path:
        """Write `report.json`, `report.html`, `effects.csv`, `outcomes.csv`, `sweep.csv` and the circuits; return the folder.

        Texts that the model wrote are not written. Raises HarmcircuitsError where the folder cannot be written.
        """
        place = Path(folder)
        files = {kind: _file_names(getattr(self, kind)) for kind in KINDS}
        with store.held(place):
            store.write_json(place / "report.json", self.report | files)
            store.write_text(place / "report.html", self.page())
            for name, frame in (("effects", self.effects), ("outcomes", self.outcomes.frame), ("sweep", self.sweep)):
                store.write_text(place / f"{name}.csv", frame.to_csv(index=False))
            for kind in KINDS:
                for name, ablation in getattr(self, kind).items():
                    ablation.save(place / kind / files[kind][name])
        return place

    @classmethod
    def load(cls, folder: str | Path) -> "Dissociation":
        """Read what `save` wrote. Raises HarmcircuitsError where a file is missing or damaged."""
        place = Path(folder)
        report = store.read_json(place / "report.json")
        if not isinstance(report, dict) or report.get("schema_version") != SCHEMA:
            raise HarmcircuitsError(f"{place / 'report.json'} is no report of schema {SCHEMA}: run dissociate again.")
        read = lambda path: Circuit.load(path) if path.suffix == ".json" else WeightMask.load(path)
        try:
            circuits, controls = (
                {name: read(place / kind / Path(file).name) for name, file in report.pop(kind).items()} for kind in KINDS
            )
            frame = pd.read_csv(place / "outcomes.csv", keep_default_na=False, na_values=[""], float_precision="round_trip")
            loaded = cls(report, Outcomes(frame, pd.DataFrame(columns=TEXT_COLUMNS)), circuits, controls)
            _ = loaded.effects
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            raise HarmcircuitsError(f"{place} cannot be read ({one_line(error)}): run dissociate again.") from error
        return loaded


def _file_names(ablations: Mapping[str, Circuit | WeightMask]) -> dict[str, str]:
    """A numbered file for each name, without separators and dots."""
    stem = lambda name: re.sub(r"[^a-zA-Z0-9_-]+", "-", name)[:100]
    kinds = {name: "json" if isinstance(ablation, Circuit) else "safetensors" for name, ablation in ablations.items()}
    return {name: f"{index:02}-{stem(name)}.{kind}" for index, (name, kind) in enumerate(kinds.items())}


def build_result(
    material: Material,
    tested: Circuits,
    effects: Effects,
    answers: Mapping[Contrast, Verdict],
    estimates: Mapping[Contrast, Mapping[str, Estimate]],
    *,
    reason: str,
    **about: Any,
) -> Dissociation:
    """Put outcomes, effects and answers together; `about` (name of the model, judge, command, seconds) goes into the report."""
    conditions = [Condition(BASELINE), *tested.circuits, *tested.controls]
    measured = [condition for condition in conditions if condition.name in effects.outcomes.conditions]
    circuits, controls = (
        {each.name: each.ablation for each in kind if isinstance(each.ablation, Circuit | WeightMask)}
        for kind in (tested.circuits, tested.controls)
    )
    lead = min(answers, key=lambda key: (key[1] != "matched", ORDER.index(answers[key].answer)), default=None)
    notes = answers[lead].reasons[:1] if lead and answers[lead].answer == "undecided" and not tested.controls else []
    report = {
        "schema_version": SCHEMA,
        "harmcircuits": __version__,
        "model": material.describe_model(about.pop("name")),
        "prompts": material.describe_prompts(effects),
        "settings": material.settings.as_dict(),
        **about,
        "recognition": {"question": material.question.name, "measure": material.primary},
        "answer": answers[lead].answer if lead else "cannot be measured",
        "reason": reason,
        "leads": list(lead or ()),
        "sentences": sentences(*lead, estimates[lead], effects, ablates=lead[0] in circuits) + notes if lead else [reason],
        "answers": [
            {"circuit": circuit, "contrast": contrast, "answer": verdict.answer, "reasons": verdict.reasons}
            for (circuit, contrast), verdict in answers.items()
        ],
        "conditions": [
            {
                "name": each.name,
                "size": each.size,
                "labels": dict(each.labels),
                "effects": effect_leaves(effects, each.name, estimates),
            }
            for each in measured
        ],
        "sweep": [{key: value for key, value in row.items() if pd.notna(value)} for row in tested.sweep.to_dict("records")],
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    }
    return Dissociation(report, effects.outcomes, circuits, controls)
