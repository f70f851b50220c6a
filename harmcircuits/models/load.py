"""`load_model`: from a short name, a hub id, a folder or a GGUF file to a model with hook points."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer

from harmcircuits import store

from . import hub
from .adapters import base_of, is_adapter, merged
from .aliases import ALIASES, DEFAULT
from .architectures import unlike, unlike_files
from .complete import missing_weights, told
from .devices import default_device, usable
from .fetch import LoadError, packaged_gguf
from .gguf import dequantised_folder, is_gguf
from .hooked import hooked_transformer, hooked_transformer_class
from .pickles import pickled

_EXAMPLE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where transformers finds a model (a folder or a hub id; None if it is loaded already) and the name it goes by."""

    place: str | None
    label: str
    on_hub: bool = False


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
        source = _source(os.fspath(name), revision)
        where = device or default_device()
    elif tokenizer is None or revision is not None:
        raise ValueError("hf_model= needs tokenizer=, the one the model was trained with, and takes no revision=.")
    else:
        source = _Source(place=None, label=os.fspath(name))
        where, dtype = device or hf_model.device, hf_model.dtype
    with _copied(tokenizer) as own, _explained(source), _whole(source):
        _check_files(source, revision)
        if hf_model is not None and (why := unlike(hf_model.config, loaded=True)):
            raise LoadError(f"{source.label!r} {why}")
        options = _Options(device=torch.device(where), dtype=dtype, revision=revision, hf_model=hf_model, tokenizer=own)
        return _ready(_hooked(source, options) if hooked else _bridge(source, options), source)


