"""What a long run has finished, kept part by part, so that a run that was stopped goes on where it was.

A part is named by a digest of all that it depends on (weights, prompts, what is off, settings): a changed question is another
part, and nothing that is kept can answer for it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ..processes import current, from_first
from .errors import StoreError, said
from .frames import as_frame, as_kept, as_plain
from .plain import digest, read_json, write_json

log = logging.getLogger(__name__)
FORMAT = "harmcircuits journal 2"
Made = TypeVar("Made")


@dataclass(frozen=True)
class Journal:
    """A folder of finished parts; without a folder, nothing is kept.

    Where several processes share a run, the first one reads and writes, and the others have what it found.

    >>> Journal().frame("rises", {"seed": 0}, lambda: pd.DataFrame({"rise": [0.5]}))["rise"].tolist()
    [0.5]
    """

    folder: Path | None = None

    def begin(self, manifest: Mapping[str, object]) -> str:
        """Writes down what a run is asked, once; its digest, which names the run's parts, comes back.

        Args:
            manifest: plain values; all that the run's numbers depend on.

        Raises:
            StoreError: the folder cannot be written.
        """
        key = digest(manifest)
        if self.folder is None or not current().first:
            return key
        path = self.folder / f"run-{key[:24]}.json"
        if path.exists():
            log.info("%s: going on with the run that was begun there", self.folder)
            return key
        if others := list(self.folder.glob("run-*.json")):
            log.info("%s: a run of its own beside %d others, whose parts stay as they are", self.folder, len(others))
        write_json(path, {"format": FORMAT, "manifest": manifest})
        return key

    def frame(self, what: str, key: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The part `what` of `key`: as it was kept, or made now and then kept.

        A file that is damaged, was changed by hand, or was made by another version, is named in the log and made anew.

        Args:
            what: for the file's name: letters and digits.
            key: plain values (`store.digest`); whatever the frame depends on.

        Raises:
            StoreError: the folder cannot be written.
        """
        kept = self.kept(what, key)
        if kept is not None:
            return kept
        made = as_kept(make())
        self.keep(what, key, made)
        return made

    def kept(self, what: str, key: object) -> pd.DataFrame | None:
        """The part, where it is there."""
        return None if self.folder is None else from_first(partial(_table, self._path(what, key, "json")))

    def keep(self, what: str, key: object, made: pd.DataFrame) -> None:
        """Writes a part, atomically."""
        if self.folder is None or not current().first:
            return
        table = as_plain(made)
        write_json(self._path(what, key, "json"), {"format": FORMAT, "digest": digest(table), "table": table})

    def file(
        self,
        what: str,
        key: object,
        make: Callable[[], Made],
        *,
        load: Callable[[Path], Made],
        save: Callable[[Made, Path], None],
    ) -> Made:
        """As `frame`, of a result that has a safetensors file of its own.

        Args:
            load: reads what `save` wrote; what it raises of ours (a damaged file) is named in the log, and the part made anew.
            save: writes one file, atomically.
        """
        if self.folder is None:
            return make()
        path = self._path(what, key, "safetensors")
        found = from_first(partial(_loaded, path, load))
        if found is not None:
            return found
        made = make()
        if current().first:
            save(made, path)
        return made

    def _path(self, what: str, key: object, ending: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{what}-{digest([FORMAT, what, key])[:24]}.{ending}"


def _table(path: Path) -> pd.DataFrame | None:
    """The table in a file of `keep`; None, where nothing is, or not what was kept, which the log says."""
    if not path.exists():
        return None
    try:
        value = read_json(path)
        if value["format"] != FORMAT:
            raise StoreError(f"{path} was written by another version")
        if value["digest"] != digest(value["table"]):
            raise StoreError(f"{path} was changed since it was written")
        return as_frame(value["table"])
    except (StoreError, KeyError, TypeError, ValueError, RecursionError) as error:
        log.warning("%s is not used and made anew: %s", path, said(error))
        return None


def _loaded(path: Path, load: Callable[[Path], Made]) -> Made | None:
    """What is kept at `path`; None, where nothing is, or what is there is damaged, which the log says."""
    if not path.exists():
        return None
    try:
        return load(path)
    except (RuntimeError, ValueError) as error:
        log.warning("%s is not used and made anew: %s", path, error)
        return None
