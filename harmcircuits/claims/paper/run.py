"""`paper`: all claims on one model, from material that is prepared once."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...data import PromptSet
from ...experiments.settings import ClaimSettings
from ...judges import Judge
from ...models.protocol import HookedModel
from ...store import alone_in_folder
from ..earlier import Claim
from ..material import Material, prepare
from . import registry
from .registry import Entry
from .result import Paper, headline
from .sizes import quick_settings

log = logging.getLogger(__name__)


@alone_in_folder
def paper(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    claims: Sequence[str] | None = None,
    settings: ClaimSettings | None = None,
    quick: bool = False,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    progress: bool = False,
) -> Paper:
    """Every claim of the paper on one model, on the same prompts, responses and scores, each condition read once.

    A claim that our own checks stop (a model without what it needs, too few triples) is "cannot be measured" with the reason;
    the others go on. Each claim is saved into `folder` when it is finished, and each condition into its journal: the same call
    after an interruption reads what is missing only.

    Args:
        prompts: whole triples; None: the built-in ones.
        claims: names from `CLAIMS`; None: all of them.
        settings: sizes of all claims; None: `ClaimSettings()`, or `sizes.quick_settings()` where `quick` says so.
        quick: fewer conditions for each claim (`sizes.QUICK`).
        judge: as of `dissociate`.
        folder: of results, and of the journal; None: the journal lasts as long as the run.
        name: the model's name in results.
        reproduce: the command to print in them.
        progress: shows bars.

    Raises:
        ClaimError: a claim that there is not, or none at all; before anything is computed.
        ExperimentError, PromptError, ElicitError, ModelError: what nothing can be measured on (`prepare`).
        StoreError: the folder cannot be written.
    """
    asked = registry.entries(claims)
    sizes = settings or (quick_settings() if quick else ClaimSettings())
    found: dict[str, Claim] = {}
    failed: dict[str, str] = {}
    with _place(folder) as place:
        material = prepare(model, prompts, settings=sizes, judge=judge, folder=place, name=name, progress=progress)
        kept = None if folder is None else Path(folder)
        for each, entry in asked.items():
            log.info("measuring %s", each)
            outcome = _one(entry, material, quick=quick, folder=kept, reproduce=reproduce, progress=progress)
            if isinstance(outcome, Claim):
                found[each] = outcome
            else:
                failed[each] = outcome
    return Paper(
        asks={each: entry.kind.ASKS for each, entry in asked.items()},
        claims=found,
        failed=failed,
        headlines={each: headline(claim.values, asked[each].headline) for each, claim in found.items()},
        about=material.about,
        settings=material.settings.as_dict() | material.origins,
        n_triples=len(material.test.triples),
        command=reproduce,
    )


def _one(entry: Entry, material: Material, *, quick: bool, folder: Path | None, reproduce: str, progress: bool) -> Claim | str:
    """The claim, saved; or why it could not be measured."""
    try:
        claim = entry.run(
            material.model,
            material=material,
            settings=material.settings,
            judge=material.judge,
            reproduce=reproduce,
            progress=progress,
            **(entry.quick if quick else {}),
        )
    except ValueError as error:
        if not _ours(error):
            raise
        log.warning("%s cannot be measured: %s", entry.kind.NAME, error)
        return str(error)
    if folder is not None:
        claim.save(folder, page=False)
    return claim


def _ours(error: ValueError) -> bool:
    """Whether one of our own checks speaks; any other error is a bug, and stops the run."""
    return type(error).__module__.startswith(__package__.partition(".")[0])


@contextmanager
def _place(folder: str | Path | None) -> Iterator[Path]:
    """Where the journal lies: claims share readings in any case."""
    if folder is not None:
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as passing:
        yield Path(passing)
