"""What planted models have in common: what is known of each, and a small Llama that speaks the language."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM

from ..components import Circuit
from .language import SPECIAL, vocabulary


@dataclass(frozen=True)
class Parts:
    """The truth: components that write harm, that recognise it, that serve both and kind text, and that hold harm back; and,
    where each kind of harm has its own, those that write it."""

    writing: Circuit
    recognising: Circuit
    shared: Circuit
    suppressing: Circuit
    writing_of: Mapping[str, Circuit] = field(default_factory=dict)


def llama(*, n_layers: int, n_heads: int, d_model: int, d_mlp: int, **more: Any) -> LlamaForCausalLM:
    """With random weights, of PyTorch's own random numbers; `more`: of `LlamaConfig`."""
    config = LlamaConfig(
        vocab_size=len(vocabulary()),
        hidden_size=d_model,
        intermediate_size=d_mlp,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        pad_token_id=SPECIAL.index("<pad>"),
        bos_token_id=None,
        eos_token_id=SPECIAL.index("<eos>"),
        **more,
    )
    return LlamaForCausalLM(config)
