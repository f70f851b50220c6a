"""Keys and values of tokens that many rows begin with, computed once (under whatever ablation is in force).

The two model classes keep them in two ways; this file is the only one that knows.
"""

import copy
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .protocol import HookedModel, ModelError, device_of, logits_at


class BridgePast:
    """For `TransformerBridge`: transformers' own cache, which a forward pass extends in place."""

    def __init__(self, key_values: Any, mask: Int[Tensor, "b past"]):
        self.key_values = key_values
        self.mask = mask

    def options(self, attention_mask: Int[Tensor, "b pos"]) -> dict[str, Any]:
        self.mask = torch.cat([self.mask, attention_mask], dim=1)
        return {"attention_mask": self.mask, "past_key_values": self.key_values, "use_cache": True}

    def check(self) -> None:
        """Raises ModelError where the model has not kept what it read: it would then answer without having read it."""
        held = int(self.key_values.get_seq_length())
        if held != self.mask.shape[1]:
            raise ModelError(
                f"the model keeps keys and values of {held} tokens and has read {self.mask.shape[1]}: TransformerLens "
                f"{version('transformer-lens')} and transformers {version('transformers')} do not hand them on to each other. "
                "Install a transformers that this package allows (pip install --upgrade harmcircuits), or for TransformerLens "
                "up to 4.3 'transformers<5.24'."
            )

    def repeated(self, rows: int) -> "BridgePast":
        key_values = copy.deepcopy(self.key_values)
        key_values.batch_repeat_interleave(rows)
        return BridgePast(key_values, self.mask.repeat_interleave(rows, dim=0))


class HookedPast:
    """For `HookedTransformer` (TransformerLens 3): its own cache, which keeps the mask of what came before itself."""

    def __init__(self, key_values: Any):
        self.key_values = key_values

    def options(self, attention_mask: Int[Tensor, "b pos"]) -> dict[str, Any]:
        return {"attention_mask": attention_mask, "past_kv_cache": self.key_values}

    def check(self) -> None:
        """TransformerLens 3 keeps them by itself."""

    def repeated(self, rows: int) -> "HookedPast":
        key_values = copy.deepcopy(self.key_values)
        key_values.previous_attention_mask = key_values.previous_attention_mask.repeat_interleave(rows, dim=0)
        for entry in key_values.entries:
            entry.past_keys = entry.past_keys.repeat_interleave(rows, dim=0)
            entry.past_values = entry.past_values.repeat_interleave(rows, dim=0)
        return HookedPast(key_values)


def empty_past(model: HookedModel, rows: int) -> BridgePast | HookedPast:
    """Nothing yet, for `rows` rows: the first forward pass fills it."""
    device = device_of(model)
    if type(model).__name__ == "HookedTransformer":
        from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

        return HookedPast(TransformerLensKeyValueCache.init_cache(model.cfg, device, rows))
    from transformers import DynamicCache

    config = model.original_model.config  # type: ignore[attr-defined]  # a bridge wraps a transformers model
    return BridgePast(DynamicCache(config=config), torch.empty(rows, 0, dtype=torch.long, device=device))


def takes_more_rows(model: HookedModel) -> bool:
    """Whether layers may have different numbers of rows in it: transformers keeps each layer's by themselves, and
    `HookedTransformer` asks for as many in its first layer as there are tokens' rows."""
    return type(model).__name__ != "HookedTransformer"


def read_past(model: HookedModel, tokens: Int[Tensor, " pos"]) -> BridgePast | HookedPast:
    """Keys and values of one row of tokens; `.repeated(b)` gives `b` rows a fresh copy to continue from."""
    past = empty_past(model, 1)
    with torch.no_grad():
        logits_at(
            model,
            tokens[None],
            torch.ones(1, len(tokens), dtype=torch.long),
            torch.tensor([len(tokens) - 1]),
            past=past,
        )
    return past


def logits_shared(
    model: HookedModel,
    tokens: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    positions: Int[Tensor, " row"],
    *,
    earliest: int | None = None,
) -> Float[Tensor, "row d_vocab"]:
    """`logits_at`, without gradients, computing what all rows begin with (a template's system prompt, say) only once.

    `earliest`: the first column that a hook of the caller wants to see in the second pass, which begins there at the latest.
    """
    rows, length = tokens.shape
    shared = min(shared_length(tokens, attention_mask, positions), length if earliest is None else earliest)
    if rows == 1 or shared < WORTH_SHARING:
        return logits_at(model, tokens, attention_mask, positions)
    past = read_past(model, tokens[0, :shared]).repeated(rows)
    moved = positions // length * (length - shared) + positions % length - shared
    return logits_at(model, tokens[:, shared:], attention_mask[:, shared:], moved, past=past)


WORTH_SHARING = 8
"""Tokens; below this the second pass costs more than it saves."""


def shared_length(tokens: Int[Tensor, "b pos"], attention_mask: Int[Tensor, "b pos"], positions: Int[Tensor, " row"]) -> int:
    """Leading columns that are the same in every row, attended everywhere, and before the first position that is asked."""
    same = (tokens == tokens[:1]).all(0) & attention_mask.bool().all(0)
    first_asked = int((positions % tokens.shape[1]).min())
    return min(int(same.long().cumprod(0).sum()), first_asked)
