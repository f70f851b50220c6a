"""What a long run has finished, kept part by part, so that a run that was stopped goes on where it was.

A part is named by a digest of all that it depends on (weights, prompts, what is off, settings): a changed question is another
part, and nothing that is kept can answer for it.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .. import store
from ..ablation.partial import Condition, Partial, whole
from ..components import Circuit
from ..examples import Example
from .tables import as_frame, as_kept, as_plain

log = logging.getLogger(__name__)
FORMAT = "harmcircuits journal 1"


@dataclass(frozen=True)
class Journal:
    """A folder of finished parts; without a folder, nothing is kept.

    >>> Journal().frame("rises", {"seed": 0}, lambda: pd.DataFrame({"rise": [0.5]}))["rise"].tolist()
    [0.5]
    """

    folder: Path | None = None

    def frame(self, what: str, key: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The part `what` of `key`: as it was kept, or made now and then kept.

        A file that is damaged, or was made by another version, is named in the log and made anew.

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
        if self.folder is None or not (path := self._path(what, key)).exists():
            return None
        try:
            value = store.read_json(path)
            if value["format"] != FORMAT:
                raise store.StoreError(f"{path} was written by another version")
            return as_frame(value["table"])
        except (store.StoreError, KeyError, TypeError, ValueError) as error:
            log.warning("%s is not used and made anew: %s", path, error)
            return None

    def keep(self, what: str, key: object, made: pd.DataFrame) -> None:
        """Writes a part, atomically."""
        if self.folder is None:
            return
        store.write_json(self._path(what, key), {"format": FORMAT, "table": as_plain(made)})

    def _path(self, what: str, key: object) -> Path:
        assert self.folder is not None
        return self.folder / f"{what}-{store.digest([FORMAT, what, key])[:24]}.json"


def name_of(condition: Condition) -> str:
    """A digest of what is off, and by how much.

    >>> name_of(Circuit(heads=[(0, 1)])) == name_of(Circuit(heads=[(0, 1)])) != name_of(Circuit(heads=[(1, 0)]))
    True
    """
    about, alpha = whole(condition), float(condition.alpha) if isinstance(condition, Partial) else 0.0
    if not len(about):
        return "intact"
    if isinstance(about, Circuit):
        return store.digest([about.heads, about.neurons, alpha])
    total = hashlib.sha256(str((alpha, sorted(about.shapes.items()))).encode())
    for name, indices in sorted(about.indices.items()):
        total.update(f"{name} ".encode() + indices.numpy().tobytes())
    return total.hexdigest()


def name_of_examples(examples: Sequence[Example]) -> str:
    """A digest of requests, what was answered to them, and where they belong."""
    return store.digest([vars(one) for one in examples])
