"""Tiny random models of each architecture that is supported, with the canonical names of their matrices."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plain
import torch
from tiny import tiny_tokenizer
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from harmcircuits.models.load import load_model

SIZES = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 512}
GROUPED = {**SIZES, "num_key_value_heads": 2}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GPT2 = {"n_layer": 2, "n_head": 4, "n_embd": 32, "n_inner": 64, "n_positions": 256, "vocab_size": 512}

MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**GROUPED, **IDS)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**GPT2, **IDS)),
    "pythia": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, **IDS)),
    "pythia, one after the other": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, use_parallel_residual=False, **IDS)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**GROUPED, **IDS)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**GROUPED, head_dim=16, **IDS)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=16, **IDS)),
    "olmo": lambda: OlmoForCausalLM(OlmoConfig(**GROUPED, **IDS)),
    "olmo2": lambda: Olmo2ForCausalLM(Olmo2Config(**GROUPED, **IDS)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**GROUPED, **IDS)),
}
PYTHIA = ("pythia", "pythia, one after the other")
UNGATED = ("gpt2", *PYTHIA)
"""Without a gate in their MLPs."""


def random_model(name: str) -> Any:
    """A transformers model with weights of such size that its predictions are not uniform."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf_model = MODELS[name]().eval()
        for key, parameter in hf_model.named_parameters():
            if parameter.dim() > 1 or key.endswith("bias"):
                torch.nn.init.normal_(parameter, 0, 0.2)
    return hf_model


def bridge_around(name: str | Path, hf_model: Any) -> Any:
    """A copy of a transformers model, loaded."""
    return load_model(name, hf_model=copy.deepcopy(hf_model), tokenizer=tiny_tokenizer(), device="cpu")


def canonical(name: str, layer: int, of: Callable[[str], torch.Tensor]) -> dict[str, torch.Tensor]:
    """The canonical matrices of one layer, from `of(key)`, tensors under transformers' own names of modules in that layer."""
    if name == "gpt2":
        q, k, v = of("attn.c_attn").T.split(32)
        parts = {"attn.o": of("attn.c_proj").T, "mlp.in": of("mlp.c_fc").T, "mlp.out": of("mlp.c_proj").T}
    elif name in PYTHIA:
        q, k, v = (part.reshape(32, 32) for part in of("attention.query_key_value").view(4, 3, 8, 32).unbind(1))
        parts = {"attn.o": of("attention.dense"), "mlp.in": of("mlp.dense_h_to_4h"), "mlp.out": of("mlp.dense_4h_to_h")}
    elif name == "phi3":
        q, k, v = of("self_attn.qkv_proj").split([32, 16, 16])
        gate, up = of("mlp.gate_up_proj").split(64)
        parts = {"attn.o": of("self_attn.o_proj"), "mlp.gate": gate, "mlp.in": up, "mlp.out": of("mlp.down_proj")}
    else:
        return {f"blocks.{layer}.{kind}": of(key) for kind, key in plain.LLAMA.items()}
    return {f"blocks.{layer}.{kind}": part for kind, part in {"attn.q": q, "attn.k": k, "attn.v": v, **parts}.items()}


def weights_of(block: Any) -> dict[str, torch.nn.Parameter]:
    """By the names of modules."""
    return {name: module.weight for name, module in block.named_modules() if hasattr(module, "weight")}


def blocks_of(hf_model: Any) -> torch.nn.ModuleList:
    """The layers of a transformers model."""
    return next(module for module in hf_model.modules() if isinstance(module, torch.nn.ModuleList))
