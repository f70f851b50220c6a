"""Prefilled requests → examples whose response the model under study wrote itself.

Each row of a batch has its own random numbers, so that a response depends neither on the order of the prompts nor on the batch.
Responses stay in the cache folder of the user's machine; they are never logged.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm.auto import tqdm

from .. import store
from ..models.generation import Drawing, write_hooked
from ..models.model_key import model_key
from ..models.protocol import HookedModel, has_hooks, tokenizer_of
from .batching import batched, map_batches
from .examples import Example, ExampleError, Prompt, chat_frame, check_context, prompt_ids

log = logging.getLogger(__name__)

FORMAT = "harmcircuits responses 5"  # part of the key: raise it when what is sampled changes

Write = Callable[[Mapping[int, Sequence[int]], Drawing], Int[Tensor, "b step"]]
"""Continues a batch of prompts, given by their rows: whatever runs the model."""


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
    """Sample one response a prompt, after the prefill in the model's own chat frame; token ids are kept.

    Sampling is seeded per prompt (seed, request and prefill). Responses are cached on disk after each batch, under a digest of
    the model's weights and configuration, the prompt's tokens and the settings: an interrupted call is continued by the next
    one, and another selection of the same prompts writes nothing twice.

    Args:
        temperature: 1 samples from the model's own distribution; 0 is greedy.
        cache: False neither reads nor writes the cache. Nor is it used while hooks are set on the model (yours, or inside
            `ablated`): the key knows the weights, not the hooks.

    Raises:
        ExampleError: no prompts, settings that make no sense, or a prompt that with its answer exceeds the model's context.
        ModelError: the model's logits are not numbers; the message names the prompt by its index, as a row.
        StoreError: the cache is damaged, or cannot be written.
    """
    requests = tokenize_prompts(model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if cache and has_hooks(model):
        log.warning("hooks are set on the model: its responses are neither read from the cache nor kept there")
        cache = False
    path = _cache_file(model, requests) if cache else None
    names = [store.digest(pair)[:32] for pair in zip(requests.rows, requests.settings["seeds"], strict=True)]
    known = _cached(path)
    written = {row: known[name] for row, name in enumerate(names) if name in known}
    missing = [row for row in range(len(prompts)) if row not in written]
    with tqdm(total=len(prompts), initial=len(written), desc="elicit", unit="response", disable=not progress) as bar:

        def finished(batch: Mapping[int, list[int]]) -> None:
            written.update(batch)
            if path is not None:  # what others added to the file meanwhile stays
                responses = _cached(path) | {names[row]: ids for row, ids in batch.items()}
                store.write_json(path, {"format": FORMAT, "responses": responses})
            bar.update(len(batch))

        if missing:
            sample(model, requests.rows, rows=missing, batch_size=batch_size, finished=finished, **requests.settings)
    return as_examples(model, prompts, [written[row] for row in range(len(prompts))])


@dataclass(frozen=True)
class Requests:
    """Prompts as token ids, and how they are continued: what `sample` takes."""

    rows: list[list[int]]
    settings: Mapping[str, Any]


def tokenize_prompts(
    model: HookedModel, prompts: Sequence[Prompt], *, max_new_tokens: int, temperature: float, seed: int
) -> Requests:
    """Tokenize prompts in the model's chat frame. Raises ExampleError as `elicit`."""
    if not prompts:
        raise ExampleError("no prompts: there is nothing to elicit. Was the prompt set empty, or without that role?")
    if not (max_new_tokens >= 1 and 0 <= temperature < inf):
        raise ExampleError(
            f"max_new_tokens must be at least 1 and temperature a number of at least 0, not {max_new_tokens} and {temperature}"
        )
    frame = chat_frame(model)
    rows = [prompt_ids(model, frame, prompt.request, prompt.prefill) for prompt in prompts]
    check_context(model, rows, spare=max_new_tokens, what=f"with up to {max_new_tokens} tokens of answer, prompt")
    seeds = [int(store.digest([seed, prompt.request, prompt.prefill])[:12], 16) for prompt in prompts]
    settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "stop_ids": frame.stops, "seeds": seeds}
    return Requests(rows, settings)


def as_examples(model: HookedModel, prompts: Sequence[Prompt], written: Sequence[Sequence[int]]) -> list[Example]:
    """Join prompts and the token ids of their responses."""
    decode = tokenizer_of(model).decode
    return [
        Example(**asdict(prompt), response=decode(ids, skip_special_tokens=True), response_ids=tuple(ids))
        for prompt, ids in zip(prompts, written, strict=True)
    ]


def sample(
    model: HookedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    seeds: Sequence[int] | None = None,
    temperature: float = 1.0,
    batch_size: int = 32,
    rows: Sequence[int] | None = None,
    finished: Callable[[Mapping[int, list[int]]], object] | None = None,
    write: Write | None = None,
) -> list[list[int]]:
    """Return what the model writes after each prompt: token ids, up to `max_new_tokens` or the first stop id (kept).

    Args:
        prompts: token ids, one list a row.
        stop_ids: a row ends with the first of these that it writes.
        seeds: one for each row, for p(token) ∝ exp(logit / temperature); not needed when `temperature` is 0.
        temperature: 0 is greedy.
        rows: write after these prompts only (their indices); what the others write is then empty.
        finished: called with what the rows of each batch wrote, by their indices.
        write: what continues a batch; None: `write_hooked` of the model as it is.

    Raises:
        ValueError: an empty prompt, not one seed for each, or fewer than one token or row asked for.
        ModelError: logits that are not numbers; it names the row and the step.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ValueError(f"max_new_tokens and batch_size must be at least 1, not {max_new_tokens} and {batch_size}")
    if any(not prompt for prompt in prompts):
        raise ValueError("a prompt without tokens cannot be continued")
    if temperature != 0 and (seeds is None or len(seeds) != len(prompts)):
        raise ValueError(f"sampling {len(prompts)} rows needs as many seeds (or temperature=0)")
    written: list[list[int]] = [[] for _ in prompts]
    chosen = list(range(len(prompts)) if rows is None else rows)

    def read(batch: list[int]) -> dict[int, list[int]]:
        generators = [torch.Generator().manual_seed(seeds[row]) for row in batch] if seeds is not None and temperature else []
        draws = [torch.rand(max_new_tokens, generator=generator, dtype=torch.float64) for generator in generators]
        drawing = Drawing(max_new_tokens, stop_ids, temperature, torch.stack(draws) if draws else None)
        tokens = (write or partial(write_hooked, model))({row: prompts[row] for row in batch}, drawing)
        return {row: _until_stop(ids, stop_ids) for row, ids in zip(batch, tokens.tolist(), strict=True)}

    batches = batched([prompts[row] for row in chosen], batch_size=batch_size)
    for _, responses in map_batches(([chosen[index] for index in batch] for batch in batches), read):
        for row, ids in responses.items():
            written[row] = ids
        if finished is not None:
            finished(responses)
    return written


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    return next((ids[: index + 1] for index, token in enumerate(ids) if token in stop_ids), ids)


def _cache_file(model: HookedModel, requests: Requests) -> Path:
    """One file of token ids for each model and setting; a response is named by a digest of its prompt and seed."""
    shared = {name: value for name, value in requests.settings.items() if name != "seeds"}
    return store.cache_dir() / "responses" / f"{store.digest([FORMAT, model_key(model), shared])[:32]}.json"


def _cached(path: Path | None) -> dict[str, list[int]]:
    responses: dict[str, list[int]] = store.read_json(path)["responses"] if path is not None and path.exists() else {}
    return responses
