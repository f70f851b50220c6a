"""Weights that are pickles are refused before anything of them is opened: a pickle can run code while it is read. And so are
those that a model names outside its own folder.

transformers takes them where a model has no safetensors. It reads them in PyTorch's restricted mode, which runs none; here that
is a second wall, for what cannot be seen from the names of files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path, PureWindowsPath
from typing import Any

from .. import store
from . import hub

_SAFE, _INDEX = ".safetensors", ".safetensors.index.json"
_WEIGHTS = (f"model{_SAFE}", f"model{_INDEX}")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
"""What transformers looks for where there are none of `_WEIGHTS`."""
_BESIDE = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
"""Of an adapter in a model's own folder: it is loaded with the model, its weights from the first of the two that is there."""


def unsafe_weights(place: str | PathLike[str], *, revision: str | None = None) -> str:
    """Why the weights of a transformers folder or of a hub's repository are not loaded, with the cure; "" where they are no
    pickles and lie where they belong, or there are none.

    Args:
        place: a folder, or else a hub id.
        revision: branch, tag or commit; for hub ids alone.
    """
    files = _Files(fspath(place), revision)
    if found := next(_pickles(files), ""):
        return (
            f"its weights are pickles ({store.one_line(found)}), which are not loaded, since a pickle can run code. If you "
            "trust them, load model and tokenizer with transformers, save both into a folder (save_pretrained writes "
            "safetensors), and give that folder."
        )
    weights = _weights(files)
    if found := next(filter(_outside, (weights, *_shards(files, weights))), ""):
        return (
            f"it names weights outside its own folder ({store.one_line(found)}), which are not loaded: put all of them "
            "into the folder, and name them there."
        )
    return ""


@dataclass(frozen=True)
class _Files:
    """What lies in a folder, or in a hub's repository."""

    place: str
    revision: str | None

    def has(self, name: str) -> bool:
        if Path(self.place).is_dir():
            return (Path(self.place) / name).is_file()
        return hub.holds(self.place, name, self.revision)

    def json(self, name: str) -> dict[str, Any]:
        """{} for a file that is missing or damaged: what is wrong with it is left to the loading itself, which knows more."""
        try:
            if not self.has(name):
                return {}
            local = Path(self.place).is_dir()
            value = store.read_json(Path(self.place) / name if local else hub.fetched(self.place, name, self.revision))
        except (store.StoreError, OSError, RecursionError, ValueError):  # ValueError: a name that can be no file's
            return {}
        return value if isinstance(value, dict) else {}


def _pickles(files: _Files) -> Iterator[str]:
    """Names of the files that transformers would open as pickles."""
    weights = _weights(files)
    if weights.endswith(_INDEX):
        yield from (name for name in _shards(files, weights) if not name.endswith(_SAFE))
    elif not weights:
        yield from filter(files.has, _PICKLES)
    elif not weights.endswith(_SAFE):
        yield weights
    settings, safe, unsafe = _BESIDE
    if files.has(settings) and not files.has(safe) and files.has(unsafe):
        yield unsafe


def _weights(files: _Files) -> str:
    """The file of weights, or their index; "" where there is none of these."""
    named = files.json("config.json").get("transformers_weights")
    return named if isinstance(named, str) else next(filter(files.has, _WEIGHTS), "")


def _shards(files: _Files, weights: str) -> list[str]:
    """Names of the files that an index tells of; none where the weights are one file."""
    found = files.json(weights).get("weight_map") if weights.endswith(_INDEX) else None
    return [str(name) for name in found.values()] if isinstance(found, dict) else []


def _outside(name: str) -> bool:
    """
    >>> _outside("../x.safetensors"), _outside("/x.safetensors"), _outside("parts/x.safetensors")
    (True, True, False)
    """
    return Path(name).is_absolute() or PureWindowsPath(name).is_absolute() or ".." in PureWindowsPath(name).parts
