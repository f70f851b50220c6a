"""`paper`: all claims on one model, from material that is prepared once."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ...experiments.settings import Settings
from ...judges import Judge
from ...models.protocol import HookedModel
from ...processes import current
from ...prompts.promptset import PromptSet
from ...store import alone_in_folder
from ..claim import Claim
from ..material import Material, prepare
from . import registry
from .costs import Cost, Options
from .counted import Count, CountedJournal
from .forecast import Forecast, pace
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
    settings: Settings | None = None,
    quick: bool = False,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    progress: bool = False,
    tell: Callable[[str], None] = log.info,
) -> Paper:
    """Every claim of the paper on one model, on the same prompts, responses and scores, each condition read once.

    A claim that our own checks stop (a model without what it needs, too few triples) is "cannot be measured" with the reason;
    the others go on. Each claim is saved into `folder` when it is finished, and each condition into its journal: the same call
    after an interruption reads what is missing only.

    Args:
        prompts: whole triples; None: the built-in ones.
        claims: names from `CLAIMS`; None: all of them.
        settings: sizes of all claims; None: `Settings()`, or `sizes.quick_settings()` where `quick` says so.
        quick: fewer conditions for each claim (`sizes.QUICK`).
        judge: as of `dissociate`.
        folder: of results, and of the journal; None: the journal lasts as long as the run.
        name: the model's name in results.
        reproduce: the command to print in them.
        progress: a bar over all conditions, with the time left.
        tell: is given the cost before the long part starts.

    Raises:
        ClaimError: a claim that there is not, or none at all; before anything is computed.
        ExperimentError, PromptError, ElicitError, ModelError: what nothing can be measured on (`prepare`).
        StoreError: the folder cannot be written.
    """
    asked = registry.entries(claims)
    sizes = settings or (quick_settings() if quick else Settings())
    clock = _Clock()
    with _place(folder) as place:
        with clock.of("material"):
            prepared = prepare(model, prompts, settings=sizes, judge=judge, folder=place, name=name, progress=progress)
        count = Count()
        material = replace(prepared, journal=CountedJournal(prepared.journal.folder, count))
        run = _Run(material, asked, quick, None if folder is None else Path(folder), reproduce, clock, count)
        return run.measure(progress=progress, tell=tell)


@dataclass(eq=False)
class _Clock:
    """Seconds of each part."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = time.perf_counter() - began


@dataclass(frozen=True, eq=False)
class _Run:
    """One run, once its material is ready."""

    material: Material
    entries: Mapping[str, Entry]
    quick: bool
    folder: Path | None
    reproduce: str
    clock: _Clock
    count: Count

    def measure(self, *, progress: bool, tell: Callable[[str], None]) -> Paper:
        costs = {name: self._cost(entry) for name, entry in self.entries.items()}
        with self.clock.of("pace"):
            forecast = Forecast(costs, pace(self.material, self.count, scored=any(cost.scored for cost in costs.values())))
        tell(str(forecast))
        found: dict[str, Claim] = {}
        failed: dict[str, str] = {}
        with self._bar(forecast, shown=progress) as bar:
            done = 0.0
            for name, entry in self.entries.items():
                bar.set_description(name)
                with self.clock.of(name):
                    outcome = self._one(entry)
                if isinstance(outcome, Claim):
                    found[name] = outcome
                else:
                    failed[name] = outcome
                done += forecast.work(name)
                self.count.reach(done, worked=forecast.work(name) - costs[name].whole)
        return self._paper(found, failed, forecast)

    @contextmanager
    def _bar(self, forecast: Forecast, *, shown: bool) -> Iterator["tqdm[Any]"]:
        """In whole readings, with the time left."""
        layout = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} conditions, {elapsed} gone, {remaining} left"
        total = sum(map(forecast.work, self.entries))
        with tqdm(total=total, disable=not shown, bar_format=layout) as bar:
            self.count.bar = bar if shown else None
            try:
                yield bar
            finally:
                self.count.bar = None

    def _one(self, entry: Entry) -> Claim | str:
        """The claim, saved; or why it could not be measured."""
        material = self.material
        try:
            claim = entry.run(
                material.model,
                material=material,
                settings=material.settings,
                judge=material.judge,
                reproduce=self.reproduce,
                **self._options(entry),
            )
        except ValueError as error:
            if not _ours(error):
                raise
            log.warning("%s cannot be measured: %s", entry.kind.NAME, error)
            return str(error)
        if self.folder is not None and current().first:
            claim.save(self.folder, page=False)
        return claim

    def _cost(self, entry: Entry) -> Cost:
        """Conditions; none where the claim's own checks stop it, which its run will tell."""
        try:
            return entry.cost(self.material, self._options(entry))
        except ValueError as error:
            if not _ours(error):
                raise
            return Cost()

    def _options(self, entry: Entry) -> Options:
        return entry.quick if self.quick else {}

    def _paper(self, found: Mapping[str, Claim], failed: Mapping[str, str], forecast: Forecast) -> Paper:
        material = self.material
        return Paper(
            asks={name: entry.kind.ASKS for name, entry in self.entries.items()},
            claims=found,
            failed=failed,
            headlines={name: headline(claim.values, self.entries[name].headline) for name, claim in found.items()},
            about=material.about,
            settings=material.settings.as_dict() | material.origins,
            n_triples=len(material.test.triples),
            forecast=forecast,
            seconds=dict(self.clock.seconds),
            read=len(self.count.read),
            reused=len(self.count.reused),
            command=self.reproduce,
        )


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
