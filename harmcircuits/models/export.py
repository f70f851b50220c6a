"""The plain transformers model inside a `TransformerBridge`, put together again: for saving, and for generation.

A bridge wraps every module and computes with separate query, key and value matrices where transformers has one. The plain model
shares its parameters with the bridge, but for fused ones, which are copies of what the bridge computes with now.
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

from .protocol import HookedModel, ModelError, geometry, tokenizer_of

log = logging.getLogger(__name__)
_WRAPPED = "._original_component"
# fused modules of transformers by the last part of their names, and what stands beside them in a bridge
_PARTS = {
    "c_attn": ("q", "k", "v"),
    "query_key_value": ("q", "k", "v"),
    "qkv_proj": ("q", "k", "v"),
    "gate_up_proj": ("gate", "in"),
}


@torch.no_grad()
def plain_model(model: HookedModel, *, attention: str = "eager") -> PreTrainedModel:
    """Return a transformers model with the weights of `model` as they are now, without hooks, in evaluation mode.

    Its generation settings are transformers' defaults, so that what it writes depends on the weights alone.

    Args:
        attention: the implementation: "eager", which is the bridge's own, or "sdpa".

    Raises:
        ModelError: the model is no bridge around a transformers model, or has fused matrices that are not known here.
    """
    if not is_plain(model):
        raise ModelError("only a TransformerBridge holds a transformers model: load the weights with hc.load_model")
    wrapped: Any = model.original_model  # type: ignore[attr-defined]
    config = copy.deepcopy(wrapped.config)
    config.output_attentions = False  # a bridge sets it; sdpa has none to give
    with torch.device("meta"):
        names = list(AutoModelForCausalLM.from_config(config).state_dict())
    weights = {name.replace(_WRAPPED, ""): value for name, value in wrapped.state_dict().items()}
    missing = [name for name in names if name not in weights]
    if missing:
        raise ModelError(f"the model inside the bridge has no {missing[0]!r}, which transformers' {type(wrapped).__name__} has")
    whole = {name: _fused(name, weights, geometry(model).n_heads) for name in names}
    built = type(wrapped).from_pretrained(
        None, config=config, state_dict=whole, dtype=next(iter(whole.values())).dtype, attn_implementation=attention
    )
    built.generation_config = GenerationConfig()
    return built.eval()


def _fused(name: str, weights: Mapping[str, Tensor], n_heads: int) -> Tensor:
    """The parameter `name`: as it is, or fused from what the bridge computes with instead.

    Its layout is recognised by the copy that was there when the model was loaded: most of it is still the same.
    """
    module, _, kind = name.rpartition(".")
    parent, _, last = module.rpartition(".")
    parts = [f"{parent}.{part}.{kind}" for part in _PARTS.get(last, ())]
    if not parts or not all(part in weights for part in parts):
        return weights[name]
    loaded, now = weights[name], [weights[part] for part in parts]
    candidates = [whole for whole in _layouts(now, n_heads) if whole.shape == loaded.shape]
    same = [float((whole == loaded).float().mean()) for whole in candidates]
    if not same or max(same) < 0.5:
        raise ModelError(
            f"{name}: more than half of {', '.join(_PARTS[last])} has changed since the model was loaded, so that their layout "
            "is not known. Train or edit the transformers model and load it again."
        )
    return candidates[same.index(max(same))].contiguous()


def _layouts(parts: Sequence[Tensor], n_heads: int) -> list[Tensor]:
    """Outputs one after the other, stored as [out, in] or, by a `Conv1D`, as [in, out]; or by heads (GPT-NeoX: the q, k and v
    of a head side by side)."""
    whole = torch.cat(list(parts))
    layouts = [whole] if whole.dim() == 1 else [whole, whole.T]
    if len({part.shape for part in parts}) > 1 or len(parts[0]) % n_heads:
        return layouts
    return [*layouts, rearrange(list(parts), "part (head d) ... -> (head part d) ...", head=n_heads)]


def is_plain(model: Any) -> bool:
    """Whether `plain_model` may work: the model is a bridge around a transformers model."""
    return isinstance(getattr(model, "original_model", None), PreTrainedModel)


def save_plain(model: HookedModel, folder: Path) -> None:
    """Write `plain_model`, with the settings that `model` generates by and its tokenizer, into a folder.

    Of generation settings that transformers would refuse to save, the tokens that end and pad a text alone are saved.
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
