"""Elicit responses: the model under study itself continues each prefilled request.

Each row of a batch has its own random numbers, one uniform a token, so that its text depends on its seed alone (but for near
ties that rounding turns in another batch). The hooked model and transformers' own loop, which is faster, draw the same tokens.
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
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from .. import store
from ..errors import HarmcircuitsError
from ..models.forward import empty_past, logits_at
from ..models.model_key import model_key
from ..models.protocol import CURE, HookedModel, device_of, has_hooks, pad_id, tokenizer_of
from .batching import batched, map_batches
from .examples import Example, Prompt, Prompts, as_prompts, chat_frame, check_context, prompt_ids

log = logging.getLogger(__name__)

FORMAT = "harmcircuits responses 5"  # part of the key: raise it when what is sampled changes


def elicit(
    model: HookedModel,
    prompts: Prompts,
    *,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 48,
    cache: bool = True,
    progress: bool = False,
) -> list[Example]:
    """Sample one response a prompt, after the prefill in the model's own chat frame; token ids are kept.

    Sampling is seeded by prompt (seed, request and prefill). Responses are cached on disk after each batch, under a digest of
    the model's weights and configuration, the prompt's tokens and the settings: an interrupted call is continued by the next.

        harmful = hc.elicit(model, hc.load_prompts().harmful, temperature=0)
        hc.elicit(model, "Name three birds.")[0].response

    Args:
        prompts: `hc.Prompt`s or requests as strings, which have no prefill; one or several.
        temperature: 1 samples from the model's own distribution; 0 is greedy.
        cache: False neither reads nor writes the cache. Nor is it used while hooks are set on the model (yours, or inside
            `ablated`): the key knows the weights, not the hooks.

    Raises:
        HarmcircuitsError: no prompts, settings that make no sense, or a prompt that with its answer exceeds the model's
            context; the model's logits are not numbers; the message names the prompt by its index, as a row; the cache is
            damaged, or cannot be written.
    """
    prompts = as_prompts(prompts)
    rows, settings = tokenize_prompts(model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if cache and has_hooks(model):
        log.warning("hooks are set on the model: its responses are neither read from the cache nor kept there")
        cache = False
    shared = {name: value for name, value in settings.items() if name != "seeds"}
    key = store.digest([FORMAT, model_key(model), shared])[:32] if cache else ""
    path = store.cache_dir() / "responses" / f"{key}.json" if cache else None
    names = [store.digest(pair)[:32] for pair in zip(rows, settings["seeds"], strict=True)]
    known = _cached(path)
    written = {row: known[name] for row, name in enumerate(names) if name in known}
    missing = [row for row in range(len(prompts)) if row not in written]
    progress_bar = tqdm(total=len(prompts), initial=len(written), desc="elicit", unit="response", disable=not progress)
    with progress_bar as bar:

        def finished(batch: Mapping[int, list[int]]) -> None:
            written.update(batch)
            if path is not None:  # what others added to the file meanwhile stays
                responses = _cached(path) | {names[row]: ids for row, ids in batch.items()}
                store.write_json(path, {"format": FORMAT, "responses": responses})
            bar.update(len(batch))

        if missing:
            sample(model, rows, rows=missing, batch_size=batch_size, finished=finished, **settings)
    return as_examples(model, prompts, [written[row] for row in range(len(prompts))])


def tokenize_prompts(
    model: HookedModel, prompts: Sequence[Prompt], *, max_new_tokens: int, temperature: float, seed: int
) -> tuple[list[list[int]], dict[str, Any]]:
    """Return prompts as token ids in the model's chat frame, and the settings of `sample`."""
    if not prompts:
        raise HarmcircuitsError("no prompts: there is nothing to elicit. Was the prompt set empty, or without that role?")
    if not (max_new_tokens >= 1 and 0 <= temperature < inf):
        raise HarmcircuitsError(
            f"max_new_tokens must be at least 1 and temperature a number of at least 0, not {max_new_tokens} and {temperature}"
        )
    frame = chat_frame(model)
    rows = [prompt_ids(model, frame, prompt.request, prompt.prefill) for prompt in prompts]
    check_context(model, rows, spare=max_new_tokens, what=f"with up to {max_new_tokens} tokens of answer, prompt")
    seeds = [int(store.digest([seed, prompt.request, prompt.prefill])[:12], 16) for prompt in prompts]
    settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "stop_ids": frame.stops, "seeds": seeds}
    return rows, settings


