"""Which kinds of models cannot be studied here, told from their configuration before any weight is read.

What is studied are the heads and neurons of dense, causal, decoder-only transformers with softmax attention in every layer.
"""

from collections.abc import Mapping
from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

WORK = "Dense decoder-only transformers work (Llama, GPT-2, Pythia, Qwen2, Qwen3, Gemma, OLMo)."
_HEADS_ALONE = " Its attention heads alone can be read: load it with transformers, and pass hf_model= and tokenizer=."

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_SWITCHES = ("is_moe", "enable_moe_block")
"""Of experts that a configuration counts, and need not have."""
_STATES = ("state_size", "mamba_d_state", "lru_width")
_RECURRENT = ("rwkv", "xlstm")
"""Of these the configuration has no field that says it."""
_NO_SOFTMAX = ("linear_attention", "conv", "mamba", "recurrent", "hybrid")
"""How the names of layers begin that are something else than attention over the tokens before."""


def unlike(config: Any, *, loaded: bool = False) -> str:
    """What a model is, where that cannot be studied, why, and what would work; "" where it can.

    >>> from transformers import LlamaConfig, T5Config
    >>> unlike(LlamaConfig()), unlike(T5Config()).partition(":")[0]
    ('', 'is an encoder-decoder (t5)')

    Args:
        config: of transformers.
        loaded: whether the model was loaded by whoever asks: a mixture of experts then passes, since its heads can be read.
    """
    text = config.get_text_config(decoder=True)
    named = getattr(config, "architectures", None)
    name = str(named[0]) if isinstance(named, list) and named else str(config.model_type)  # a file may say anything
    if config.is_encoder_decoder or text.is_encoder_decoder:
        return _encoder_decoder(name)
    if any(getattr(text, field, None) for field in _STATES) or text.model_type in _RECURRENT or _others(text):
        return _state_space(name)
    experts = _experts(text)
    if experts > 1 and not loaded:
        return _mixture(name, experts)
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        return _encoder(name)
    return ""


def unlike_header(fields: Mapping[str, Any]) -> str:
    """The same of a GGUF file, from the fields of its header that are one value each."""
    name = str(fields.get("general.architecture", ""))
    experts = fields.get(f"{name}.expert_count", 0)
    if name.startswith("t5"):
        return _encoder_decoder(name)
    if any(key.startswith((f"{name}.ssm.", f"{name}.wkv.")) for key in fields):
        return _state_space(name)
    if isinstance(experts, int) and experts > 1:
        return _mixture(name, experts)
    if fields.get(f"{name}.attention.causal") == 0 or "bert" in name:
        return _encoder(name)
    return ""


def _experts(config: Any) -> int:
    if any(getattr(config, switch, None) is False for switch in _SWITCHES):
        return 0
    counts = (getattr(config, field, None) for field in _EXPERTS)
    return max((count for count in counts if isinstance(count, int)), default=0)


def _others(config: Any) -> bool:
    """Whether some layers are no softmax attention."""
    kinds = [kind for field in ("layer_types", "layers_block_type") for kind in getattr(config, field, None) or ()]
    return any(str(kind).startswith(_NO_SOFTMAX) for kind in kinds)


def _encoder_decoder(name: str) -> str:
    return f"is an encoder-decoder ({name}): request and response pass two stacks, of which only one could be read. {WORK}"


def _state_space(name: str) -> str:
    return f"has state-space or recurrent layers ({name}), which have no attention heads to be scored or switched off. {WORK}"


def _mixture(name: str, experts: int) -> str:
    why = "a token passes few of them, so that a layer has no one MLP whose neurons and weights could be scored"
    return f"is a mixture of experts ({name}, {experts} a layer): {why}. {WORK}{_HEADS_ALONE}"


def _encoder(name: str) -> str:
    return f"is an encoder ({name}): it reads texts from both sides, and writes no response. {WORK}"
