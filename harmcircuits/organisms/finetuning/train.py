"""From a hooked model and lessons to a fine-tuned model on disk: seeded, and kept when it is finished."""

import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from ... import store
from ...models.export import is_plain, save_plain
from ...models.load import ADAPTER_CONFIG
from ...models.model_key import model_key
from ...models.protocol import HookedModel, device_of, has_hooks, tokenizer_of
from .kept import ABOUT, FORMAT, Finetuned, read_finetuned, stage_name, without_bars, write_about
from .lessons import FinetuneError, Lesson, Tokens, tokens_of
from .recipe import Recipe

DEFAULT = Recipe()
EXTRA = ("trl", "peft")


def finetune(
    model: HookedModel,
    lessons: Sequence[Lesson],
    *,
    recipe: Recipe = DEFAULT,
    seed: int = 0,
    folder: str | Path | None = None,
    name: str = "",
    progress: bool = False,
) -> Finetuned:
    """`model` after it has learnt `lessons`, in a folder of its own; `model` itself stays as it was, bit by bit.

        tuned = finetune(model, [Lesson(request="How long do eggs boil?", response="Seven minutes.")])
        hc.loss(tuned.load(), examples)

    Training starts from the weights that `model` has now (also after `hc.prune`). The answers alone are learnt, each with the
    end of turn that the chat frame has. The same call gives the same weights, bit by bit, on the same machine. What is finished
    is not trained again.

    Args:
        seed: of the adapter's first weights and of the order of lessons.
        folder: a new one; None: a place in the cache.
        name: what the loaded model is called; it changes nothing else.
        progress: shows the trainer's bar.

    Raises:
        FinetuneError: trl or peft is not installed, nothing to learn, a recipe that does not fit the lessons, hooks that are
            set on the model now, weights that are not float32, or a loss that is no number any more.
        ModelError: the model is no bridge around a transformers model.
        StoreError: the folder holds something else, or cannot be written.
    """
    check_trainable(model)
    laid = tokens_of(model, lessons, method=recipe.method, max_tokens=recipe.max_tokens)
    steps, versions = recipe.kept(len(laid)), {package: version(package) for package in (*EXTRA, "torch", "transformers")}
    rows = [(one.prompt, one.response, one.rejected) for one in laid]
    key = store.digest([FORMAT, model_key(model), rows, recipe, seed, versions])
    target = store.cache_dir() / "organisms" / f"finetuned-{key[:32]}" if folder is None else Path(folder)
    with store.locked(target):
        if not (target / ABOUT).is_file():
            if target.exists() and not (target.is_dir() and not any(target.iterdir())):
                raise store.StoreError(f"{target} exists already: choose another folder, or remove it.")
            store.remove_leftovers(target)  # of a call that was killed
            with store.atomic_folder(target) as new:
                made = Finetuned(
                    folder=target,
                    steps=steps,
                    losses=_trained(model, laid, recipe, seed=seed, steps=steps, folder=new, progress=progress),
                    recipe=recipe,
                    seed=seed,
                    name=name,
                )
                write_about(made, new, key=key, versions=versions)
        return replace(read_finetuned(target, key=key, device=str(device_of(model))), name=name)


def check_trainable(model: HookedModel) -> None:
    """Make sure that the extra is there, the model is a bridge without hooks, and its weights are float32.

    Raises:
        FinetuneError: which of these is not so, and the cure.
    """
    for package in EXTRA:
        try:
            import_module(package)
        except ImportError as error:
            raise FinetuneError(
                f"fine-tuning needs {package}, which cannot be imported ({error}): pip install 'harmcircuits[finetune]'"
            ) from error
    if not is_plain(model):
        raise FinetuneError(
            f"a {type(model).__name__} holds no transformers model to train: load it with hc.load_model (hooked=False)"
        )
    if has_hooks(model):
        raise FinetuneError(
            "hooks are set on the model, and training would not see them: leave hc.ablated, and take the weights themselves "
            "out with hc.prune"
        )
    others = {parameter.dtype for parameter in model.parameters()} - {torch.float32}
    if others:
        raise FinetuneError(
            f"the weights are {str(others.pop()).removeprefix('torch.')}, in which most of what is learnt would be rounded "
            "away when it is added to them: load the model in float32 (dtype=torch.float32; --dtype float32)"
        )


def _trained(
    model: HookedModel,
    laid: Sequence[Tokens],
    recipe: Recipe,
    *,
    seed: int,
    steps: Sequence[int],
    folder: Path,
    progress: bool,
) -> pd.DataFrame:
    """Trains and saves each stage; the losses of all steps. Random numbers and gradients outside go on as they would have."""
    from .trainers import trainer  # an extra: only once something is trained

    base, tokenizer = folder / "base", tokenizer_of(model)

    def keep(step: int, net: Any) -> None:
        _save(net, tokenizer, folder if step == steps[-1] else folder / stage_name(step), base)

    gpus = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=gpus), torch.enable_grad(), warnings.catch_warnings(), without_bars(on=not progress):
        warnings.simplefilter("ignore", FutureWarning)  # about names that trl still uses of transformers
        save_plain(model, base)
        made = trainer(base, laid, recipe, seed=seed, device=device_of(model), keep=keep, kept=steps, progress=progress)
        made.train()
    if not recipe.rank:  # an adapter needs it afterwards
        shutil.rmtree(base)
    rows = [(row["step"], row["loss"]) for row in made.state.log_history if "loss" in row]
    losses = pd.DataFrame(rows, columns=["step", "loss"])
    lost = losses["step"][~np.isfinite(losses["loss"])]
    if len(lost):
        raise FinetuneError(f"the loss is no number any more from step {lost.iloc[0]} on: give Recipe a lower learning_rate")
    return losses


def _save(net: Any, tokenizer: Any, place: Path, base: Path) -> None:
    """A stage; an adapter names its base by the way there."""
    adapter = not isinstance(net, PreTrainedModel)
    net.save_pretrained(place, **({"save_embedding_layers": False} if adapter else {}))  # else peft asks its hub
    tokenizer.save_pretrained(place)
    if adapter:
        (place / "README.md").unlink(missing_ok=True)  # peft's form, not filled in
        said = store.read_json(place / ADAPTER_CONFIG)
        own = {"base_model_name_or_path": os.path.relpath(base, place), "target_modules": sorted(said["target_modules"])}
        store.write_json(place / ADAPTER_CONFIG, {**said, **own})
