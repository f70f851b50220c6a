"""Forward passes: logits at chosen positions, and keys and values of a prefix that many rows share, computed once.

The prefix is computed under whatever ablation is in force. The two model classes keep it in two ways; only this file knows.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from ..errors import HarmcircuitsError
from .protocol import HookedModel, device_of

WORTH_SHARING = 8
"""Tokens; below this a second pass costs more than it saves."""


@dataclass
class Past:
    """Keys and values of the tokens before, which a forward pass extends in place.

    A bridge has transformers' cache and needs their `mask`; the cache of a `HookedTransformer` (TransformerLens 3) has it.
    """

    key_values: Any
    mask: Int[Tensor, "b past"] | None = None

    def options(self, attention_mask: Int[Tensor, "b pos"]) -> dict[str, Any]:
        if self.mask is None:
            return {"attention_mask": attention_mask, "past_kv_cache": self.key_values}
        self.mask = torch.cat([self.mask, attention_mask], dim=1)
        return {"attention_mask": self.mask, "past_key_values": self.key_values, "use_cache": True}

    def check(self) -> None:
        """Raise HarmcircuitsError where the model did not keep what it read: it would continue without having read it."""
        if self.mask is not None and (length := int(self.key_values.get_seq_length())) != self.mask.shape[1]:
            raise HarmcircuitsError(
                f"the model keeps keys and values of {length} tokens and has read {self.mask.shape[1]}: these versions of "
                "TransformerLens and transformers do not work together (TransformerLens up to 4.3 needs 'transformers<5.24')."
            )

    def repeated(self, rows: int) -> "Past":
        repeat = lambda tensor: tensor.repeat_interleave(rows, dim=0)
        key_values = copy.deepcopy(self.key_values)
        if self.mask is not None:
            key_values.batch_repeat_interleave(rows)
            return Past(key_values, repeat(self.mask))
        key_values.previous_attention_mask = repeat(key_values.previous_attention_mask)
        for entry in key_values.entries:
            entry.past_keys, entry.past_values = repeat(entry.past_keys), repeat(entry.past_values)
        return Past(key_values)


def empty_past(model: HookedModel, rows: int) -> Past:
    """Return a cache of nothing, for `rows` rows: the first forward pass fills it."""
    device = device_of(model)
    if type(model).__name__ == "HookedTransformer":
        from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

        return Past(TransformerLensKeyValueCache.init_cache(model.cfg, device, rows))
    config = model.original_model.config  # type: ignore[attr-defined]  # a bridge wraps a transformers model
    return Past(DynamicCache(config=config), torch.empty(rows, 0, dtype=torch.long, device=device))


def rows_may_differ_by_layer(model: HookedModel) -> bool:
    """Whether layers of the cache may have different numbers of rows: only transformers' may."""
    return type(model).__name__ != "HookedTransformer"


@torch.no_grad()
def read_prefix(model: HookedModel, tokens: Int[Tensor, " pos"]) -> Past:
    """Return keys and values of one row of tokens; `.repeated(b)` gives `b` rows a fresh copy to continue from."""
    past = empty_past(model, 1)
    logits_at(model, tokens[None], torch.ones_like(tokens)[None], torch.tensor([len(tokens) - 1]), past=past)
    return past


def logits_sharing_prefix(
    model: HookedModel, tokens: Int[Tensor, "b pos"], attention_mask: Int[Tensor, "b pos"], positions: Int[Tensor, " row"]
) -> Float[Tensor, "row d_vocab"]:
    """Return `logits_at`, without gradients; the prefix of all rows (a template's system prompt, say) is computed only once."""
    rows, length = tokens.shape
    shared = shared_length(tokens, attention_mask, positions)
    if rows == 1 or shared < WORTH_SHARING:
        return logits_at(model, tokens, attention_mask, positions)
    past = read_prefix(model, tokens[0, :shared]).repeated(rows)
    moved = positions // length * (length - shared) + positions % length - shared
    return logits_at(model, tokens[:, shared:], attention_mask[:, shared:], moved, past=past)


def shared_length(tokens: Int[Tensor, "b pos"], attention_mask: Int[Tensor, "b pos"], positions: Int[Tensor, " row"]) -> int:
    """Count leading columns that are the same in every row, attended everywhere, and before the first position to be read."""
    same = (tokens == tokens[:1]).all(0) & attention_mask.bool().all(0)
    return min(int(same.long().cumprod(0).sum()), int((positions % tokens.shape[1]).min()))


def logits_at(
    model: HookedModel,
    tokens: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    positions: Int[Tensor, " row"],
    *,
    past: Past | None = None,
) -> Float[Tensor, "row d_vocab"]:
    """Return logits at the flat `positions` (row · length + position) only, on the model's device.

    The unembedding is a fifth of the work in a small model with a large vocabulary. `past`: keys and values of what comes
    before `tokens`; it grows by them, so that it serves one continuation.
    """
    for name in ("unembed.hook_in", "ln_final.hook_normalized"):
        if name in model.hook_dict:
            select = lambda residual, hook: residual.flatten(0, 1)[positions.to(residual.device)][None]
            with model.hooks(fwd_hooks=[(name, select)]):
                return forward(model, tokens, attention_mask, past=past)[0]
    raise HarmcircuitsError(
        "the model has neither 'unembed.hook_in' nor 'ln_final.hook_normalized', where its unembedding begins"
    )


def forward(
    model: HookedModel, tokens: Int[Tensor, "b pos"], attention_mask: Int[Tensor, "b pos"], *, past: Past | None = None
) -> Float[Tensor, "b pos d_vocab"]:
    """Return logits at every position that the hooks in force leave, on the model's device."""
    device = device_of(model)
    mask = attention_mask.to(device)
    options = {"attention_mask": mask} if past is None else past.options(mask)
    logits = cast(Tensor, model(tokens.to(device), return_type="logits", **options))
    if past is not None:
        past.check()
    return logits


@contextmanager
def recorded(model: HookedModel, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield activations by hook point, as the last forward pass inside made them. HarmcircuitsError: one is absent."""
    activations: dict[str, Tensor] = {}
    record: Any = lambda name, value, hook: activations.update({name: value})
    if absent := [name for name in names if name not in model.hook_dict]:
        raise HarmcircuitsError(f"the model has no hook point {absent[0]!r}, which this is read at")
    with model.hooks(fwd_hooks=[(name, partial(record, name)) for name in names]):
        yield activations
