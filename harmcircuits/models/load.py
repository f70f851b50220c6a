"""`load_model`: from a short name, a hub id, a folder or a GGUF file to a model with hook points."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from .. import store
from .adapters import base_of, is_adapter, merged
from .architectures import unlike
from .devices import default_device, usable
from .fetch import ALIASES, DEFAULT, LoadError, packaged_gguf
from .gguf import dequantised_folder, is_gguf
from .hooked import hooked_transformer, hooked_transformer_class
from .pretrained import explained, pretrained


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
    name = os.fspath(name)
    place = name
    if hf_model is not None:
        if tokenizer is None or revision is not None:
            raise ValueError("hf_model= needs tokenizer=, the one the model was trained with, and takes no revision=.")
        if why := unlike(hf_model.config, loaded=True):
            raise LoadError(f"{name!r} {why}")
        device = device or hf_model.device
    elif is_adapter(adapter := Path(name).expanduser()):
        if revision is not None:
            raise ValueError(f"revision={revision!r} is for hub ids, and {adapter} is an adapter folder: leave it out.")
        hf_model, own = _adapted(adapter, dtype)
        name, tokenizer = adapter.name, tokenizer or own
    else:
        name, place = _found(name, revision)
        hf_model = _transformers(name, place, dtype=dtype, revision=revision)
    where = torch.device(device or default_device())
    with _copied(tokenizer) as own, explained(name):
        if hooked:
            own = own or AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
            model = hooked_transformer(hf_model, own, name=name, device=where, dtype=hf_model.dtype)
        else:
            model = _bridge(hf_model, own, name=name, place=place, revision=revision, device=where)
        return _ready(model, name)


def _found(name: str, revision: str | None) -> tuple[str, str]:
    """The name that a model goes by, and where it is: a folder, that of an alias or of a GGUF file too, or a hub id."""
    path = Path(name).expanduser()
    if name in ALIASES:
        spec = ALIASES[name]
        found = name, str(dequantised_folder(name, spec.gguf_sha256, lambda: packaged_gguf(spec)))
    elif path.is_file():
        if not is_gguf(path):
            raise LoadError(f"{path}: not a GGUF file (it does not begin with the letters GGUF). {_accepted()}")
        found = path.name, str(dequantised_folder(path.stem, store.file_digest(path), lambda: path))
    elif path.is_dir():
        found = path.name, str(path)
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith(".") or name.endswith(".gguf"):
        raise LoadError(f"{name!r}: there is no such file or folder. {_accepted()}")
    elif "/" not in name and (close := get_close_matches(name, ALIASES, cutoff=0.42)):  # not to wait until the hub refuses it
        raise LoadError(f"{name!r} is unknown. Did you mean {close[0]!r}? {_accepted()}")
    else:
        return name, name
    if revision is not None:
        raise ValueError(f"revision={revision!r} is for hub ids, and {name!r} is an alias or a local path: leave it out.")
    return found


def _accepted() -> str:
    return (
        f"load_model takes an alias ({', '.join(ALIASES)}), a hub id (such as HuggingFaceTB/SmolLM2-135M-Instruct), a "
        "transformers folder, an adapter folder of peft or a .gguf file."
    )


def _transformers(name: str, place: str, *, dtype: torch.dtype, revision: str | None = None) -> Any:
    """The transformers model of a folder or a hub id, once its configuration says that it is of a kind that can be studied."""
    with explained(place):
        config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
    if why := unlike(config):
        raise LoadError(f"{name!r} {why}")
    return pretrained(AutoModelForCausalLM, place, dtype=dtype, revision=revision)


def _adapted(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The transformers model of an adapter folder, merged into its base, and the tokenizer beside it, or else the base's."""
    base = base_of(folder)
    try:
        name, place = _found(base, None)
        model = _transformers(name, place, dtype=dtype)
        words = folder if (folder / "tokenizer_config.json").is_file() else place
        with explained(words):
            tokenizer = AutoTokenizer.from_pretrained(words, trust_remote_code=False)
    except LoadError as error:
        raise LoadError(f"{folder} is an adapter of {base!r}, and that cannot be loaded: {error}") from error
    return merged(model, folder), tokenizer


def _bridge(hf_model: Any, tokenizer: Any, *, name: str, place: str, revision: str | None, device: torch.device) -> Any:
    """Around a transformers model; without a tokenizer, TransformerLens reads the one in `place`."""
    if getattr(hf_model, "hf_device_map", None) is None:
        hf_model.to(device)
    hf_model.config.architectures = hf_model.config.architectures or [type(hf_model).__name__]  # by this it is recognised
    hf_model.set_attn_implementation("eager")  # others don't show the pattern
    model = TransformerBridge.boot_transformers(
        place, hf_model=hf_model, tokenizer=tokenizer, revision=revision, device=device, dtype=hf_model.dtype
    )
    model.cfg.model_name = name
    return model


def _ready(model: Any, name: str) -> Any:
    model.eval()
    model.requires_grad_(False)
    if model.tokenizer.pad_token_id is None:
        if model.tokenizer.eos_token_id is None:
            raise LoadError(
                f"{name!r}: its tokenizer has neither a padding nor an end token. Give it one "
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
