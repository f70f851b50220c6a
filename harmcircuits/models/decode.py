"""Batched sampling, the same for both model classes and under any hooks, row by row reproducible.

Each row has its own random numbers, one uniform a token, so that what a row writes depends on its seed and not on its
neighbours in the batch (floating-point differences between batch shapes can still turn a near tie).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..halves import each_batch
from .past import empty_past
from .protocol import HookedModel, ModelError, device_of, logits_at, pad_id


@dataclass(frozen=True, eq=False)
class Drawing:
    """How tokens follow from logits: the first of the distribution (greedy), or the one at the row's own random number."""

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

    for _, ended in each_batch((by_length[at : at + batch_size] for at in range(0, len(by_length), batch_size)), continued):
        for row, ids in ended.items():
            written[row] = ids
        if finished is not None:
            finished(ended)
    return written


@torch.no_grad()
def write_hooked(model: HookedModel, batch: Mapping[int, Sequence[int]], drawing: Drawing) -> Int[Tensor, "b step"]:
    """By the model as it stands, under whatever hooks are set."""
    tokens, mask = left_padded(list(batch.values()), pad_id(model))
    past, device = empty_past(model, len(batch)), device_of(model)
    stops = torch.tensor(list(drawing.stop_ids), dtype=torch.long, device=device)
    done = torch.zeros(len(batch), dtype=torch.bool, device=device)
    steps: list[Tensor] = []
    for step in range(drawing.max_new_tokens):
        last = torch.arange(1, len(batch) + 1) * tokens.shape[1] - 1
        logits = logits_at(model, tokens, mask, last, past=past).float().to(device)
        check_numbers(logits, done, list(batch), step)
        steps.append(drawing.draw(logits, step))
        done |= torch.isin(steps[-1], stops)
        if bool(done.all()):
            break
        tokens, mask = steps[-1][:, None], torch.ones(len(batch), 1, dtype=torch.long)
    return torch.stack(steps, dim=1)


def check_numbers(logits: Float[Tensor, "b d_vocab"], done: Bool[Tensor, " b"], rows: list[int], step: int) -> None:
    """Raises where a row that still writes has no distribution: NaN somewhere, or +∞, or −∞ everywhere.

    Drawing would give the last token of the vocabulary instead, and greedy decoding the first NaN: both look like text.
    """
    wrong = ~logits.amax(dim=-1).isfinite() & ~done
    if bool(wrong.any()):
        row = rows[int(wrong.nonzero()[0])]
        raise ModelError(
            f"row {row}, step {step}: the model's logits are not finite numbers, so that no token can be drawn. Its "
            "activations overflow, as they do in half precision: load it with dtype=torch.float32 (--dtype float32). "
            "If it is in float32 already, its weights are damaged, or a hook of yours divides by zero."
        )


def _uniforms(seeds: list[int], steps: int) -> Float[Tensor, "b step"]:
    draw = lambda seed: torch.rand(steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.stack([draw(seed) for seed in seeds])


def left_padded(prompts: list[Sequence[int]], pad: int) -> tuple[Int[Tensor, "b pos"], Int[Tensor, "b pos"]]:
    longest = max(map(len, prompts))
    tokens = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return tokens, mask


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    ends = [position for position, token in enumerate(ids) if token in stop_ids]
    return ids[: ends[0] + 1] if ends else ids
