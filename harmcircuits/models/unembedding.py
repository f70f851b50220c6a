"""The unembedding apart from the layers before it: many rows through the layers at once, and few through a large vocabulary.

Logits of many rows are the largest tensors there are (48 positions of 64 rows and 49 152 words: 600 MB), which neither a
cache nor an allocator likes.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .protocol import HookedModel, Past, alike, forward, logits_at, unembed_hook

AT_ONCE = 512
"""Positions: enough for a matrix product to be efficient, few enough for their logits to be a tensor of moderate size."""


def logits_by_row(
    model: HookedModel,
    tokens: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    positions: Int[Tensor, "row asked"],
    *,
    separately: bool,
    past: Past | None = None,
) -> Iterator[Float[Tensor, "asked d_vocab"]]:
    """`logits_at`, one row of `positions` after the other; `separately`: unembedded a few rows at a time."""
    if not separately:
        yield from logits_at(model, tokens, attention_mask, positions.flatten(), past=past).split(positions.shape[1])
        return
    residual = residuals_at(model, tokens, attention_mask, positions.flatten(), past=past)
    asked = positions.shape[1]
    for part in residual.split(max(1, AT_ONCE // asked) * asked):
        yield from _unembedded(model, part).split(asked)


def residuals_at(
    model: HookedModel,
    tokens: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    positions: Int[Tensor, " row"],
    *,
    past: Past | None = None,
) -> Float[Tensor, "row d_model"]:
    """What `logits_at` would unembed; one position of it is, since a model cannot stop there."""
    kept: list[Tensor] = []

    def keep(at: Int[Tensor, " row"], residual: Float[Tensor, "b pos d"], hook: object) -> Float[Tensor, "1 1 d"]:
        kept.append(residual.flatten(0, 1)[at.to(residual.device)])
        return residual[:1, :1]

    with model.hooks(fwd_hooks=[(unembed_hook(model), partial(keep, positions))]):
        forward(model, tokens, attention_mask, past=past)
    return kept[0]


@torch.no_grad()
def unembeds_alone(model: HookedModel, tokens: Sequence[int]) -> bool:
    """Whether the model's unembedding, called alone, gives its logits; not where more belongs to them (a soft cap, say, or
    the weights of a norm that come after the last hook). It is tried, on a few of the `tokens`."""
    if not callable(getattr(model, "unembed", None)):
        return False
    few = torch.tensor([list(tokens[:4])])
    given = few, torch.ones_like(few), torch.arange(few.shape[1])
    return alike(_unembedded(model, residuals_at(model, *given)), logits_at(model, *given))


def _unembedded(model: Any, residual: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_vocab"]:
    logits: Tensor = model.unembed(residual[None])[0]
    return logits
