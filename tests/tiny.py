"""Tiny random Llama models with a byte-level tokenizer: made in a moment, and any text is encoded exactly."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harmcircuits.models.load import load_model

SPECIAL = ("<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 512
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = """\
user assistant system
Here is how to write a short letter to a friend. First, think about what you want to say. Then write it down in plain
words. How do I bake bread at home? Sure, here are the steps: mix flour, water, salt and yeast, wait an hour, then
bake it in the oven. What is the best way to learn a new language? I can help with that. You should read, listen and
speak every day. Explain why the sky is blue and the grass is green. The light of the sun is made of many colours, and
the air scatters blue light more than red. Write a story about a dog who lost his way in the city and found a house
with a red door. Tell me the name of the capital of France. The capital of France is Paris. I am sorry, but I cannot
help with this request because it could do harm to other people. Make a list of three good books for children.
Request: plan a trip to the sea. Label: safe. Request: break into a house. Label: harmful. Is this harmful? Yes or No.
The answer is yes. The answer is no.
"""


@cache
def _trained_tokenizer() -> str:
    """The tokenizer as JSON: byte-level BPE trained on `TEXT`, so that every text is encoded and decoded exactly."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    return str(tokenizer.to_str())


def tiny_tokenizer(*, chat_template: bool = True, pad_token: bool = True) -> Any:
    """At most 512 tokens; ends of turns (`<|im_end|>`) and of texts (`<eos>`) differ, as in many chat models."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained_tokenizer()),
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        clean_up_tokenization_spaces=False,
        **({"pad_token": "<pad>"} if pad_token else {}),
    )
    if chat_template:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def tiny_model(
    *,
    seed: int = 0,
    n_layers: int = 2,
    n_heads: int = 4,
    n_kv: int = 2,
    d_model: int = 32,
    d_mlp: int = 64,
    **settings: Any,
) -> LlamaForCausalLM:
    """A random transformers Llama, float32, tied embeddings unless `settings` (of LlamaConfig) say otherwise.

    Its weights are ten times the usual size, so that its predictions are not uniform and effects not near zero.
    """
    size = len(tiny_tokenizer())
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=d_model,
        intermediate_size=d_mlp,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv,
        **{
            "max_position_embeddings": 512,
            "initializer_range": 0.2,
            "tie_word_embeddings": True,
            "pad_token_id": SPECIAL.index("<pad>"),
            "bos_token_id": SPECIAL.index("<bos>"),
            "eos_token_id": SPECIAL.index("<eos>"),
            **settings,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):  # ones would hide a norm that is forgotten or folded
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.generation_config.eos_token_id = [SPECIAL.index("<eos>"), SPECIAL.index("<|im_end|>")]
    return model


def tiny_model_folder(path: Path, *, chat_template: bool = True, pad_token: bool = True, **options: Any) -> Path:
    """A transformers folder with `tiny_model(**options)` and `tiny_tokenizer`; returns `path`."""
    tiny_model(**options).save_pretrained(path)
    tiny_tokenizer(chat_template=chat_template, pad_token=pad_token).save_pretrained(path)
    return path


def tiny_bridge(path: Path, *, hooked: bool = False, **options: Any) -> Any:
    """`tiny_model_folder(path, **options)`, loaded on the CPU."""
    return load_model(tiny_model_folder(path, **options), device="cpu", hooked=hooked)