def _adapted(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The transformers model of an adapter folder, merged into its base, and the tokenizer beside it, or else the base's."""
    name = base_of(folder)
    try:
        source = _source(name, None)
        with _explained(source), _whole(source):
            _check_files(source, None)
            base = AutoModelForCausalLM.from_pretrained(source.place, dtype=dtype, trust_remote_code=False)
            words = folder if (folder / "tokenizer_config.json").is_file() else source.place
            tokenizer = AutoTokenizer.from_pretrained(words, trust_remote_code=False)
    except LoadError as error:
        raise LoadError(f"{folder} is an adapter of {name!r}, and that cannot be loaded: {error}") from error
    return merged(base, folder), tokenizer


def _bridge(source: _Source, options: _Options) -> Any:
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


def _hooked(source: _Source, options: _Options) -> Any:
    hf_model, tokenizer = options.hf_model, options.tokenizer
    hub = {"revision": options.revision, "trust_remote_code": False}
    if hf_model is None:
        hf_model = AutoModelForCausalLM.from_pretrained(source.place, dtype=options.dtype, **hub)
    if tokenizer is None:
        tokenizer = AutoTokenizer.from_pretrained(source.place, **hub)
    return hooked_transformer(hf_model, tokenizer, name=source.label, device=options.device, dtype=options.dtype)


def _ready(model: Any, source: _Source) -> Any:
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


def _source(name: str, revision: str | None) -> _Source:
    """What `name` means: an alias first, then a path that exists, then a hub id."""
    path = Path(name).expanduser()
    if name in ALIASES:
        spec = ALIASES[name]
        found = _Source(place=str(dequantised_folder(name, spec.gguf_sha256, lambda: packaged_gguf(spec))), label=name)
    elif path.is_file():
        found = _Source(place=str(_gguf_folder(path)), label=path.name)
    elif path.is_dir():
        if not (path / "config.json").is_file():
            raise LoadError(f"{path}: no transformers folder, since it has no config.json. {_accepted()}")
        if why := pickled(path):
            raise LoadError(f"{path}: {why}")
        found = _Source(place=str(path), label=path.name)
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith(".") or path.suffix == ".gguf":
        raise LoadError(f"{name!r}: there is no such file or folder. {_accepted(name)}")
    elif "/" not in name and _close(name):  # a slip: don't wait for the hub to refuse it
        raise LoadError(f"{name!r} is unknown. {_accepted(name)}")
    else:
        return _Source(place=name, label=name, on_hub=True)
    if revision is not None:
        raise ValueError(f"revision={revision!r} is for hub ids, and {name!r} is an alias or a local path: leave it out.")
    return found


def _check_files(source: _Source, revision: str | None) -> None:
    """Before weights are fetched or read: whether the hub can be reached, whether they are pickles, of which kind of model."""
    if source.on_hub:
        hub.check_reachable(source.label, revision)
        if why := pickled(source.label, revision=revision):
            raise LoadError(f"{source.label!r}: {why}")
    if source.place is not None and (why := unlike_files(source.place, revision=revision)):
        raise LoadError(f"{source.label!r} {why}")


def _gguf_folder(path: Path) -> Path:
    if not is_gguf(path):
        raise LoadError(f"{path}: not a GGUF file (it does not begin with the letters GGUF). {_accepted()}")
    return dequantised_folder(path.stem, store.file_digest(path), lambda: path)


@contextmanager
def _whole(source: _Source) -> Iterator[None]:
    """Raises LoadError where the files of a model that was loaded meanwhile lacked some of its weights."""
    with missing_weights() as missing:
        yield
    if missing:
        where = f"of the hub's {source.place}" if source.on_hub else f"in {source.place}"
        raise LoadError(f"{source.label!r}: {told(missing)}. Are the files {where} complete, and of a causal language model?")


@contextmanager
def _explained(source: _Source) -> Iterator[None]:
    """Turns what transformers and TransformerLens raise for a missing, damaged or unknown model into a LoadError."""
    try:
        yield
    except OSError as error:
        if error.errno is not None or source.place is None:  # the system's own: a full disk, say
            raise
        cause = hub.cause(error, source.place) if source.on_hub else f"not a complete transformers folder ({error})."
        raise LoadError(f"{source.label!r}: {cause} {_accepted(source.label)}") from error
    except (SafetensorError, json.JSONDecodeError, RecursionError, StrictDataclassError) as error:
        if source.place is None:
            raise
        raise LoadError(f"{source.label!r}: {_damage(error, source)}") from error
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):  # of memory, say
            raise
        cause = "its weights have other shapes than its config.json says, or are of another model. Copy or download it again."
        raise LoadError(f"{source.label!r}: {cause}") from error
    except ValueError as error:
        if "trust_remote_code" in str(error):
            cause = "its code lies on the hub, and code from a hub is never run. If you trust it, load it yourself"
        elif "supported architecture" in str(error):
            line = version("transformer-lens")
            cause = f"TransformerLens {line} lacks its architecture. If another class fits, load it"
        else:
            raise
        raise LoadError(f"{source.label!r}: {cause} and pass hf_model= and tokenizer=.") from error


def _damage(error: Exception, source: _Source) -> str:
    """What is wrong with the files that a model was read from, where they are, and the cure."""
    what = "a file of its weights" if isinstance(error, SafetensorError) else "a file of its configuration or tokenizer"
    if source.on_hub:
        where, cure = "in the hub's local cache", f"Download it again with `hf download {source.place} --force-download`."
    else:
        where, cure = f"in {source.place}", "Copy or download the folder again."
    return f"{what} {where} is damaged or cut short ({error}). {cure}"


def _accepted(name: str = "") -> str:
    """What `load_model` takes, and what `name` may have meant."""
    close = _close(name)
    return (
        (f"Did you mean {close[0]!r}? " if close else "")
        + f"load_model takes an alias ({', '.join(ALIASES)}), a hub id (such as {_EXAMPLE}), "
        + "a transformers folder, an adapter folder of peft or a .gguf file."
    )


def _close(name: str) -> list[str]:
    """Aliases that begin with `name` or are nearly it."""
    return [alias for alias in ALIASES if name and alias.startswith(name)] or get_close_matches(name, ALIASES)
