"""Batched sampling, the same for both model classes and under any hooks, row by row reproducible.

Each row has its own random numbers, one uniform a token, so that what a row writes depends on its seed and not on its
neighbours in the batch (floating-point differences between batch shapes can still turn a near tie).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .past import empty_past
from .protocol import HookedModel, device_of, logits_at, pad_id


def sample(
    model: HookedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    seeds: Sequence[int] | None = None,
    temperature: float = 1.0,
    batch_size: int = 32,
    progress: Callable[[int], object] | None = None,
) -> list[list[int]]:
    """What the model writes after each prompt: token ids up to `max_new_tokens`, ending with a stop id where one was written.

    Args:
        prompts: token ids, one list a row.
        stop_ids: a row ends with the first of these that it writes; that token is kept.
        seeds: one for each row, for p(token) ∝ exp(logit / temperature); not needed when `temperature` is 0.
        temperature: 0 is greedy.
        progress: called with the number of rows that each finished batch held.

    Raises:
        ValueError: an empty prompt, not one seed for each, or fewer than one token or row asked for.
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
    by_length = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))  # neighbours need little padding
    for start in range(0, len(by_length), batch_size):
        rows = by_length[start : start + batch_size]
        uniform = _uniforms([seeds[row] for row in rows], max_new_tokens) if seeds is not None else None
        tokens = _continue(model, [prompts[row] for row in rows], max_new_tokens, stop_ids, uniform, temperature)
        for row, ids in zip(rows, tokens.tolist(), strict=True):
            written[row] = _until_stop(ids, stop_ids)
        if progress is not None:
            progress(len(rows))
    return written


@torch.no_grad()
def _continue(
    model: HookedModel,
    prompts: list[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Sequence[int],
    uniform: Float[Tensor, "b step"] | None,
    temperature: float,
) -> Int[Tensor, "b step"]:
    tokens, mask = _left_padded(prompts, pad_id(model))
    past, device = empty_past(model, len(prompts)), device_of(model)
    stops = torch.tensor(list(stop_ids), dtype=torch.long, device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    steps: list[Tensor] = []
    for step in range(max_new_tokens):
        last = torch.arange(1, len(prompts) + 1) * tokens.shape[1] - 1
        logits = logits_at(model, tokens, mask, last, past=past).float()
        following = _draw(logits, None if uniform is None else uniform[:, step], temperature)
        steps.append(following)
        done |= torch.isin(following, stops)
        if bool(done.all()):
            break
        tokens, mask = following[:, None], torch.ones(len(prompts), 1, dtype=torch.long)
    return torch.stack(steps, dim=1)


def _draw(logits: Float[Tensor, "b d_vocab"], uniform: Float[Tensor, " b"] | None, temperature: float) -> Int[Tensor, " b"]:
    if temperature == 0 or uniform is None:
        return logits.argmax(dim=-1)
    cumulative = (logits / temperature).double().softmax(dim=-1).cumsum(dim=-1)
    threshold = uniform.to(logits.device)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, threshold, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def _uniforms(seeds: list[int], steps: int) -> Float[Tensor, "b step"]:
    draw = lambda seed: torch.rand(steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.stack([draw(seed) for seed in seeds])


def _left_padded(prompts: list[Sequence[int]], pad: int) -> tuple[Int[Tensor, "b pos"], Int[Tensor, "b pos"]]:
    longest = max(map(len, prompts))
    tokens = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return tokens, mask


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    ends = [position for position, token in enumerate(ids) if token in stop_ids]
    return ids[: ends[0] + 1] if ends else ids
