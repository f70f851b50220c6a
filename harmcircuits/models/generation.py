"""Generation of one batch, by a model with hooks or by transformers' own loop, which is faster, with the same draws.

Each row has its own random numbers, one uniform a token, so that what it writes depends on its seed and not on its neighbours
in the batch (floating-point differences between batch shapes can still turn a near tie).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from .gradient_checks import CURE
from .prefix_cache import empty_past
from .protocol import HookedModel, ModelError, device_of, logits_at, pad_id


@dataclass(frozen=True, eq=False)
class Drawing:
    """How tokens follow from logits: the most likely one (greedy), or the one at the row's own random number."""

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


@torch.no_grad()
def write_hooked(model: HookedModel, batch: Mapping[int, Sequence[int]], drawing: Drawing) -> Int[Tensor, "b step"]:
    """Continue a batch of prompts with the model as it is, under whatever hooks are set."""
    tokens, mask = left_padded(list(batch.values()), pad_id(model))
    past, device = empty_past(model, len(batch)), device_of(model)
    stops = torch.tensor(list(drawing.stop_ids), dtype=torch.long, device=device)
    done = torch.zeros(len(batch), dtype=torch.bool, device=device)
    steps: list[Tensor] = []
    for step in range(drawing.max_new_tokens):
        last = torch.arange(1, len(batch) + 1) * tokens.shape[1] - 1
        logits = logits_at(model, tokens, mask, last, past=past).float().to(device)
        check_logits(logits, done, list(batch), step)
        steps.append(drawing.draw(logits, step))
        done |= torch.isin(steps[-1], stops)
        if bool(done.all()):
            break
        tokens, mask = steps[-1][:, None], torch.ones(len(batch), 1, dtype=torch.long)
    return torch.stack(steps, dim=1)


def check_logits(logits: Float[Tensor, "b d_vocab"], done: Bool[Tensor, " b"], rows: list[int], step: int) -> None:
    """Raise where a row that still writes has no distribution (NaN, +∞, or −∞ everywhere): the draw would look like text."""
    wrong = ~logits.amax(dim=-1).isfinite() & ~done
    if bool(wrong.any()):
        row = rows[int(wrong.nonzero()[0])]
        raise ModelError(f"row {row}, step {step}: the model's logits are not finite, so that no token can be drawn. {CURE}")


def left_padded(prompts: list[Sequence[int]], pad: int) -> tuple[Int[Tensor, "b pos"], Int[Tensor, "b pos"]]:
    longest = max(map(len, prompts))
    tokens = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return tokens, mask


@torch.no_grad()
def write_plain(
    plain: PreTrainedModel, pad_id: int, batch: Mapping[int, Sequence[int]], drawing: Drawing
) -> Int[Tensor, "b step"]:
    """Continue a batch as `write_hooked` does with the bridge that `plain` comes from, without hooks."""
    tokens, mask = (tensor.to(plain.device) for tensor in left_padded(list(batch.values()), pad_id))
    settings = GenerationConfig(
        max_new_tokens=drawing.max_new_tokens, do_sample=False, eos_token_id=list(drawing.stop_ids), pad_token_id=pad_id
    )
    drawn = LogitsProcessorList([_KeepDrawnToken(drawing, list(batch), tokens.shape[1])])
    whole = plain.generate(tokens, attention_mask=mask, generation_config=settings, logits_processor=drawn)
    return whole[:, tokens.shape[1] :]  # type: ignore[no-any-return]


class _KeepDrawnToken(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Leaves the token that is drawn as the only one, so that greedy generation takes it."""

    def __init__(self, drawing: Drawing, rows: list[int], start: int):
        self.drawing, self.rows, self.start = drawing, rows, start

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Float[Tensor, "b d_vocab"]) -> Float[Tensor, "b d_vocab"]:
        written = input_ids[:, self.start :]
        done = torch.isin(written, torch.tensor(list(self.drawing.stop_ids), device=written.device)).any(1)
        check_logits(scores.float(), done, self.rows, written.shape[1])
        tokens = self.drawing.draw(scores.float(), written.shape[1])
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)
