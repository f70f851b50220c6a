"""What a long run has finished, kept part by part, so that a run that was stopped goes on where it was.

A part is named by a digest of all that it depends on (weights, prompts, what is off, settings): a changed question is another
part, and nothing that is kept can answer for it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from .errors import StoreError, one_line
from .files import file_digest
from .frames import as_frame, as_kept, as_plain
from .plain import digest, read_json, write_json

log = logging.getLogger(__name__)
FORMAT = "harmcircuits journal 3"
Made = TypeVar("Made")


@dataclass(frozen=True)
class Journal:
    """A folder of finished parts; without a folder, nothing is kept.

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
        if self.folder is None:
            return key
        path = self.folder / f"run-{key[:24]}.json"
        whole = {"format": FORMAT, "manifest": manifest}
        if path.exists() and _is(path, whole):
            log.info("%s: going on with the run that was begun there", self.folder)
            return key
        if others := [one for one in self.folder.glob("run-*.json") if one != path]:
            log.info("%s: a run of its own beside %d others, whose parts stay as they are", self.folder, len(others))
        write_json(path, whole)
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
        return None if self.folder is None else _table(self._path(what, key, "json"))

    def keep(self, what: str, key: object, made: pd.DataFrame) -> None:
        """Writes a part, atomically."""
        if self.folder is None:
            return
        table, path = as_plain(made), self._path(what, key, "json")
        write_json(path, {"format": FORMAT, "digest": digest([path.name, table]), "table": table})

    def file(
        self,
        what: str,
        key: object,
        make: Callable[[], Made],
        *,
        load: Callable[[Path], Made],
        save: Callable[[Made, Path], None],
    ) -> Made:
        """As `frame`, of a result that has a safetensors file of its own; a file beside it says which bytes were kept.

        Args:
            load: reads what `save` wrote; what it raises of ours (a damaged file) is named in the log, and the part made anew.
            save: writes one file, atomically.
        """
        if self.folder is None:
            return make()
        path = self._path(what, key, "safetensors")
        found = _loaded(path, load)
        if found is not None:
            return found
        made = make()
        _beside(path).unlink(missing_ok=True)
        save(made, path)
        write_json(_beside(path), {"format": FORMAT, "of": path.name, "sha256": file_digest(path)})
        return made

    def _path(self, what: str, key: object, ending: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{what}-{digest([FORMAT, what, key])[:24]}.{ending}"


def _table(path: Path) -> pd.DataFrame | None:
    """The table in a file of `keep`; None, where nothing is, or not what was kept, which the log says."""
    if not path.exists():
        return None
    try:
        value = _read(path)
        if value["digest"] != digest([path.name, value["table"]]):
            raise StoreError(f"{path} was changed since it was written, or is another part")
        return as_frame(value["table"])
    except (StoreError, KeyError, TypeError, ValueError, RecursionError) as error:
        log.warning("%s is not used and made anew: %s", path, one_line(error))
        return None


def _loaded(path: Path, load: Callable[[Path], Made]) -> Made | None:
    """What is kept at `path`; None, where nothing is, or what is there is damaged, which the log says."""
    if not path.exists():
        return None
    try:
        kept = _read(_beside(path))
        if kept["of"] != path.name or kept["sha256"] != file_digest(path):
            raise StoreError(f"{path} was changed since it was written, or is another part")
        return load(path)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        log.warning("%s is not used and made anew: %s", path, one_line(error))
        return None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read(path: Path) -> Any:
    """Raises StoreError for a file that is missing, damaged or of another version, TypeError for another kind of value."""
    value = read_json(path)
    if value["format"] != FORMAT:
        raise StoreError(f"{path} was written by another version")
    return value


def _is(path: Path, whole: object) -> bool:
    """Whether the file holds just that; one that does not is named, and is to be written anew."""
    try:
        if digest(read_json(path)) == digest(whole):
            return True
        problem = "it was changed"
    except (StoreError, TypeError, ValueError, RecursionError) as error:
        problem = one_line(error)
    log.warning("%s does not say what this run is asked (%s): it is written anew, and the run goes on", path, problem)
    return False
