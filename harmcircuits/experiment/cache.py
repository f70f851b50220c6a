"""One content-addressed cache for the experiment: a stopped run continues, and what two claims share is measured once.

An entry is named by a digest of all that its values depend on: the model (weights, configuration, tokenizer), the condition,
the reading with its prompts, and what measures (the package's sources and data, the libraries below it), so that no entry
survives a change of it. Numbers lie in the run's folder; token ids of what a model wrote lie in the user's cache folder and
never travel with a run.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
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
from ..store.frames import as_kept
from ..store.journal import Journal

log = logging.getLogger(__name__)
TEXTS = "response_ids"
LIBRARIES = ("torch", "transformer-lens", "transformers")
AFTER = ("claims", "cli", "experiment", "figures", "report", "statistics")
"""Folders whose code may change while what was measured stays."""
Made = TypeVar("Made")


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


def place_to_keep(model: HookedModel, folder: str | Path | None) -> Path | None:
    """Return `folder`, unless hooks are set on the model: the keys of what is kept know the weights, not the hooks."""
    if folder is not None and has_hooks(model):
        log.warning("hooks are set on the model: nothing of this run is read from %s or kept there", folder)
        return None
    return None if folder is None else Path(folder)


@dataclass(frozen=True)
class Cache:
    """Entries of one model in a folder; without a folder, nothing is kept.

    Attributes:
        key: of the model and the code.
        numbers, texts: where they are kept.
    """

    key: object = None
    numbers: Journal = field(default_factory=Journal)
    texts: Journal = field(default_factory=Journal)

    @classmethod
    def at(cls, model: HookedModel, folder: str | Path | None) -> "Cache":
        """Open the cache of `model` in `folder`. Nothing is kept without a folder, or while hooks of the user's are set, which
        the key does not know.

        Raises:
            StoreError: the folder, or the user's cache folder, cannot be written.
        """
        place = place_to_keep(model, folder)
        if place is None:
            return cls()
        key = [model_key(model), type(model).__name__, chat_frame(model).stops, code_digest()]
        return cls(key, Journal(place / "cache"), Journal(store.cache_dir() / "written"))

    def frame(self, name: str, about: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return the frame of `about`: as it was kept, or made now and kept. A column of token ids is kept apart."""
        key = [self.key, about]
        numbers, texts = self.numbers.kept(name, key), self.texts.kept(name, key)
        if numbers is not None and (TEXTS not in numbers or texts is not None):
            return numbers if texts is None else numbers.assign(**{TEXTS: texts[TEXTS]})
        made = as_kept(make())
        if TEXTS in made:
            self.texts.keep(name, key, made[[TEXTS]])
        self.numbers.keep(name, key, made.assign(**{TEXTS: ""}) if TEXTS in made else made)
        return made

    def file(
        self,
        name: str,
        about: object,
        make: Callable[[], Made],
        *,
        load: Callable[[Path], Made],
        save: Callable[[Made, Path], None],
    ) -> Made:
        """Return the object of `about`, in a safetensors file of its own."""
        return self.numbers.file(name, [self.key, about], make, load=load, save=save)
