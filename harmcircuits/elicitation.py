"""Prefilled requests → examples whose response the model under study wrote itself.

Responses stay in the cache folder of the user's machine; they are never logged.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from . import store
from .examples import Example, Prompt, chat_frame, prompt_ids
from .models.context import too_long
from .models.decode import sample
from .models.protocol import HookedModel, has_hooks, model_key, vocabulary

log = logging.getLogger(__name__)

FORMAT = "harmcircuits responses 4"  # part of the key: raise it when the file's layout or what is sampled changes

Written = list[list[int] | None]
"""Token ids of each response; None: still to come."""


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
    nor on the batch. Responses are cached on disk under a digest of the model's weights and configuration, the prompts' tokens
    and the settings, after each batch: a call that was interrupted is continued by the next one.

    Args:
        temperature: 1 samples from the model's own distribution; 0 is greedy.
        cache: False neither reads nor writes the cache. Nor is it used while hooks are set on the model (yours, or inside
            `ablated`): the key knows the weights, not the hooks.

    Raises:
        ElicitError: no prompts, settings that make no sense, or a prompt that with its answer exceeds the model's context.
        ModelError: the model's logits are not numbers; the message names the prompt by its index, as a row.
        StoreError: the cache cannot be written.
    """
    requests = lay_out(model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if cache and has_hooks(model):
        log.warning("hooks are set on the model: its responses are neither read from the cache nor kept there")
        cache = False
    rows, settings = requests.rows, requests.settings
    path = _cache_path(model, rows, settings) if cache else None
    written = _cached(path, len(rows)) if path else None
    whole = _completed(model, rows, settings, written or [None] * len(rows), path, batch_size, progress)
    return as_examples(model, prompts, whole)


@dataclass(frozen=True)
class Requests:
    """Prompts as token ids, and how they are continued: what `sample` takes."""

    rows: list[list[int]]
    settings: Mapping[str, Any]


def lay_out(model: HookedModel, prompts: Sequence[Prompt], *, max_new_tokens: int, temperature: float, seed: int) -> Requests:
    """Raises ElicitError for no prompts, settings that make no sense, or a prompt that with its answer exceeds the context."""
    if not prompts:
        raise ElicitError("no prompts: there is nothing to elicit. Was the prompt set empty, or without that role?")
    if not (max_new_tokens >= 1 and 0 <= temperature < inf):
        raise ElicitError(
            f"max_new_tokens must be at least 1 and temperature a number of at least 0, not {max_new_tokens} and {temperature}"
        )
    frame = chat_frame(model)
    rows = [prompt_ids(model, frame, prompt.request, prompt.prefill) for prompt in prompts]
    what = f"with up to {max_new_tokens} tokens of answer, prompt"
    if why := too_long(model, [len(row) + max_new_tokens for row in rows], what=what):
        raise ElicitError(why)
    seeds = [int(store.digest([seed, prompt.request, prompt.prefill])[:12], 16) for prompt in prompts]
    settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "stop_ids": frame.stops, "seeds": seeds}
    return Requests(rows, settings)


def as_examples(model: HookedModel, prompts: Sequence[Prompt], written: Sequence[Sequence[int]]) -> list[Example]:
    """What was written after each prompt."""
    decode = vocabulary(model).decode
    return [
        Example(**asdict(prompt), response=decode(ids, skip_special_tokens=True), response_ids=tuple(ids))
        for prompt, ids in zip(prompts, written, strict=True)
    ]


def _completed(
    model: HookedModel,
    rows: list[list[int]],
    settings: Mapping[str, Any],
    written: Written,
    path: Path | None,
    batch_size: int,
    progress: bool,
) -> list[list[int]]:
    """`written` with what was still to come, kept in the cache after each batch."""
    missing = [row for row, ids in enumerate(written) if ids is None]
    if missing:
        bar = tqdm(total=len(rows), initial=len(rows) - len(missing), desc="elicit", unit="response", disable=not progress)

        def keep(batch: Mapping[int, list[int]]) -> None:
            for row, ids in batch.items():
                written[row] = ids
            if path:
                store.write_json(path, {"format": FORMAT, "sha256": _checksum(path, written), "response_ids": written})
            bar.update(len(batch))

        with bar:
            sample(model, rows, rows=missing, batch_size=batch_size, finished=keep, **settings)
    return [ids for ids in written if ids is not None]  # which is all of them


def _cache_path(model: HookedModel, rows: list[list[int]], settings: Mapping[str, Any]) -> Path:
    """Named by all that `sample` is given, but for the batch size."""
    key = store.digest([FORMAT, model_key(model), rows, settings])
    return store.cache_dir() / "responses" / f"{key[:32]}.json"


def _cached(path: Path, n: int) -> Written | None:
    """What an earlier call wrote, whole or in part. A file that was damaged or edited is named in the log and made anew."""
    if not path.exists():
        return None
    try:
        value = store.read_json(path)
        written: Written = value["response_ids"]
        if value["format"] == FORMAT and len(written) == n and value["sha256"] == _checksum(path, written):
            return written
        problem = "its checksum does not match"
    except (store.StoreError, KeyError, TypeError) as error:
        problem = f"it cannot be read ({type(error).__name__})"
    log.warning("the cached responses in %s were changed since they were written (%s): eliciting again", path, problem)
    return None


def _checksum(path: Path, written: Written) -> str:
    """Of what was written, and to which prompts: a good file under another's name is none."""
    return sha256(repr((path.stem, written)).encode()).hexdigest()
