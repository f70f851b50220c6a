"""A fine-tuned model on disk:

finetuned.json                 recipe, seed, steps, losses and versions
adapter_config.json, …         the last stage: an adapter folder of peft, or (rank 0) a transformers folder
step-40/                       an earlier stage, likewise
base/                          what an adapter was trained from
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from transformers.utils import logging

from ... import store
from ...models.load import load_model
from ...models.protocol import HookedModel
from ...notebook import clipped, notebook_html
from .recipe import Recipe

FORMAT = "harmcircuits fine-tuned model 2"
ABOUT = "finetuned.json"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Finetuned:
    """What `finetune` made.

    Attributes:
        folder: a transformers folder, or an adapter folder that names its base: `load_model(folder)` reads either.
        steps: those after which a stage was kept, the last one at the end.
        losses: step, loss as the trainer logs it: of "sft" in nats per token of the response, of "dpo" in nats per pair.
        recipe: how it was trained.
        seed: of the adapter's first weights and of the order of lessons.
        name: what the loaded model is called.
        device: where `load` puts them.
    """

    folder: Path
    steps: tuple[int, ...]
    losses: pd.DataFrame
    recipe: Recipe
    seed: int = 0
    name: str = ""
    device: str = "cpu"

    def stage(self, stage: int = -1) -> Path:
        """The folder of a stage, counted from 0, or from the end: −1 is the last.

        Raises:
            IndexError: there is no such stage.
        """
        step = self.steps[stage]
        return self.folder if step == self.steps[-1] else self.folder / stage_name(step)

    def load(self, stage: int = -1) -> HookedModel:
        """A hooked model of its own, adapters merged into its weights; what it was trained from stays as it was.

        Raises:
            IndexError: there is no such stage.
            LoadError: the folder was moved away from its base, or peft is not installed.
        """
        with without_bars():  # many are loaded one after the other
            model: HookedModel = load_model(self.stage(stage), device=self.device, dtype=torch.float32)
        if self.name:
            model.cfg.model_name = self.name
        return model

    def __repr__(self) -> str:
        first, last = self.losses["loss"].iloc[0], self.losses["loss"].iloc[-1]
        how = f"{self.recipe.method}, seed {self.seed}, {self.steps[-1]} steps, loss {first:.3f} → {last:.3f}"
        return f"Finetuned({clipped(self.name or self.folder.name, 24)!r}, {how})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.losses)


def stage_name(step: int) -> str:
    return f"step-{step}"


def write_about(made: Finetuned, folder: Path, *, key: str, versions: Mapping[str, str]) -> None:
    """Writes `finetuned.json`; `key` is a digest of all that the weights depend on."""
    told = {
        "format": FORMAT,
        "key": key,
        "name": made.name,
        "recipe": asdict(made.recipe),
        "seed": made.seed,
        "steps": made.steps,
        "losses": made.losses.to_dict("list"),
        "versions": dict(versions),
    }
    store.write_json(folder / ABOUT, told)


def read_finetuned(folder: str | Path, *, key: str | None = None, device: str = "cpu") -> Finetuned:
    """A finished model, as `finetune` returned it.

    Args:
        key: of which digest it must be; None: any.

    Raises:
        StoreError: nothing finished is there, it was written by another version, or it is of another key.
    """
    place = Path(folder)
    said = store.read_json(place / ABOUT)
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise store.StoreError(f"{place / ABOUT} was written by another version: choose another folder, or remove it.")
    if key is not None and said["key"] != key:
        raise store.StoreError(
            f"{place} holds a model of other weights, lessons, recipe, seed or versions: choose another folder, or remove it."
        )
    return Finetuned(
        folder=place,
        steps=tuple(said["steps"]),
        losses=pd.DataFrame(said["losses"]),
        recipe=Recipe(**said["recipe"]),
        seed=said["seed"],
        name=said["name"],
        device=device,
    )


@contextmanager
def without_bars(*, on: bool = True) -> Iterator[None]:
    """transformers shows none of its own, such as of every file of weights that is loaded."""
    shown = on and logging.is_progress_bar_enabled()
    if shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
