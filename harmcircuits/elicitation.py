"""Prefilled requests → examples whose response the model under study wrote itself.

Responses stay in the cache folder of the user's machine; they are never logged.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from . import store
from .examples import Example, Prompt, chat_frame, prompt_ids
from .models.decode import sample
from .models.protocol import HookedModel, has_hooks, model_hash, vocabulary

log = logging.getLogger(__name__)

FORMAT = "harmcircuits responses 1"


class ElicitError(ValueError):
    """Nothing to elicit, or a setting that makes no sense; the message says which."""


def elicit(
    model: HookedModel,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 48,
    cache: bool = True,
    progress: bool = False,
) -> list[Example]:
    """One response a prompt, sampled by `model` after the prefill in its own chat frame, token ids kept.

    Sampling is seeded per prompt (seed, request and prefill), so that a response depends neither on the order of the prompts
    nor on the batch. Responses are cached on disk under a digest of the model's weights, its chat frame, the prompts and the
    settings.

    Args:
        temperature: 1 samples from the model's own distribution; 0 is greedy.
        cache: False neither reads nor writes the cache. Nor is it used while hooks are set on the model (yours, or inside
            `ablated`): the key knows the weights, not the hooks.

    Raises:
        ElicitError: no prompts, or settings that make no sense.
        StoreError: the cache cannot be written (no space: the message names the folder and the cure).
    """
    if not prompts:
        raise ElicitError("no prompts: there is nothing to elicit. Was the prompt set empty, or without that role?")
    if max_new_tokens < 1 or temperature < 0:
        raise ElicitError(
            f"max_new_tokens must be at least 1 and temperature at least 0, not {max_new_tokens} and {temperature}"
        )
    if cache and has_hooks(model):
        log.warning("hooks are set on the model: its responses are neither read from the cache nor kept there")
        cache = False
    path = _cache_path(model, prompts, max_new_tokens, temperature, seed) if cache else None
    written = _cached(path, len(prompts)) if path else None
    if written is None:
        written = _write(model, prompts, max_new_tokens, temperature, seed, batch_size, progress)
        if path:
            store.write_json(path, {"format": FORMAT, "sha256": _checksum(written), "response_ids": written})
    return [_example(model, prompt, ids) for prompt, ids in zip(prompts, written, strict=True)]


def _write(
    model: HookedModel,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    temperature: float,
    seed: int,
    batch_size: int,
    progress: bool,
) -> list[list[int]]:
    frame = chat_frame(model)
    rows = [prompt_ids(model, frame, prompt.request, prompt.prefill) for prompt in prompts]
    seeds = [int(store.digest([seed, prompt.request, prompt.prefill])[:12], 16) for prompt in prompts]
    with tqdm(total=len(rows), desc="elicit", unit="response", disable=not progress) as bar:
        return sample(
            model,
            rows,
            max_new_tokens=max_new_tokens,
            stop_ids=frame.stops,
            seeds=seeds,
            temperature=temperature,
            batch_size=batch_size,
            progress=bar.update,
        )


def _example(model: HookedModel, prompt: Prompt, ids: Sequence[int]) -> Example:
    response = vocabulary(model).decode(ids, skip_special_tokens=True)
    return Example(**asdict(prompt), response=response, response_ids=tuple(ids))


def _cache_path(model: HookedModel, prompts: Sequence[Prompt], *settings: Any) -> Path:
    key = store.digest([FORMAT, model_hash(model), asdict(chat_frame(model)), [asdict(prompt) for prompt in prompts], settings])
    return store.cache_dir() / "responses" / f"{key[:32]}.json"


def _cached(path: Path, n: int) -> list[list[int]] | None:
    """What an earlier call wrote. A file that was damaged or edited is named in the log and written again."""
    if not path.exists():
        return None
    try:
        value = store.read_json(path)
        written: list[list[int]] = value["response_ids"]
        if value["format"] == FORMAT and len(written) == n and value["sha256"] == _checksum(written):
            return written
        problem = "its checksum does not match"
    except (store.StoreError, KeyError, TypeError) as error:
        problem = f"it cannot be read ({type(error).__name__})"
    log.warning("the cached responses in %s were changed since they were written (%s): eliciting again", path, problem)
    return None


def _checksum(written: list[list[int]]) -> str:
    return sha256(repr(written).encode()).hexdigest()
