"""The runner of the paper's claims: conditions × readings → outcomes → estimates → decision → `Finding`.

A claim is one class in one file. It says which conditions are measured by which readings (`plan`), how outcomes become named
estimates of each part, such as a component type (`estimates`), the rule that answers (`decision`), tables and figures.
Everything else is here, once: prompts, splits and responses; measuring with a cache, so that a stopped run continues; the
answer for each contrast of harmful with benign requests; the table, the page, the JSON file.

    @dataclass(frozen=True, eq=False)
    class Compactness(Claim):
        name = "compactness"
        question = "Does harmful generation rest on a small part of the model?"

    def compactness(model, prompts=None, **options) -> Finding:
        return run(Compactness, model, prompts, **options)

A claim on a checkpoint series (`on_series`) has its plan measured on one checkpoint after the other. `summary` says what is
kept of each when its model is released; the last instance decides, with all summaries in its field `series`.
"""

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import torch

from .. import store
from ..ablation.ablate import Condition
from ..data import PromptSet
from ..experiment.decision import Decision, Verdict, over
from ..experiment.dissociation import prepare
from ..experiment.effect_table import columns_of, estimate_of, interval_text
from ..experiment.effects import CONTRASTS, Effects
from ..experiment.material import Material
from ..experiment.measure import measure
from ..experiment.settings import Settings
from ..models.protocol import HookedModel
from ..readings.reading import Reading
from ..report import Section, page
from ..results import notebook_html
from ..statistics import Estimate
from ..store import as_frame, as_plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

NAMES = ("compactness", "generality", "distinct", "alignment", "misalignment")
"""Claims: each is a file of this name, with a class that it registers."""
FORMAT = "harmcircuits claim 2"
Series = Mapping[str, HookedModel | Callable[[], HookedModel]]
"""Checkpoints in order, by name: models, or functions that load one when its turn comes."""


class ClaimError(ValueError):
    """A claim that cannot be tested on this model or these prompts; the message says what is missing."""


