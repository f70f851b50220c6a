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

FORMAT = "harmcircuits responses 5"  # part of the key: raise it when the file's layout or what is sampled changes

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
    and the settings, each prompt for itself, after each batch: a call that was interrupted is continued by the next one, and
    another selection of the same prompts writes nothing twice.

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
    book = _Book.open(model, requests) if cache else None
    written: Written = [None] * len(prompts) if book is None else book.known()
    return as_examples(model, prompts, _completed(model, requests, written, book, batch_size, progress))


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