def as_examples(model: HookedModel, prompts: Sequence[Prompt], written: Sequence[Sequence[int]]) -> list[Example]:
    decode = tokenizer_of(model).decode
    return [
        Example(**asdict(prompt), response=decode(ids, skip_special_tokens=True), response_ids=tuple(ids))
        for prompt, ids in zip(prompts, written, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Drawing:
    """How tokens follow from logits: the likeliest one (greedy), or the one at the row's own random number."""

    max_new_tokens: int
    stop_ids: Sequence[int]
    temperature: float
    uniform: Float[Tensor, "b step"] | None

    def draw(self, logits: Float[Tensor, "b d_vocab"], step: int) -> Int[Tensor, " b"]:
        if self.temperature == 0 or self.uniform is None:
            return logits.argmax(dim=-1)
        cumulative = (logits / self.temperature).double().softmax(dim=-1).cumsum(dim=-1)
        threshold = self.uniform[:, step].to(logits.device)[:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, threshold, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


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
    write: Callable[[Mapping[int, Sequence[int]], Drawing], Int[Tensor, "b step"]] | None = None,
) -> list[list[int]]:
    """Return what the model writes after each prompt: token ids, up to `max_new_tokens` or the first stop id (kept).

    Args:
        seeds: one for each row, for p(token) ∝ exp(logit / temperature); None for greedy.
        rows: indices of the prompts to continue; the responses of others are empty.
        finished: called after each batch with its responses, by row.
        write: continues a batch; `write_hooked` with the model by default.
    """
    written: list[list[int]] = [[] for _ in prompts]
    chosen = list(range(len(prompts)) if rows is None else rows)

    def read(batch: list[int]) -> dict[int, list[int]]:
        draw = lambda seed: torch.rand(max_new_tokens, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        uniform = None if seeds is None else torch.stack([draw(seeds[row]) for row in batch])
        drawing = Drawing(max_new_tokens, stop_ids, temperature, uniform)
        tokens = (write or partial(write_hooked, model))({row: prompts[row] for row in batch}, drawing)
        ends = [next((step + 1 for step, token in enumerate(ids) if token in stop_ids), None) for ids in tokens.tolist()]
        return {row: ids[:end] for row, ids, end in zip(batch, tokens.tolist(), ends, strict=True)}

    batches = batched([prompts[row] for row in chosen], batch_size=batch_size)
    for _, responses in map_batches(([chosen[index] for index in batch] for batch in batches), read):
        for row, ids in responses.items():
            written[row] = ids
        if finished is not None:
            finished(responses)
    return written


@torch.no_grad()
def write_hooked(model: HookedModel, batch: Mapping[int, Sequence[int]], drawing: Drawing) -> Int[Tensor, "b step"]:
    """Continue a batch of prompts, by row, with the model under whatever hooks are set."""
    tokens, mask = left_padded([*batch.values()], pad_id(model))
    past, device = empty_past(model, len(batch)), device_of(model)
    stops = torch.tensor(list(drawing.stop_ids), dtype=torch.long, device=device)
    done, steps = torch.zeros(len(batch), dtype=torch.bool, device=device), list[Tensor]()
    for step in range(drawing.max_new_tokens):
        last = torch.arange(1, len(batch) + 1) * tokens.shape[1] - 1
        logits = logits_at(model, tokens, mask, last, past=past).float().to(device)
        _check_logits(logits, done, list(batch), step)
        steps.append(drawing.draw(logits, step))
        done |= torch.isin(steps[-1], stops)
        if bool(done.all()):
            break
        tokens, mask = steps[-1][:, None], torch.ones(len(batch), 1, dtype=torch.long)
    return torch.stack(steps, dim=1)


def _check_logits(logits: Float[Tensor, "b d_vocab"], done: Bool[Tensor, " b"], rows: list[int], step: int) -> None:
    """Raise HarmcircuitsError where an unfinished row has no distribution: a draw from it would look like text."""
    wrong = ~logits.amax(dim=-1).isfinite() & ~done
    if bool(wrong.any()):
        row = rows[int(wrong.nonzero()[0])]
        raise HarmcircuitsError(
            f"row {row}, step {step}: the model's logits are not finite, so that no token can be drawn. {CURE}"
        )


def left_padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[Int[Tensor, "b pos"], Int[Tensor, "b pos"]]:
    ids = [torch.tensor(prompt) for prompt in prompts]
    pad_left = partial(pad_sequence, batch_first=True, padding_side="left")
    return pad_left(ids, padding_value=pad), pad_left([torch.ones_like(row) for row in ids])


@torch.no_grad()
def write_plain(
    plain: PreTrainedModel, pad_id: int, batch: Mapping[int, Sequence[int]], drawing: Drawing
) -> Int[Tensor, "b step"]:
    """Continue a batch as `write_hooked` does with the bridge that `plain` comes from, without hooks."""
    tokens, mask = (tensor.to(plain.device) for tensor in left_padded([*batch.values()], pad_id))
    settings = GenerationConfig(
        max_new_tokens=drawing.max_new_tokens, do_sample=False, eos_token_id=list(drawing.stop_ids), pad_token_id=pad_id
    )
    drawn = LogitsProcessorList([_KeepDrawnToken(drawing, list(batch), tokens.shape[1])])
    whole = plain.generate(tokens, attention_mask=mask, generation_config=settings, logits_processor=drawn)
    return whole[:, tokens.shape[1] :]  # type: ignore[no-any-return]


class _KeepDrawnToken(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Leave the drawn token as the only one, so that greedy generation takes it."""

    def __init__(self, drawing: Drawing, rows: list[int], start: int):
        self.drawing, self.rows, self.start = drawing, rows, start

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Float[Tensor, "b d_vocab"]) -> Float[Tensor, "b d_vocab"]:
        written = input_ids[:, self.start :]
        done = torch.isin(written, torch.tensor(list(self.drawing.stop_ids), device=written.device)).any(1)
        _check_logits(scores.float(), done, self.rows, written.shape[1])
        tokens = self.drawing.draw(scores.float(), written.shape[1])
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


def _cached(path: Path | None) -> dict[str, list[int]]:
    return dict(store.read_json(path)["responses"]) if path is not None and path.exists() else {}
