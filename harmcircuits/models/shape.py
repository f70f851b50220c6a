"""How large a model is, from its configuration or the header of its GGUF file alone: no weight is read, none is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch.nn import Linear, ModuleList
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from . import hub
from .adapters import base_of, is_adapter
from .aliases import ALIASES
from .architectures import unlike, unlike_header
from .fetch import LoadError, packaged_gguf
from .gguf_header import Header, Listed, check_header
from .protocol import Geometry
from .source import accepted, check_hub_id

_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""The linear layers of a decoder block, as GGUF files call them."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the cost of a dense decoder-only transformer follows from.

    Attributes:
        n_kv_heads: heads of keys and values; fewer than `n_heads` where they are grouped.
        parameters: all of them, those that are shared once.
        matrices: weights of the linear layers of all blocks that read text, whose scores `attribute_weights` gives.
        largest: weights of the largest of them.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    vocabulary: int
    parameters: int
    matrices: int
    largest: int

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.n_layers, self.n_heads, self.d_head, self.d_mlp)


def model_shape(name: str | PathLike[str], *, revision: str | None = None) -> Shape:
    """The shape of what `load_model(name)` would load: an alias, a transformers folder, an adapter's (that of its
    base), a GGUF file or a hub id.

    Of an alias its package is fetched once; of a hub id the configuration alone.

    Raises:
        LoadError: there is no such model, its configuration cannot be read, or it is of a kind that cannot be studied here.
    """
    label, path = fspath(name), Path(name).expanduser()
    if is_adapter(path):
        return model_shape(base_of(path))
    if path.is_dir() and not (path / "config.json").is_file():
        raise LoadError(f"{path}: no transformers folder, since it has no config.json. {accepted()}")
    try:
        if label in ALIASES:
            return shape_of_header(check_header(packaged_gguf(ALIASES[label])), name=label)
        if path.is_file():
            return shape_of_header(check_header(path), name=path.name)
        if not path.is_dir():
            check_hub_id(label)
            hub.check_reachable(label, revision)
        place = fspath(path) if path.is_dir() else label
        return shape_of(AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False), name=label)
    except OSError as error:
        if error.errno is not None:  # the system's own
            raise
        cause = (
            f"its configuration cannot be read ({error})." if path.is_dir() else f"{hub.cause(error, label)} {accepted(label)}"
        )
        raise LoadError(f"{label!r}: {cause}") from error
    except (ValueError, ArithmeticError, StrictDataclassError) as error:
        raise LoadError(f"{label!r}: its configuration or header cannot be read ({error}).") from error


def shape_of(config: Any, *, name: str = "the model") -> Shape:
    """From a transformers configuration. The model is laid out without memory (on PyTorch's device "meta"), and counted.

    >>> from transformers import LlamaConfig
    >>> shape = shape_of(LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4))
    >>> shape.matrices == 2 * (4 * 64 * 64 + 3 * 64 * 128), shape.parameters == shape.matrices + 2 * 32000 * 64 + 5 * 64
    (True, True)

    Raises:
        LoadError: a kind of model that cannot be studied here, or one that transformers cannot lay out.
    """
    if why := unlike(config):
        raise LoadError(f"{name!r} {why}")
    text = config.get_text_config(decoder=True)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (ValueError, ArithmeticError, IndexError, RuntimeError) as error:  # sizes of 0, and below
        raise LoadError(f"{name!r}: transformers cannot lay out its model ({error}).") from error
    reader = model.get_decoder()  # of a model that sees images too, what reads the text: a vision tower has blocks of its own
    blocks = next(module for module in reader.modules() if isinstance(module, ModuleList))
    sizes = [module.weight.numel() for module in blocks.modules() if isinstance(module, Linear | Conv1D)]
    heads = text.num_attention_heads
    return Shape(
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        n_heads=heads,
        n_kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        d_head=getattr(text, "head_dim", None) or text.hidden_size // heads,
        d_mlp=getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        matrices=sum(sizes),
        largest=max(sizes),
    )


def shape_of_header(header: Header, *, name: str = "the model") -> Shape:
    """From the header of a GGUF file.

    Raises:
        LoadError: a kind of model that cannot be studied here, or a header without a number that is needed.
    """
    if why := unlike_header(header.fields):
        raise LoadError(f"{name!r} {why}")
    of = _Numbers(name, header.fields)
    heads, d_model = of("attention.head_count"), of("embedding_length")
    words = header.fields.get("tokenizer.ggml.tokens")
    sizes = [size for tensor, size in header.tensors.items() if _is_matrix(tensor)]
    return Shape(
        n_layers=of("block_count"),
        d_model=d_model,
        n_heads=heads,
        n_kv_heads=of("attention.head_count_kv", heads),
        d_head=of("attention.key_length", d_model // heads),
        d_mlp=of("feed_forward_length"),
        vocabulary=words.length if isinstance(words, Listed) else of("vocab_size"),
        parameters=sum(size for tensor, size in header.tensors.items() if not tensor.startswith("rope")),
        matrices=sum(sizes),
        largest=max(sizes, default=0),
    )


def _is_matrix(tensor: str) -> bool:
    return tensor.endswith(".weight") and tensor.split(".")[-2] in _MATRICES


@dataclass(frozen=True)
class _Numbers:
    """The fields of an architecture."""

    name: str
    fields: Mapping[str, Any]

    def __call__(self, key: str, default: int | None = None) -> int:
        found = self.fields.get(f"{self.fields.get('general.architecture')}.{key}", default)
        if not isinstance(found, int) or found < 1:
            raise LoadError(f"{self.name!r}: the header of this GGUF file has no {key!r} for the whole model.")
        return found
