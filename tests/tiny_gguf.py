"""A tiny Llama model and its tokenizer as a GGUF file, as llama.cpp would write it."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, model: Any, tokenizer: Any, *, quantised: bool = False, pre: str = "smollm") -> Path:
    """Writes a Llama model with tied embeddings; `quantised` rounds the matrices to 4 bits (Q4_1). Returns `path`."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, tokenizer, pre)
    for key, tensor in model.state_dict().items():
        if key != "lm_head.weight":
            _add_tensor(writer, _gguf_name(key), _permuted(key, tensor.numpy(), config), quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rounded(weights: np.ndarray) -> np.ndarray:
    """Weights as they are after rounding to Q4_1."""
    kind = gguf.GGMLQuantizationType.Q4_1
    return gguf.dequantize(gguf.quantize(weights, kind), kind)


def _add_tensor(writer: gguf.GGUFWriter, name: str, weights: np.ndarray, quantised: bool) -> None:
    if quantised and weights.ndim == 2:
        kind = gguf.GGMLQuantizationType.Q4_1
        writer.add_tensor(name, gguf.quantize(weights, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, weights)


def _gguf_name(key: str) -> str:
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if key in fixed:
        return fixed[key]
    layer, rest = key.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def _permuted(key: str, weights: np.ndarray, config: Any) -> np.ndarray:
    """llama.cpp rotates neighbouring pairs where transformers rotates halves, so it reorders the rows of Q and K."""
    if "q_proj" not in key and "k_proj" not in key:
        return np.ascontiguousarray(weights)
    heads = config.num_attention_heads if "q_proj" in key else config.num_key_value_heads
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, weights.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weights.shape))


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, pre: str) -> None:
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    kinds = [gguf.TokenType.CONTROL if index in special else gguf.TokenType.NORMAL for index in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.chat_template)
