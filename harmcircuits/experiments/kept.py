"""What a run of the main job has finished: its parts, in the run's folder."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from .. import store
from ..experiment.cache import place_to_keep
from ..models.protocol import HookedModel
from ..store.frames import as_kept
from ..store.journal import Journal, Made

log = logging.getLogger(__name__)
WRITTEN = "written"
"""The part that holds what a model wrote, as token ids."""


@dataclass(frozen=True)
class Kept:
    """A run's finished parts; without a folder, nothing is kept.

    Attributes:
        key: of the run: all that its numbers depend on.
        numbers: a journal in the run's own folder.
        texts: a journal in the cache: a run's folder is passed on, and what a model wrote is not unless asked for.
    """

    key: object = None
    numbers: Journal = field(default_factory=Journal)
    texts: Journal = field(default_factory=Journal)

    @classmethod
    def at(cls, model: HookedModel, folder: str | Path | None, manifest: Mapping[str, object]) -> "Kept":
        """Of the run that `manifest` asks, in `folder`; nowhere without one, or under hooks (`place_to_keep`).

        Raises:
            StoreError: the folder, or the cache, cannot be written.
        """
        place = place_to_keep(model, folder)
        if place is None:
            return cls()
        numbers = Journal(place / "journal")
        return cls(numbers.begin(manifest), numbers, Journal(store.cache_dir() / WRITTEN))

    def frame(self, what: str, about: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The numbers `what` of `about`, as they were kept, or made now."""
        return self.numbers.frame(what, [self.key, about], make)

    def frames(
        self, whats: Sequence[str], about: object, make: Callable[[], Mapping[str, pd.DataFrame]]
    ) -> dict[str, pd.DataFrame]:
        """Frames of `about` that are made at once: all as they were kept, or all made now."""
        key = [self.key, about]
        kept = {what: self._journal(what).kept(what, key) for what in whats}
        whole = {what: frame for what, frame in kept.items() if frame is not None}
        if len(whole) == len(kept):
            return whole
        made = make()
        for what in whats:
            self._journal(what).keep(what, key, made[what])
        return {what: as_kept(made[what]) for what in whats}

    def file(
        self, what: str, make: Callable[[], Made], *, load: Callable[[Path], Made], save: Callable[[Made, Path], None]
    ) -> Made:
        """`Journal.file` of the run."""
        return self.numbers.file(what, self.key, make, load=load, save=save)

    def _journal(self, what: str) -> Journal:
        return self.texts if what == WRITTEN else self.numbers
