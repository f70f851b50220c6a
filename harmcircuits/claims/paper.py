"""All claims on one model: the main job and every claim that one model can answer, in one folder, on one page.

1. Run `dissociate` and each claim on the same prompts, with the same sizes. They share one cache, so that responses, scores and
   readings that two of them need are computed once, and a run that was stopped continues.
2. Save each result as soon as it is there. A claim that cannot be tested on this model or these prompts is "cannot be
   measured", with the message of the error; the others go on.
3. Put questions and answers on one page, with the figures and the table of each.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from .. import store
from ..circuits.weight_selection import SelectionError
from ..data import PromptSet
from ..experiment.dissociation import dissociate
from ..experiment.material import ExperimentError
from ..experiment.result import QUESTION, Dissociation
from ..experiment.settings import Settings
from ..models.protocol import HookedModel
from ..organisms.finetune import FinetuneError
from ..report import Section, page
from ..results import Result
from .claim import NAMES, ClaimError, Finding, claim_class, run

log = logging.getLogger(__name__)
FORMAT = "harmcircuits paper 2"
DISSOCIATION = "dissociation"


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
        question = QUESTION if name == DISSOCIATION else claim_class(name).question
        result = self.results.get(name)
        if result is None:
            answer, sentence = "cannot be measured", self.reasons[name]
        elif isinstance(result, Finding):
            answer, sentence = result.answer, result.sentence
        else:
            answer, sentence = result.answer, " ".join(result.sentences)
        return {"claim": name, "question": question, "answer": answer, "sentence": sentence}

    def document(self) -> dict[str, Any]:
        """What `paper.json` holds; the numbers of each claim lie in its own file."""
        model: Mapping[str, Any] = next((_document(result)["model"] for result in self.results.values()), {})
        rows = self.table().to_dict("records")
        return {
            "format": FORMAT, "command": self.command, "model": model, "settings": dict(self.settings), "claims": rows,
        }  # fmt: skip

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
        """Write `paper.json`, `paper.html`, and each result's own files; return the path of the page.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
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


def known_claims() -> tuple[str, ...]:
    """Return the names of the claims that one model can answer."""
    return (DISSOCIATION, *(name for name in NAMES if not claim_class(name).on_series))


def check_names(claims: Sequence[str] | None) -> list[str]:
    """Return the names, each once; all of `known_claims()` for None. Raises ClaimError for one that is not there."""
    known = known_claims()
    if unknown := [name for name in claims or () if name not in known]:
        raise ClaimError(f"there is no claim {', '.join(map(repr, unknown))} of one model: there are {', '.join(known)}")
    return list(dict.fromkeys(claims or known))


@store.alone_in_folder
def paper(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    claims: Sequence[str] | None = None,
    train: PromptSet | None = None,
    development: PromptSet | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    name: str = "",
    command: str = "",
    progress: bool = False,
) -> Paper:
    """Test the claims of the paper on one model.

    Args:
        prompts: test prompts. `train`, `development`, `folder`, `name` and `command` are as in `dissociate`.
        claims: some of `known_claims()`; None: all of them.
        settings: sizes; what differs from the defaults of `Settings` holds for every claim, the rest is each claim's own.

    Raises:
        ClaimError: a name that is no claim of one model, before anything is computed.
        PromptError, ModelError, StoreError: see `dissociate`.
    """
    chosen = check_names(claims)
    sizes = settings or Settings()
    shared: dict[str, Any] = {"train": train, "development": development, "folder": folder, "name": name, "progress": progress}
    results: dict[str, Dissociation | Finding] = {}
    reasons: dict[str, str] = {}
    for claim in chosen:
        log.info("testing %s", claim)
        try:
            if claim == DISSOCIATION:
                result: Dissociation | Finding = dissociate(model, prompts=prompts, settings=sizes, command=command, **shared)
            else:
                kind = claim_class(claim)
                own = sizes_of(kind.settings_class, sizes)
                result = run(kind, model, prompts, settings=own, command=command, **shared)
        except (ClaimError, ExperimentError, SelectionError, FinetuneError) as error:
            log.warning("%s cannot be measured: %s", claim, error)
            reasons[claim] = str(error)
            continue
        results[claim] = result
        if folder is not None:
            _save(result, Path(folder))
    return Paper(results, reasons, sizes.as_dict(), command)


def sizes_of(kind: type[Settings], settings: Settings) -> Settings:
    """Return the defaults of a claim's settings, with the values that differ from the experiment's defaults."""
    default = Settings()
    changed = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    return kind(**{key: value for key, value in changed.items() if value != getattr(default, key)})


def _document(result: Dissociation | Finding) -> dict[str, Any]:
    return result.document() if isinstance(result, Finding) else dict(result.report)


def _save(result: Dissociation | Finding, folder: Path) -> None:
    result.save(folder if isinstance(result, Finding) else folder / DISSOCIATION)
