"""Unprocessed `HookedTransformer`s (TransformerLens 3 only) from the weights of a transformers model.

Unprocessed: no LayerNorm folded, no weights centred. Scores of the form W * gradient are not invariant under folding.
"""

from typing import Any

import torch

from .fetch import LoadError


def hooked_transformer(hf_model: Any, tokenizer: Any, *, name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A `HookedTransformer` with the very weights of `hf_model`, unprocessed.

    Llama models without biases (SmolLM2 too, which TransformerLens does not know by name) are converted from their
    config; other architectures by TransformerLens, which must know `name`.

    Raises:
        LoadError: TransformerLens 4 is installed, or TransformerLens 3 cannot convert this model.
    """
    transformer_class = hooked_transformer_class()
    convert = _from_llama if hf_model.config.model_type == "llama" else _converted
    model = convert(transformer_class, hf_model, name=name, tokenizer=tokenizer, device=device, dtype=dtype)
    model.generation_config = hf_model.generation_config  # its end-of-turn tokens (models.protocol.end_ids)
    return model


def _converted(cls: Any, hf_model: Any, *, name: str, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """By TransformerLens, which must know `name`."""
    try:
        return cls.from_pretrained_no_processing(name, hf_model=hf_model, tokenizer=tokenizer, device=str(device), dtype=dtype)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise LoadError(
            f"{name!r} ({hf_model.config.model_type}) cannot be converted to a HookedTransformer: TransformerLens does "
            "not know this name. Pass the model's official hub id as name, with hf_model= and tokenizer= for your own "
            "weights; or leave out hooked=True: the TransformerBridge works with more models."
        ) from error


def hooked_transformer_class() -> Any:
    """TransformerLens 3's class `HookedTransformer`; on TransformerLens 4 a LoadError that says what to do."""
    try:
        from transformer_lens import HookedTransformer
    except ImportError as error:
        raise LoadError(
            "hooked=True needs HookedTransformer, which TransformerLens 4 removed. Install 'transformer-lens>=3.9,<4' "
            "in an environment of its own, or leave out hooked=True to get a TransformerBridge."
        ) from error
    return HookedTransformer


def _from_llama(cls: Any, hf_model: Any, *, name: str, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> Any:
    from transformer_lens import HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_llama_weights

    _refuse_unknown(hf_model.config, name)
    settings = _llama_settings(hf_model.config)
    cfg = HookedTransformerConfig(**settings, model_name=name, device=str(device), dtype=dtype, init_weights=False)
    model = cls(cfg, tokenizer)
    missing, unexpected = model.load_state_dict(convert_llama_weights(hf_model, cfg), strict=False)
    parameters = dict(model.named_parameters())
    absent = [key for key in missing if key in parameters]  # what else is missing are buffers: masks and rotations
    if absent or unexpected:
        raise LoadError(
            f"{name!r}: its weights do not fit TransformerLens's conversion of Llama models (missing: {absent}, left "
            f"over: {list(unexpected)}). Leave out hooked=True to get a TransformerBridge."
        )
    return model


def _llama_settings(config: Any) -> dict[str, Any]:
    """The HookedTransformerConfig fields of a transformers Llama config."""
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // heads
    return {
        "d_model": config.hidden_size,
        "d_head": d_head,
        "n_heads": heads,
        "n_key_value_heads": None if kv_heads == heads else kv_heads,
        "d_mlp": config.intermediate_size,
        "n_layers": config.num_hidden_layers,
        "n_ctx": config.max_position_embeddings,
        "d_vocab": config.vocab_size,
        "eps": config.rms_norm_eps,
        "act_fn": config.hidden_act,
        "normalization_type": "RMS",
        "final_rms": True,
        "gated_mlp": True,
        "positional_embedding_type": "rotary",
        "rotary_adjacent_pairs": False,
        "rotary_dim": d_head,
        "original_architecture": "LlamaForCausalLM",
        **_rotary_settings(config.rope_parameters),
    }


def _rotary_settings(rope: dict[str, Any]) -> dict[str, Any]:
    settings = {"rotary_base": rope["rope_theta"]}
    if rope.get("rope_type", "default") == "default":
        return settings
    return settings | {
        "use_NTK_by_parts_rope": True,
        "NTK_original_ctx_len": rope["original_max_position_embeddings"],
        "NTK_by_parts_low_freq_factor": rope["low_freq_factor"],
        "NTK_by_parts_high_freq_factor": rope["high_freq_factor"],
        "NTK_by_parts_factor": rope["factor"],
    }


def _refuse_unknown(config: Any, name: str) -> None:
    """Raises where TransformerLens's conversion would silently give another model."""
    rope_type = config.rope_parameters.get("rope_type", "default")
    if config.attention_bias or config.mlp_bias:
        problem = "has biases in its attention or MLP"
    elif rope_type not in ("default", "llama3"):
        problem = f"has rotary embeddings of type {rope_type!r}"
    else:
        return
    raise LoadError(
        f"{name!r} {problem}, which the conversion to a HookedTransformer would lose. Leave out hooked=True to get a "
        "TransformerBridge."
    )
