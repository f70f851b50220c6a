"""A claim of the paper, `Claim`, and what it comes to, `Finding`.

A claim is one class in one file: conditions and their readings (`plan`), estimates of each component type (`estimates`), the
rule that answers (`decision`), tables and figures. Its docstring is the method that the page shows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import plotly.graph_objects as go

from .. import store
from ..ablation.ablate import Condition
from ..errors import HarmcircuitsError, one_line
from ..experiment.decision import Decision, over
from ..experiment.effect_table import columns_of, estimate_of, interval_text
from ..experiment.effects import CONTRASTS, Effects
from ..experiment.material import Material
from ..experiment.settings import Settings
from ..readings.reading import Reading
from ..report import Section, page
from ..results import Result
from ..statistics import Estimate
from ..store import as_frame, as_plain

NAMES = ("compactness", "generality", "distinct", "alignment", "misalignment")
"""Claims: each is a file of this name, with a class that it registers."""
FORMAT = "harmcircuits claim 2"
Figures = dict[str, go.Figure]


@dataclass(frozen=True, eq=False)
class Claim(ABC):
    """One claim of the paper, on one model and its material.

    Attributes:
        name: of the file, the function and the command.
        question: what the paper claims, as a question.
        settings_class: sizes, with this claim's defaults.
        on_series: whether it takes checkpoints; the last instance decides, with the `summary` of each in its field `series`.
        material: prompts, baseline responses and training scores.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    settings_class: ClassVar[type[Settings]] = Settings
    on_series: ClassVar[bool] = False
    registry: ClassVar[dict[str, type["Claim"]]] = {}
    material: Material

    def __init_subclass__(cls) -> None:
        Claim.registry[cls.name] = cls

    @classmethod
    def restrict(cls, material: Material) -> Material:
        """Return the material with the prompts that this claim uses. Raises HarmcircuitsError where there are too few."""
        return material

    @property
    def settings(self) -> Any:
        return self.material.settings

    @abstractmethod
    def plan(self) -> Mapping[Condition, Sequence[Reading]]:
        """Return every condition with its readings; the baseline is among them."""

    @property
    def parts(self) -> list[str]:
        """What is answered apart: the component types that planned conditions name in their labels."""
        return list(dict.fromkeys(c.labels["component"] for c in self.plan() if "component" in c.labels))

    @abstractmethod
    def estimates(self, part: str, effects: Effects, benign: str) -> dict[str, Estimate]:
        """Return named estimates of one part, against benign requests of one role (see `contrasts`)."""

    @abstractmethod
    def decision(self) -> Decision:
        """Return the rule for one part: "yes", "no" or "cannot be measured", else "undecided"."""

    def contrasts(self, effects: Effects) -> Mapping[str, str]:
        """Return by name what is compared with, each with the role that `estimates` takes; the first one answers."""
        return {CONTRASTS[role]: role for role in effects.roles[1:]}

    def summary(self, effects: Effects) -> Any:
        """Return what is kept of a checkpoint, without its model; of claims `on_series`."""
        raise NotImplementedError

    def about(self, effects: Effects, name: str) -> dict[str, Any]:
        """Return which model it was, on which prompts."""
        return self.material.describe_model(name) | {"prompts": self.material.describe_prompts(effects)}

    def tables(self, effects: Effects) -> dict[str, pd.DataFrame]:
        """Return tables behind the estimates, by name."""
        return {}

    @classmethod
    def figures(cls, finding: "Finding") -> Figures:
        """Draw the finding from its tables."""
        return {}


def finding_of(claim: Claim, effects: Effects, *, name: str, command: str) -> "Finding":
    """Decide and put the finding together: the answer is that of the first contrast, matched where there is one."""
    rule, answers, rows = claim.decision(), list[dict[str, Any]](), list[dict[str, Any]]()
    for contrast, role in claim.contrasts(effects).items():
        parts = {part: claim.estimates(part, effects, role) for part in claim.parts}
        verdicts = {part: rule(estimates) for part, estimates in parts.items()}
        for part, verdict in {"": over(verdicts), **verdicts}.items():
            answers.append({"contrast": contrast, "part": part, **verdict._asdict()})
        rows += [
            {"contrast": contrast, "part": part, "estimate": name, **columns_of(estimate)}
            for part, estimates in parts.items()
            for name, estimate in estimates.items()
        ]
    table = pd.DataFrame([row | {"reasons": "; ".join(row["reasons"])} for row in answers])
    lead = answers[0]
    return Finding(
        claim=claim.name,
        question=claim.question,
        answer=lead["answer"],
        contrast=lead["contrast"],
        reasons=tuple(lead["reasons"]),
        estimates=pd.DataFrame(rows),
        tables={"answers": table, **claim.tables(effects)},
        settings=claim.settings.as_dict(),
        model=claim.about(effects, name),
        command=command,
    )


