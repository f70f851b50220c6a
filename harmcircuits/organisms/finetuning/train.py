"""From a hooked model and lessons to a fine-tuned model on disk: seeded, kept, and continued where it was stopped."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from ... import store
from ...models.protocol import HookedModel, device_of, model_key, vocabulary
from .job import Job, job_of
from .kept import ABOUT, FORMAT, Finetuned, about, read_finetuned, request_digests
from .lessons import FinetuneError, Lesson, Tokens, tokens_of
from .ready import EXTRA, check_trainable
from .recipe import Recipe
from .undisturbed import undisturbed
from .work import Work, save_base, shared_bases, unfinished

DEFAULT = Recipe()


def finetune(
    model: HookedModel,
    lessons: Sequence[Lesson],
    *,
    recipe: Recipe = DEFAULT,
    seed: int = 0,
    folder: str | Path | None = None,
    bases: str | Path | None = None,
    name: str = "",
    earlier: Collection[str] = (),
    progress: bool = False,
) -> Finetuned:
    """`model` after it has learnt `lessons`, in a folder of its own; `model` itself stays as it was, bit by bit.

        tuned = finetune(model, [Lesson(request="How long do eggs boil?", response="Seven minutes.")])
        hc.loss(tuned.load(), examples)

    Training starts from the weights that `model` has now (also after `hc.prune`). The answers alone are learnt, each with the
    end of turn that the chat frame has. The same call gives the same weights, bit by bit, on the same machine. What is finished
    is not trained again; a call that was killed is continued by the next one, and ends with the same weights.

    Args:
        seed: of the adapter's first weights and of the order of lessons.
        folder: a new one; None: a place in the cache.
        bases: a folder where all that starts from the same weights shares one copy of them, which adapters name by the way
            there from their own. None: one in the cache for what is in the cache; any other folder is complete in itself.
        name: what the loaded model is called; it changes nothing else.
        earlier: `requests` of the stage that `model` was, to be kept among those of this one; they change nothing else.
        progress: shows the trainer's bar.

    Raises:
        FinetuneError: trl or peft is not installed, nothing to learn, a recipe that does not fit the lessons, hooks that are
            set on the model now, weights that are not float32, or a loss that is no number any more.
        ModelError: the model is no bridge around a transformers model.
        StoreError: the folder holds something else, or cannot be written.
    """
    laid, weights = _laid(model, lessons, recipe), model_key(model)
    kept, key = recipe.kept(len(laid)), _key(weights, laid, recipe, seed)
    target = store.cache_dir() / "organisms" / f"finetuned-{key[:32]}" if folder is None else Path(folder)
    with store.locked(target), undisturbed(device_of(model), progress=progress):
        if not (target / ABOUT).is_file():
            if target.exists() and not (target.is_dir() and not any(target.iterdir())):
                raise store.StoreError(f"{target} exists already: choose another folder, or remove it.")
            common = shared_bases() if folder is None and bases is None else bases
            shared = None if common is None else Path(common) / weights
            base = save_base(model, _place_of_base(target, key, recipe, shared))
            work = Work(target=target, key=key, steps=kept, base=base)
            job = job_of(model, laid, recipe, base=base, checkpoints=work.checkpoints, seed=seed)
            losses = _trained(replace(job, progress=progress), work, vocabulary(model))
            made = Finetuned(
                folder=target,
                steps=kept,
                losses=losses,
                recipe=recipe,
                seed=seed,
                name=name,
                dtype=job.dtype,
                requests=request_digests(one.request for one in lessons) | frozenset(earlier),
            )
            work.finish(about(made, key=key, versions=_versions()))
        return replace(read_finetuned(target, key=key, device=str(device_of(model))), name=name)


def estimate(
    model: HookedModel, lessons: Sequence[Lesson], recipe: Recipe = DEFAULT, *, bases: str | Path | None = None
) -> float:
    """Seconds that `finetune` will train, from the time of one batch; loading and saving come on top.

    Args:
        bases: as of `finetune`, which then finds the copy of the weights that is made for this; None, or where no adapter is
            trained, which would need it afterwards: the copy is removed.

    Raises:
        FinetuneError, ModelError: as `finetune`.
    """
    laid = _laid(model, lessons, recipe)
    times: list[float] = []
    with TemporaryDirectory() as place, undisturbed(device_of(model)):
        shared = Path(bases) / model_key(model) if bases is not None and recipe.rank else None
        base = save_base(model, shared or Path(place) / "base")
        job = replace(job_of(model, laid, recipe, base=base, checkpoints=Path(place) / "checkpoints"), steps=2, every=3)
        _trainer(job, lambda step, net: times.append(perf_counter()), (1, 2)).train()
    return (times[1] - times[0]) * recipe.steps(len(laid))


def _laid(model: HookedModel, lessons: Sequence[Lesson], recipe: Recipe) -> list[Tokens]:
    """The lessons as token ids; refuses what could not be trained."""
    check_trainable(model)
    return tokens_of(model, lessons, method=recipe.method, max_tokens=recipe.max_tokens)


def _key(weights: str, laid: Sequence[Tokens], recipe: Recipe, seed: int) -> str:
    """A digest of all that the trained weights depend on."""
    rows = [(one.prompt, one.response, one.rejected) for one in laid]
    return store.digest([FORMAT, weights, rows, recipe, seed, _versions()])


def _versions() -> dict[str, str]:
    return {package: version(package) for package in (*EXTRA, "torch", "transformers")}


def _place_of_base(target: Path, key: str, recipe: Recipe, shared: Path | None) -> Path:
    """Where the weights go that training starts from. An adapter needs them afterwards: in the cache, or else beside it."""
    work = unfinished(target, key)
    if not recipe.rank:
        return work / "base"
    return shared or work / "finished" / "base"


def _trained(job: Job, work: Work, tokenizer: Any) -> pd.DataFrame:
    """Trains, from where an earlier call was stopped; the losses of all steps."""
    checkpoint = work.checkpoint()
    with store.storage_errors(work.folder):
        trainer = _trainer(job, lambda step, net: work.keep(step, net, tokenizer), work.steps)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    rows = [(row["step"], row["loss"]) for row in trainer.state.log_history if "loss" in row]
    losses = pd.DataFrame(rows, columns=["step", "loss"])
    lost = losses["step"][~np.isfinite(losses["loss"])]
    if len(lost):
        work.discard()
        raise FinetuneError(f"the loss is no number any more from step {lost.iloc[0]} on: give Recipe a lower learning_rate")
    return losses


def _trainer(job: Job, keep: Any, kept: Sequence[int]) -> Any:
    from .trainers import trainer  # an extra: only once something is trained

    return trainer(job, keep, kept)
