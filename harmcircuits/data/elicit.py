"""Prefilled requests → examples whose response the model under study wrote itself.

Responses stay in the cache folder of the user's machine; they are never logged.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from .. import store
from ..models.generation import Drawing, write_hooked
from ..models.model_key import model_key
from ..models.protocol import HookedModel, has_hooks, tokenizer_of
from .batching import map_batches
from .examples import Example, ExampleError, Prompt, chat_frame, check_context, prompt_ids

log = logging.getLogger(__name__)

FORMAT = "harmcircuits responses 5"  # part of the key: raise it when the file's layout or what is sampled changes

Written = list[list[int] | None]
"""Token ids of each response; None: still to come."""


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
    and the settings, each prompt for itself, after each batch: a call that was interrupted is continued by the next one, and
    another selection of the same prompts writes nothing twice.

    Args:
        temperature: 1 samples from the model's own distribution; 0 is greedy.
        cache: False neither reads nor writes the cache. Nor is it used while hooks are set on the model (yours, or inside
            `ablated`): the key knows the weights, not the hooks.

    Raises:
        ExampleError: no prompts, settings that make no sense, or a prompt that with its answer exceeds the model's context.
        ModelError: the model's logits are not numbers; the message names the prompt by its index, as a row.
        StoreError: the cache cannot be written.
    """
    requests = lay_out(model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if cache and has_hooks(model):
        log.warning("hooks are set on the model: its responses are neither read from the cache nor kept there")
        cache = False
    book = _Book.open(model, requests) if cache else None
    written: Written = [None] * len(prompts) if book is None else book.known()
    return as_examples(model, prompts, _completed(model, requests, written, book, batch_size, progress))


@dataclass(frozen=True)
class Requests:
    """Prompts as token ids, and how they are continued: what `sample` takes."""

    rows: list[list[int]]
    settings: Mapping[str, Any]


def lay_out(model: HookedModel, prompts: Sequence[Prompt], *, max_new_tokens: int, temperature: float, seed: int) -> Requests:
    """Raises ExampleError for no prompts, settings that make no sense, or a prompt that with its answer exceeds the context."""
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
    """What was written after each prompt."""
    decode = tokenizer_of(model).decode
    return [
        Example(**asdict(prompt), response=decode(ids, skip_special_tokens=True), response_ids=tuple(ids))
        for prompt, ids in zip(prompts, written, strict=True)
    ]


def _completed(
    model: HookedModel, requests: Requests, written: Written, book: "_Book | None", batch_size: int, progress: bool
) -> list[list[int]]:
    """`written` with what was still to come, kept in the cache after each batch."""
    missing = [row for row, ids in enumerate(written) if ids is None]
    if missing:
        total, done = len(written), len(written) - len(missing)
        bar = tqdm(total=total, initial=done, desc="elicit", unit="response", disable=not progress)

        def keep(batch: Mapping[int, list[int]]) -> None:
            for row, ids in batch.items():
                written[row] = ids
            if book:
                book.add(batch)
            bar.update(len(batch))

        with bar:
            sample(model, requests.rows, rows=missing, batch_size=batch_size, finished=keep, **requests.settings)
    return [ids for ids in written if ids is not None]  # which is all of them


Write = Callable[[Mapping[int, Sequence[int]], Drawing], Int[Tensor, "b step"]]
"""Continues a batch of prompts, given by their rows: whatever runs the model."""


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
    """What the model writes after each prompt: token ids up to `max_new_tokens`, ending with a stop id where one was written.

    Args:
        prompts: token ids, one list a row.
        stop_ids: a row ends with the first of these that it writes; that token is kept.
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
    if temperature == 0:
        seeds = None
    elif seeds is None or len(seeds) != len(prompts):
        raise ValueError(f"sampling {len(prompts)} rows needs as many seeds (or temperature=0)")
    written: list[list[int]] = [[] for _ in prompts]
    asked = range(len(prompts)) if rows is None else rows
    by_length = sorted(asked, key=lambda row: len(prompts[row]))  # neighbours need little padding

    def continued(some: list[int]) -> dict[int, list[int]]:
        uniform = _uniforms([seeds[row] for row in some], max_new_tokens) if seeds is not None else None
        drawing = Drawing(max_new_tokens, stop_ids, temperature, uniform)
        tokens = (write or partial(write_hooked, model))({row: prompts[row] for row in some}, drawing)
        return {row: _until_stop(ids, stop_ids) for row, ids in zip(some, tokens.tolist(), strict=True)}

    for _, ended in map_batches((by_length[at : at + batch_size] for at in range(0, len(by_length), batch_size)), continued):
        for row, ids in ended.items():
            written[row] = ids
        if finished is not None:
            finished(ended)
    return written


def _uniforms(seeds: list[int], steps: int) -> Float[Tensor, "b step"]:
    draw = lambda seed: torch.rand(steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.stack([draw(seed) for seed in seeds])


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    ends = [position for position, token in enumerate(ids) if token in stop_ids]
    return ids[: ends[0] + 1] if ends else ids


@dataclass(frozen=True)
class _Book:
    """The cached responses of one model under one setting: a file of token ids, each under a digest of its prompt and seed."""

    path: Path
    names: list[str]

    @classmethod
    def open(cls, model: HookedModel, requests: Requests) -> "_Book":
        shared = {name: value for name, value in requests.settings.items() if name != "seeds"}
        key = store.digest([FORMAT, model_key(model), shared])
        names = [store.digest(pair)[:32] for pair in zip(requests.rows, requests.settings["seeds"], strict=True)]
        return cls(store.cache_dir() / "responses" / f"{key[:32]}.json", names)

    def known(self) -> Written:
        """What earlier calls wrote to these prompts."""
        kept = self._read()
        return [kept.get(name) for name in self.names]

    def add(self, batch: Mapping[int, list[int]]) -> None:
        """Add responses; what others added to the file meanwhile stays."""
        responses = self._read() | {self.names[row]: ids for row, ids in batch.items()}
        store.write_json(self.path, {"format": FORMAT, "sha256": self._checksum(responses), "responses": responses})

    def _read(self) -> dict[str, list[int]]:
        """All that the file holds. One that was damaged or edited is named in the log and made anew."""
        if not self.path.exists():
            return {}
        try:
            value = store.read_json(self.path)
            responses: dict[str, list[int]] = value["responses"]
            if value["format"] == FORMAT and value["sha256"] == self._checksum(responses):
                return responses
            problem = "its checksum does not match"
        except (store.StoreError, KeyError, TypeError, AttributeError) as error:
            problem = f"it cannot be read ({type(error).__name__})"
        log.warning("the cached responses in %s were changed since they were written (%s): eliciting again", self.path, problem)
        return {}

    def _checksum(self, responses: Mapping[str, list[int]]) -> str:
        """Of what was written, and under which key: a good file under another's name is none."""
        return sha256(repr((self.path.stem, sorted(responses.items()))).encode()).hexdigest()
