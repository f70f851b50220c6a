"""Run one claim, or all that one model can answer beside the main job, in one folder and on one page.

1. Run `dissociate` and each claim on the same prompts, with the same sizes. They share one cache, so that responses, scores and
   readings that two of them need are computed once, and a run that was stopped continues.
2. Save each result as soon as it is there. A claim that cannot be tested on this model or these prompts is "cannot be
   measured", with the message of the error; the others go on.
3. Put questions and answers on one page, with the figures and the table of each.
"""

import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .. import store
from ..data import PromptSet
from ..errors import HarmcircuitsError
from ..experiment.dissociation import dissociate, prepare
from ..experiment.effects import Effects
from ..experiment.measure import measure
from ..experiment.result import QUESTION, Dissociation
from ..experiment.settings import Settings
from ..models.protocol import HookedModel
from ..report import Section, page
from ..results import Result
from .claim import NAMES, Claim, Finding, claim_class, finding_of

log = logging.getLogger(__name__)
FORMAT = "harmcircuits paper 2"
DISSOCIATION = "dissociation"
Series = Mapping[str, HookedModel | Callable[[], HookedModel]]
"""Checkpoints in order, by name: models, or functions that load one when its turn comes."""


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
    **options: Any,
) -> Finding:
    """Test a claim on a model.

    Args:
        model: of a claim on a series, at least two checkpoints by name, in order; they are measured one at a time.
        prompts, train, development, folder, name, command: as in `dissociate`; without `train`, prompts are split.
        settings: sizes of this claim, of `claim.settings_class`.
        options: fields of the claim's class, beside `material`.

    Raises:
        HarmcircuitsError: nothing that this claim could be tested with, or one model where a series is needed; see
            `dissociate`.
    """
    sizes = settings or claim.settings_class()
    series: Series = model if isinstance(model, Mapping) else {name: model}
    if claim.on_series != isinstance(model, Mapping) or (claim.on_series and len(series) < 2):
        wanted = "at least two checkpoints by name, in order" if claim.on_series else "one model"
        raise HarmcircuitsError(f"{claim.name} takes {wanted}: {len(series)} given as {type(model).__name__}.")
    summaries: dict[str, Any] = {}
    options |= {"series": summaries} if claim.on_series else {}
    checkpoint: Any
    for label, checkpoint in series.items():
        if claim.on_series and not isinstance(checkpoint, torch.nn.Module):
            checkpoint = checkpoint()
        material = claim.restrict(prepare(checkpoint, prompts, train, development, sizes, folder=folder))
        tested = claim(material, **options)
        outcomes = measure(checkpoint, tested.plan(), cache=material.cache, progress=progress)
        effects = Effects(outcomes, material.prompts, draws=sizes.bootstrap_draws, seed=sizes.seed)
        if claim.on_series:
            summaries[label] = tested.summary(effects)
        if label != [*series][-1]:
            del checkpoint, material, tested
            gc.collect()  # a hooked model refers to itself: without this, two of them would be in memory
    return finding_of(tested, effects, name=name, command=command)


