"""What planted models have in common: what is known of each, and a small Llama that speaks the language."""

from dataclasses import dataclass
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM

from ..components import Circuit
from .language import SPECIAL, vocabulary


@dataclass(frozen=True)
class Parts:
    """The truth: components that write harm, that recognise it, that serve both and kind text, and that hold harm back."""

    writing: Circuit
    recognising: Circuit
    shared: Circuit
    suppressing: Circuit


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
