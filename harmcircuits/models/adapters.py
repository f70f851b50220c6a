"""Adapter folders of peft: low-rank changes of a base's matrices, W + (alpha / rank) · B A, merged when they are loaded."""

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from .. import store
from .fetch import LoadError

CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


def is_adapter(path: Path) -> bool:
    return (path / CONFIG).is_file()


def base_of(folder: Path) -> str:
    """What an adapter is of: the folder that its configuration names, seen from the adapter's own; else the name as it stands.

    Raises:
        LoadError: the adapter could not be merged into any base: peft is not installed, it has no weights, or names no base.
    """
    _peft(folder)
    if not (folder / _WEIGHTS).is_file():
        raise LoadError(
            f"{folder} is an adapter without {_WEIGHTS}: copy it again. Weights in pickles are not loaded: save such an "
            "adapter again with peft, if you trust it (save_pretrained writes safetensors)."
        )
    try:
        name = store.read_json(folder / CONFIG)["base_model_name_or_path"]
    except (store.StoreError, KeyError, TypeError) as error:
        raise LoadError(f"{folder}: its {CONFIG} is not of peft, or damaged ({error}). Copy the folder again.") from error
    if not isinstance(name, str) or not name:
        raise LoadError(
            f"{folder}: the adapter does not say which model it is for: write an alias, a hub id or a folder into its {CONFIG} "
            "as base_model_name_or_path."
        )
    beside = folder / name
    return str(beside.resolve()) if _holds_model(beside) else name


def _holds_model(folder: Path) -> bool:
    try:
        return (folder / "config.json").is_file()
    except OSError:  # a name too long for a folder's
        return False


def merged(base: Any, folder: Path) -> Any:
    """A transformers model with the adapter in `folder` merged into its weights, which are float32.

    Raises:
        LoadError: peft is not installed, the base is of another type, or the adapter is damaged, of another model, or of a kind
            that is not merged.
    """
    if base.dtype != torch.float32:
        raise LoadError(
            f"{folder} is an adapter, and of what it changes most would be rounded away in "
            f"{str(base.dtype).removeprefix('torch.')}: load it with dtype=torch.float32 (--dtype float32), or merge it "
            "yourself and pass hf_model= and tokenizer=."
        )
    peft = _peft(folder)
    try:
        # a learnt prompt may name a file, a pickle even, that it would be started from
        prompt = peft.PeftConfig.from_pretrained(folder).is_prompt_learning
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about names that peft still uses of transformers
            adapted: Any = None if prompt else peft.PeftModel.from_pretrained(base, folder)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise LoadError(f"{folder}: the adapter is damaged, or is for another base than it names ({error}).") from error
    if not hasattr(adapted, "merge_and_unload"):
        raise LoadError(f"{folder}: adapters of this kind change no weights, and cannot be merged. LoRA works.")
    return adapted.merge_and_unload()


def _peft(folder: Path) -> Any:
    try:
        return import_module("peft")
    except ImportError as error:
        raise LoadError(
            f"{folder} is an adapter, which needs peft (and nothing else), and that cannot be imported ({error}): "
            "pip install 'harmcircuits[finetune]'"
        ) from error
