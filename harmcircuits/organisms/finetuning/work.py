"""The folders of one training: what is still to be finished lies beside its place, and goes there when it is.

.NAME.KEY.training/checkpoints     what a broken run goes on from: of the trainer's own, deleted at the end
.NAME.KEY.training/finished        the stages kept so far
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ... import store
from ...models.adapters import CONFIG, is_adapter
from ...models.plain import save_plain
from ...models.protocol import HookedModel
from .kept import ABOUT, stage_name

STATE = "trainer_state.json"
"""The last file that the trainer writes into a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where things lie.

    Attributes:
        target: where the finished model will be.
        key: a digest of all that its weights depend on.
        steps: those after which a stage is kept.
        base: what is trained from.
    """

    target: Path
    key: str
    steps: Sequence[int]
    base: Path

    @property
    def folder(self) -> Path:
        return unfinished(self.target, self.key)

    @property
    def finished(self) -> Path:
        return self.folder / "finished"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def keep(self, step: int, net: Any, tokenizer: Any) -> None:
        """Saves a stage; an adapter names its base by the way there from where the stage will be."""
        place, final = (self._stage(folder, step) for folder in (self.finished, self.target))
        options = {} if isinstance(net, PreTrainedModel) else {"save_embedding_layers": False}  # else peft asks its hub
        net.save_pretrained(place, **options)
        tokenizer.save_pretrained(place)
        (place / "README.md").unlink(missing_ok=True)  # peft's form, not filled in
        if is_adapter(place):
            inside = self.base.is_relative_to(self.finished)
            base = self.target / self.base.relative_to(self.finished) if inside else self.base
            said = store.read_json(place / CONFIG)
            own = {"base_model_name_or_path": os.path.relpath(base, final), "target_modules": sorted(said["target_modules"])}
            store.write_json(place / CONFIG, {**said, **own})

    def checkpoint(self) -> Path | None:
        """The last one from which training can go on; those that were cut short are removed."""
        found = [(int(path.name.rpartition("-")[2]), path) for path in self.checkpoints.glob("checkpoint-*")]
        for step, path in sorted(found, reverse=True):
            if _whole(path / STATE) and all(self._is_kept(stage) for stage in self.steps if stage <= step):
                return path
            shutil.rmtree(path)
        return None

    def finish(self, about: dict[str, Any]) -> None:
        """Moves what is kept to its place, with `about` as its description, and removes the rest."""
        store.remove_leftovers(self.target)
        store.remove_leftovers_in(self.finished)  # of a copy of the weights that was cut short
        with store.atomic_folder(self.target) as new:
            for part in list(self.finished.iterdir()):
                part.rename(new / part.name)
            store.write_json(new / ABOUT, about)
        self.discard()

    def discard(self) -> None:
        """Removes what is unfinished."""
        shutil.rmtree(self.folder)

    def _is_kept(self, step: int) -> bool:
        return (self._stage(self.finished, step) / "tokenizer_config.json").is_file()

    def _stage(self, folder: Path, step: int) -> Path:
        return folder if step == self.steps[-1] else folder / stage_name(step)


def unfinished(target: Path, key: str) -> Path:
    return target.with_name(f".{target.name}.{key[:12]}.training")


def shared_bases() -> Path:
    """In the cache: one copy of all weights that something there was trained from."""
    return store.cache_dir() / "organisms" / "bases"


def save_base(model: HookedModel, place: Path) -> Path:
    """The weights of `model`, as they are now, as a transformers folder; one that is there already is left.

    Raises:
        ModelError: the model is no bridge around a transformers model.
        StoreError: the folder cannot be written.
    """
    if not place.exists():
        store.remove_old_leftovers_in(place.parent)  # other processes may be writing there
        with store.atomic_folder(place) as new:
            save_plain(model, new)
    return place


def _whole(path: Path) -> bool:
    try:
        store.read_json(path)
    except store.StoreError:
        return False
    return True