@dataclass(frozen=True, eq=False)
class Finding(Result):
    """What a claim came to on one model.

    Attributes:
        claim, question: its name and what it asks.
        answer: "yes", "no", "undecided" or "cannot be measured", against `contrast`.
        contrast: "matched" or "unrelated" (benign requests), or the claim's own; the table `answers` has all.
        reasons: the checks that led to the answer.
        estimates: one row a contrast, part and estimate: value, low, high, n, reason.
        tables: what the estimates were made of.
        settings, model: sizes, and which model on which prompts.
        command: what can be typed to get the same again.
    """

    claim: str
    question: str
    answer: str
    contrast: str
    reasons: tuple[str, ...]
    estimates: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    settings: Mapping[str, Any]
    model: Mapping[str, Any]
    command: str = ""

    @property
    def headline(self) -> str:
        """The answer, and against what."""
        requests = " benign requests" if self.contrast in CONTRASTS.values() else ""
        return f"{self.answer.capitalize()}, against {self.contrast}{requests}"

    @property
    def sentence(self) -> str:
        """Answer and reasons."""
        return f"{self.headline}: {'; '.join(self.reasons)}."

    def estimate(self, name: str, part: str, contrast: str | None = None) -> Estimate:
        """Return one estimate, of the leading contrast by default; missing where there is none."""
        keys = {"contrast": contrast or self.contrast, "part": part, "estimate": name}
        rows = self.estimates[(self.estimates[[*keys]] == pd.Series(keys)).all(axis=1)]
        return Estimate.missing("not measured") if rows.empty else estimate_of(rows.iloc[0].to_dict())

    def table(self) -> pd.DataFrame:
        """One row a contrast and part, one column an estimate; values with intervals as text."""
        rows = self.estimates.assign(text=[interval_text(estimate_of(row)) for row in self.estimates.to_dict("records")])
        wide = rows.pivot_table("text", ["contrast", "part"], "estimate", aggfunc="first", sort=False)
        answers = self.tables["answers"].set_index(["contrast", "part"])["answer"]
        return wide.assign(answer=answers).reset_index().rename_axis(columns=None)

    def figures(self) -> Figures:
        """Draw every figure, by name."""
        return claim_class(self.claim).figures(self)

    def figure(self) -> go.Figure:
        """Draw the first figure."""
        return next(iter(self.figures().values()))

    def page(self) -> str:
        """One HTML page that fetches nothing: answer, figures, table, method and settings. No text that a model wrote."""
        return page([self.section()], model=str(self.model["name"]))

    def section(self) -> Section:
        """Return what a page shows of the finding."""
        return Section(
            name=self.claim,
            question=self.question,
            answer=self.answer,
            sentences=[f"{self.headline}.", *self.reasons],
            figures=self.figures(),
            tables={"Estimates, 95 % intervals": self.table().set_index(["contrast", "part"]).T},
            method=claim_class(self.claim).__doc__ or "",
            model=self.model,
            settings=self.settings,
            command=self.command,
        )

    def document(self) -> dict[str, Any]:
        """Everything in plain values, as the JSON file holds it."""
        frames = {name: as_plain(frame) for name, frame in {"estimates": self.estimates, **self.tables}.items()}
        plain = ("claim", "question", "answer", "contrast", "settings", "model", "command")
        return {"format": FORMAT, **{name: getattr(self, name) for name in plain}, "reasons": [*self.reasons], "tables": frames}

    def save(self, folder: str | Path) -> Path:
        """Write `NAME.json` and `NAME.html`; return the path of the first.

        Raises HarmcircuitsError where they cannot be written.
        """
        path = Path(folder) / f"{self.claim}.json"
        with store.held(folder):
            store.write_json(path, self.document())
            store.write_text(path.with_suffix(".html"), self.page())
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Finding":
        """Read the JSON file that `save` wrote. Raises HarmcircuitsError where it is missing, damaged or something else."""
        document = store.read_json(Path(path))
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise HarmcircuitsError(f"{path} holds no finding of a claim ({FORMAT!r}): run the claim again.")
        try:
            tables = {name: as_frame(plain) for name, plain in document.pop("tables").items()}
            estimates = tables.pop("estimates")
            return cls(**document | {"reasons": tuple(document["reasons"])}, estimates=estimates, tables=tables)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise HarmcircuitsError(f"{path} was changed ({one_line(repr(error))}): run the claim again.") from error

    def __repr__(self) -> str:
        return f"Finding({self.claim}: {self.answer!r})"


def claim_class(name: str) -> type[Claim]:
    """Return the class of a claim by name. Raises HarmcircuitsError for a name that is none."""
    if name not in Claim.registry and name in NAMES:
        import_module(f".{name}", __package__)
    if name not in Claim.registry:
        raise HarmcircuitsError(f"there is no claim {name!r}: there are {', '.join(NAMES)}")
    return Claim.registry[name]
