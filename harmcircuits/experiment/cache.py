"""One content-addressed cache for the experiment: a stopped run continues, and what two claims share is measured once.

An entry is named by a digest of all that its values depend on: the model (weights, configuration, tokenizer), the condition,
the reading with its prompts, and what measures (the package's sources and data, the libraries below it), so that no entry
survives a change of it. Numbers lie in the run's folder; token ids of what a model wrote lie in the user's cache folder and
never travel with a run.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import pandas as pd

from .. import store
from ..data import chat_frame
from ..models.model_key import model_key
from ..models.protocol import HookedModel, has_hooks
from ..store import as_frame, as_plain

log = logging.getLogger(__name__)
TEXTS = "response_ids"
LIBRARIES = ("torch", "transformer-lens", "transformers")
AFTER = ("claims", "cli", "experiment", "figures", "report", "statistics")
"""Folders whose code may change while what was measured stays."""
FORMAT = "harmcircuits cache 1"
Part = TypeVar("Part")


@cache
def code_digest() -> str:
    """Return the SHA-256 of all that measured values are made by, part of every key: sources, data files, libraries.

    Left out are the folders that only plan measurements or work with their values (`AFTER`).
    """
    root = Path(__file__).parent.parent
    total = sha256(repr([(library, version(library)) for library in LIBRARIES]).encode())
    for path in sorted(path for kind in ("*.py", "*.jsonl") for path in root.rglob(kind)):
        place = path.relative_to(root)
        if place.parts[0] not in AFTER:
            total.update(str(place).encode() + path.read_bytes())
    return total.hexdigest()[:16]


@dataclass(frozen=True)
class Cache:
    """Entries of one model; without folders, nothing is kept. A damaged entry is named in the log and made anew.

    Attributes:
        key: of the model and the code.
        numbers, texts: folders of numbers, and of token ids.

    >>> Cache().frame("loss", {"seed": 0}, lambda: pd.DataFrame({"nll": [0.5]}))["nll"].tolist()
    [0.5]
    """

    key: object = None
    numbers: Path | None = None
    texts: Path | None = None

    @classmethod
    def at(cls, model: HookedModel, folder: str | Path | None) -> "Cache":
        """Open the cache of `model` in `folder`. Nothing is kept without a folder, or while hooks of the user's are set, which
        the key does not know.
        """
        if folder is not None and has_hooks(model):
            log.warning("hooks are set on the model: nothing of this run is read from %s or kept there", folder)
            return cls()
        if folder is None:
            return cls()
        key = [model_key(model), type(model).__name__, chat_frame(model).stops, code_digest()]
        return cls(key, Path(folder) / "cache", store.cache_dir() / "written")

    def frame(self, name: str, about: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return the frame of `about`: as it was kept, or made now and kept. A column of token ids is kept apart."""
        if self.numbers is None or self.texts is None:
            return as_frame(as_plain(make()))
        places = [folder / f"{name}-{self._digest(name, about)}.json" for folder in (self.numbers, self.texts)]
        numbers, texts = (_loaded(place, _read_table) for place in places)
        if numbers is not None and (TEXTS not in numbers or texts is not None):
            return numbers if texts is None else numbers.assign(**{TEXTS: texts[TEXTS]})
        made = as_frame(as_plain(make()))
        if TEXTS in made:
            _write_table(places[1], made[[TEXTS]])
        _write_table(places[0], made.assign(**{TEXTS: ""}) if TEXTS in made else made)
        return made

    def file(
        self,
        name: str,
        about: object,
        make: Callable[[], Part],
        *,
        load: Callable[[Path], Part],
        save: Callable[[Part, Path], None],
    ) -> Part:
        """Return the object of `about`, which `save` writes into a safetensors file of its own and `load` reads."""
        if self.numbers is None:
            return make()
        path = self.numbers / f"{name}-{self._digest(name, about)}.safetensors"
        kept = _loaded(path, load)
        if kept is None:
            kept = make()
            save(kept, path)
        return kept

    def _digest(self, name: str, about: object) -> str:
        return store.digest([FORMAT, name, self.key, about])[:24]


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    table = as_plain(frame)
    store.write_json(path, {"digest": store.digest([path.name, table]), "table": table})


def _read_table(path: Path) -> pd.DataFrame:
    value = store.read_json(path)
    if value["digest"] != store.digest([path.name, value["table"]]):
        raise store.StoreError("it was changed since it was written, or is another part")
    return as_frame(value["table"])


def _loaded(path: Path, load: Callable[[Path], Part]) -> Part | None:
    try:
        return load(path) if path.exists() else None
    except (ArithmeticError, KeyError, TypeError, RuntimeError, ValueError) as error:
        log.warning("%s is not used and made anew: %s", path, store.one_line(error))
        return None