@dataclass(frozen=True, eq=False)
class Claim(ABC):
    """One claim of the paper, on one model and its material.

    Attributes:
        name: of the file, the function and the command.
        question: what the paper claims, as a question.
        settings_class: sizes; the experiment's own, with this claim's defaults.
        on_series: whether the claim is about several checkpoints, not one model.
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
        """Return the material with the prompts that this claim uses: all of them by default.

        Raises:
            ClaimError: too few prompts of the kind that is needed.
        """
        return material

    @property
    def settings(self) -> Settings:
        return self.material.settings

    @abstractmethod
    def plan(self) -> Mapping[Condition, Sequence[Reading]]:
        """Return every condition with its readings; the baseline is among them."""

    @abstractmethod
    def estimates(self, effects: Effects, benign: str) -> dict[str, dict[str, Estimate]]:
        """Return named estimates of each part, against benign requests of one role (see `contrasts`)."""

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
    def figures(cls, finding: "Finding") -> "dict[str, go.Figure]":
        """Draw the finding from its tables."""
        return {}


@store.alone_in_folder
def run(
    claim: type[Claim],
    model: HookedModel | Series,
    prompts: PromptSet | None = None,
    *,
    train: PromptSet | None = None,
    development: PromptSet | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    name: str = "",
    command: str = "",
    progress: bool = False,
    **fields: Any,
) -> "Finding":
    """Test a claim on a model.

    Args:
        model: of a claim on a series, at least two checkpoints by name, in order; they are measured one at a time.
        prompts: test requests; without `train` they are split into training, development and test requests. None: the built-in
            ones.
        train, development: requests for scores and for choices.
        settings: sizes of this claim (`claim.settings_class`); its defaults by default.
        folder: where measurements are kept, so that a run that was stopped continues; None: nothing is kept.
        name: what the report calls the model.
        command: the shell's command, for the report.
        fields: of the claim's class, beside `material`.

    Raises:
        ExperimentError: no harmful or no benign test requests, or one that is a training request too.
        ClaimError: nothing that this claim could be tested with, or one model where a series is needed.
        PromptError, ModelError, StoreError: see `dissociate`.
    """
    sizes = settings or claim.settings_class()
    series: Series = model if isinstance(model, Mapping) else {name: model}
    if claim.on_series != isinstance(model, Mapping) or (claim.on_series and len(series) < 2):
        wanted = "at least two checkpoints by name, in order" if claim.on_series else "one model"
        raise ClaimError(f"{claim.name} takes {wanted}: {len(series)} given as {type(model).__name__}.")
    summaries: dict[str, Any] = {}
    fields |= {"series": summaries} if claim.on_series else {}
    held: Any
    for label, held in series.items():
        if claim.on_series and not isinstance(held, torch.nn.Module):
            held = held()
        material = claim.restrict(prepare(held, prompts, train, development, sizes, folder=folder))
        tested = claim(material, **fields)
        outcomes = measure(held, tested.plan(), cache=material.cache, progress=progress)
        effects = Effects(outcomes, material.prompts, draws=sizes.bootstrap_draws, seed=sizes.seed)
        if claim.on_series:
            summaries[label] = tested.summary(effects)
        if label != [*series][-1]:
            del held, material, tested
            gc.collect()  # a hooked model refers to itself: without this, two of them would be in memory
    return finding_of(tested, effects, name=name, command=command)


def finding_of(claim: Claim, effects: Effects, *, name: str, command: str) -> "Finding":
    """Decide and put the finding together: the answer is that of the first contrast, matched where there is one."""
    rule, rows, verdicts = claim.decision(), [], {}
    for contrast, role in claim.contrasts(effects).items():
        parts = claim.estimates(effects, role)
        own = {part: rule(estimates) for part, estimates in parts.items()}
        verdicts[contrast] = {"": over(own), **own}
        rows += [
            {"contrast": contrast, "part": part, "estimate": estimate, **columns_of(value)}
            for part, estimates in parts.items()
            for estimate, value in estimates.items()
        ]
    contrast, verdict = next((contrast, own[""]) for contrast, own in verdicts.items())
    return Finding(
        claim=claim.name,
        question=claim.question,
        answer=verdict.answer,
        contrast=contrast,
        reasons=tuple(verdict.reasons),
        estimates=pd.DataFrame(rows),
        tables={"answers": _answers(verdicts), **claim.tables(effects)},
        settings=claim.settings.as_dict(),
        model=claim.about(effects, name),
        command=command,
    )


def _answers(verdicts: Mapping[str, Mapping[str, Verdict]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"contrast": contrast, "part": part, "answer": verdict.answer, "reasons": "; ".join(verdict.reasons)}
            for contrast, own in verdicts.items()
            for part, verdict in own.items()
        ]
    )


@dataclass(frozen=True, eq=False)
class Finding:
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
    def sentence(self) -> str:
        """Answer and reasons."""
        return f"{self.answer.capitalize()}{self._against}: {'; '.join(self.reasons)}."

    @property
    def _against(self) -> str:
        return f", against {self.contrast}{' benign requests' if self.contrast in CONTRASTS.values() else ''}"

    def estimate(self, name: str, part: str, contrast: str | None = None) -> Estimate:
        """Return one estimate, of the leading contrast by default; missing where there is none."""
        rows = self.estimates
        at = (rows["contrast"] == (contrast or self.contrast)) & (rows["part"] == part) & (rows["estimate"] == name)
        return estimate_of(rows[at].iloc[0].to_dict()) if at.any() else Estimate.missing("not measured")

    def table(self) -> pd.DataFrame:
        """One row a contrast and part, one column an estimate; values with intervals as text."""
        rows = self.estimates.assign(text=[interval_text(estimate_of(row)) for row in self.estimates.to_dict("records")])
        wide = rows.pivot_table("text", ["contrast", "part"], "estimate", aggfunc="first", sort=False)
        answers = self.tables["answers"].set_index(["contrast", "part"])["answer"]
        return wide.assign(answer=answers).reset_index().rename_axis(columns=None)

    def figures(self) -> "dict[str, go.Figure]":
        """Every figure by name."""
        return claim_class(self.claim).figures(self)

    def figure(self) -> "go.Figure":
        """The first figure."""
        return next(iter(self.figures().values()))

    def page(self) -> str:
        """One HTML page that fetches nothing: answer, figures, table, method and settings. No text that a model wrote."""
        return page([self.section()], model=str(self.model["name"]))

    def section(self) -> Section:
        """What a page shows of the finding."""
        wide = self.table().set_index(["contrast", "part"]).T
        return Section(
            name=self.claim,
            question=self.question,
            answer=self.answer,
            sentences=[f"{self.answer.capitalize()}{self._against}.", *self.reasons],
            figures=self.figures(),
            tables={"Estimates, 95 % intervals": wide},
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
        """Write `NAME.json` and `NAME.html` into the folder; return the path of the first.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
        """
        path = Path(folder) / f"{self.claim}.json"
        with store.held(folder):
            store.write_json(path, self.document())
            store.write_text(path.with_suffix(".html"), self.page())
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Finding":
        """Read the JSON file that `save` wrote. Raises StoreError where it is missing, damaged or something else."""
        document = store.read_json(Path(path))
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise store.StoreError(f"{path} holds no finding of a claim ({FORMAT!r}): run the claim again.")
        try:
            tables = {name: as_frame(plain) for name, plain in document.pop("tables").items()}
            estimates = tables.pop("estimates")
            return cls(**document | {"reasons": tuple(document["reasons"])}, estimates=estimates, tables=tables)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise store.StoreError(f"{path} was changed ({store.one_line(repr(error))}): run the claim again.") from error

    def __repr__(self) -> str:
        return f"Finding({self.claim}: {self.answer!r})"

    def _repr_html_(self) -> str:
        return notebook_html(self.sentence, self.table())


def claim_class(name: str) -> type[Claim]:
    """Return the class of a claim by name. Raises ClaimError for a name that is none."""
    if name not in Claim.registry and name in NAMES:
        import_module(f".{name}", __package__)
    if name not in Claim.registry:
        raise ClaimError(f"there is no claim {name!r}: there are {', '.join(NAMES)}")
    return Claim.registry[name]
