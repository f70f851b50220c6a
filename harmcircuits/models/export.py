"""The plain transformers model inside a `TransformerBridge`, put together again: for saving, and for generation.

A bridge wraps every module and computes with separate query, key and value matrices where transformers has one. The plain model
shares its parameters with the bridge; fused ones are put together from what the bridge computes with now.
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from ..errors import HarmcircuitsError
from .protocol import HookedModel, geometry, tokenizer_of

log = logging.getLogger(__name__)
_WRAPPED = "._original_component"
_QKV = ("q", "k", "v")
_PARTS = {"c_attn": _QKV, "query_key_value": _QKV, "qkv_proj": _QKV, "gate_up_proj": ("gate", "in")}
"""Fused modules of transformers by the last part of their names, and their parts in a bridge."""


@torch.no_grad()
def plain_model(model: HookedModel, *, attention: str = "eager") -> PreTrainedModel:
    """Return a transformers model with the weights of `model` as they are now, without hooks, in evaluation mode.

    Its generation settings are transformers' defaults, so that its text depends on the weights alone. `attention`: "eager",
    which is the bridge's own, or "sdpa".

    Raises:
        HarmcircuitsError: no bridge around a transformers model, or unknown fused matrices.
    """
    if not is_plain(model):
        raise HarmcircuitsError("only a TransformerBridge holds a transformers model: load the weights with hc.load_model")
    wrapped: Any = model.original_model  # type: ignore[attr-defined]
    config = copy.deepcopy(wrapped.config)
    config.output_attentions = False  # which a bridge sets, and sdpa does not have
    with torch.device("meta"):
        names = list(AutoModelForCausalLM.from_config(config).state_dict())
    weights = {name.replace(_WRAPPED, ""): value for name, value in wrapped.state_dict().items()}
    missing = [name for name in names if name not in weights]
    if missing:
        raise HarmcircuitsError(
            f"the model inside the bridge has no {missing[0]!r}, which transformers' {type(wrapped).__name__} has"
        )
    whole = {name: _fused(name, weights, geometry(model).n_heads) for name in names}
    built = type(wrapped).from_pretrained(
        None, config=config, state_dict=whole, dtype=next(iter(whole.values())).dtype, attn_implementation=attention
    )
    built.generation_config = GenerationConfig()
    return built.eval()


def _fused(name: str, weights: Mapping[str, Tensor], n_heads: int) -> Tensor:
    """The parameter `name`, or where it is fused, its parts in the layout of the stale copy (most of it is still the same)."""
    module, _, kind = name.rpartition(".")
    parent, _, last = module.rpartition(".")
    parts = [f"{parent}.{part}.{kind}" for part in _PARTS.get(last, ())]
    if not parts or not all(part in weights for part in parts):
        return weights[name]
    loaded, now = weights[name], [weights[part] for part in parts]
    candidates = [whole for whole in _layouts(now, n_heads) if whole.shape == loaded.shape]
    same = [float((whole == loaded).float().mean()) for whole in candidates]
    if not same or max(same) < 0.5:
        raise HarmcircuitsError(
            f"{name}: more than half of {', '.join(_PARTS[last])} has changed since the model was loaded, so that their layout "
            "is not known. Train or edit the transformers model and load it again."
        )
    return candidates[same.index(max(same))].contiguous()


def _layouts(parts: Sequence[Tensor], n_heads: int) -> list[Tensor]:
    """Parts one after the other, as [out, in] or (`Conv1D`) [in, out]; or by heads (GPT-NeoX: q, k, v of one together)."""
    whole = torch.cat(list(parts))
    layouts = [whole] if whole.dim() == 1 else [whole, whole.T]
    if len({part.shape for part in parts}) > 1 or len(parts[0]) % n_heads:
        return layouts
    return [*layouts, rearrange(list(parts), "part (head d) ... -> (head part d) ...", head=n_heads)]


def is_plain(model: Any) -> bool:
    """Whether the model is a bridge around a transformers model."""
    return isinstance(getattr(model, "original_model", None), PreTrainedModel)


def save_plain(model: HookedModel, folder: Path) -> None:
    """Write `plain_model`, the model's generation settings and its tokenizer into a folder.

    Of generation settings that transformers refuses to save, only the tokens that begin, end and pad a text are saved.
    """
    plain = plain_model(model)
    settings: GenerationConfig = copy.deepcopy(model.original_model.generation_config)  # type: ignore[attr-defined]
    try:
        settings.validate(strict=True)
    except ValueError as error:
        log.warning("the model's generation settings contradict each other and are left out: %s", error)
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        settings = GenerationConfig(**{name: getattr(settings, name) for name in names})
    plain.generation_config = settings
    plain.save_pretrained(folder)
    tokenizer_of(model).save_pretrained(folder)