@dataclass(frozen=True, eq=False)
class Paper(Result):
    """What the claims came to on one model.

    Attributes:
        results: of each claim that could be tested, by name.
        reasons: why another one could not be, by name.
        settings: sizes that all of them share.
        command: what can be typed to get the same again.
    """

    results: Mapping[str, Dissociation | Finding]
    reasons: Mapping[str, str]
    settings: Mapping[str, Any]
    command: str = ""

    def table(self) -> pd.DataFrame:
        """One row a claim: `claim`, `question`, `answer`, `sentence`."""
        names = sorted([*self.results, *self.reasons], key=known_claims().index)
        return pd.DataFrame([self._row(name) for name in names])

    def _row(self, name: str) -> dict[str, str]:
        answer, sentence = "cannot be measured", self.reasons.get(name, "")
        if result := self.results.get(name):
            sentence = result.sentence if isinstance(result, Finding) else " ".join(result.sentences)
            answer = result.answer
        question = QUESTION if name == DISSOCIATION else claim_class(name).question
        return {"claim": name, "question": question, "answer": answer, "sentence": sentence}

    def document(self) -> dict[str, Any]:
        """What `paper.json` holds; the numbers of each claim lie in its own file."""
        models = (each.model if isinstance(each, Finding) else each.report["model"] for each in self.results.values())
        about = {"format": FORMAT, "command": self.command, "model": next(models, {}), "settings": dict(self.settings)}
        return about | {"claims": self.table().to_dict("records")}

    def page(self) -> str:
        """One HTML page that fetches nothing: answers, figures, tables. No text that a model wrote."""
        sections = [
            self.results[row["claim"]].section()
            if row["claim"] in self.results
            else Section(name=row["claim"], question=row["question"], answer=row["answer"], sentences=[row["sentence"]])
            for row in self.table().to_dict("records")
        ]
        return page(sections, model=str(self.document()["model"].get("name", "the model")))

    def save(self, folder: str | Path) -> Path:
        """Write `paper.json`, `paper.html` and each result's own files; return the path of the page.

        Raises HarmcircuitsError.
        """
        place = Path(folder)
        with store.held(place):
            for result in self.results.values():
                _save(result, place)
            store.write_json(place / "paper.json", self.document())
            store.write_text(place / "paper.html", self.page())
        return place / "paper.html"

    def __repr__(self) -> str:
        return f"Paper({', '.join(f'{row.claim}: {row.answer}' for row in self.table().itertuples())})"


def _save(result: Dissociation | Finding, folder: Path) -> None:
    result.save(folder if isinstance(result, Finding) else folder / DISSOCIATION)


def known_claims() -> tuple[str, ...]:
    """Return the names of the claims that one model can answer."""
    return (DISSOCIATION, *(name for name in NAMES if not claim_class(name).on_series))


def check_names(claims: Sequence[str] | None) -> list[str]:
    """Return the names, each once; all of `known_claims()` for None. Raises HarmcircuitsError for one that is not there."""
    known = known_claims()
    if unknown := [name for name in claims or () if name not in known]:
        raise HarmcircuitsError(f"there is no claim {', '.join(map(repr, unknown))} of one model: there are {', '.join(known)}")
    return list(dict.fromkeys(claims or known))


@store.alone_in_folder
def paper(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    claims: Sequence[str] | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    **options: Any,
) -> Paper:
    """Test the claims of the paper on one model.

    Args:
        claims: some of `known_claims()`; None: all of them.
        settings: sizes; what differs from the defaults of `Settings` holds for every claim, the rest is each claim's own.
        folder: as in `dissociate`.
        options: as in `dissociate`: train, development, name, command, progress.

    Raises:
        HarmcircuitsError: a name that is no claim of one model, before anything is computed; see `dissociate`.
    """
    sizes = settings or Settings()
    options |= {"prompts": prompts, "folder": folder}
    results: dict[str, Dissociation | Finding] = {}
    reasons: dict[str, str] = {}
    for claim in check_names(claims):
        log.info("testing %s", claim)
        try:
            if claim == DISSOCIATION:
                results[claim] = dissociate(model, settings=sizes, **options)
            else:
                kind = claim_class(claim)
                results[claim] = run(kind, model, settings=sizes_of(kind.settings_class, sizes), **options)
        except HarmcircuitsError as error:
            log.warning("%s cannot be measured: %s", claim, error)
            reasons[claim] = str(error)
        else:
            if folder is not None:
                _save(results[claim], Path(folder))
    return Paper(results, reasons, sizes.as_dict(), options.get("command", ""))


def sizes_of(kind: type[Settings], settings: Settings) -> Settings:
    """Return the defaults of a claim's settings, with the values that differ from the experiment's defaults."""
    default = Settings()
    changed = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    return kind(**{key: value for key, value in changed.items() if value != getattr(default, key)})
