"""What a model's name means: an alias, an adapter's base, a file, a folder or a hub id; and whether its files may be read."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from .. import store
from . import hub
from .aliases import ALIASES
from .architectures import unlike_files
from .fetch import LoadError, packaged_gguf
from .gguf import dequantised_folder, is_gguf
from .pickles import unsafe_weights

EXAMPLE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where transformers finds a model (a folder or a hub id; None if it is loaded already) and the name it goes by."""

    place: str | None
    label: str
    on_hub: bool = False


def source_of(name: str, revision: str | None) -> Source:
    """What `name` means: an alias first, then a path that exists, then a hub id."""
    path = Path(name).expanduser()
    if name in ALIASES:
        spec = ALIASES[name]
        found = Source(place=str(dequantised_folder(name, spec.gguf_sha256, lambda: packaged_gguf(spec))), label=name)
    elif path.is_file():
        found = Source(place=str(_gguf_folder(path)), label=path.name)
    elif path.is_dir():
        if not (path / "config.json").is_file():
            raise LoadError(f"{path}: no transformers folder, since it has no config.json. {accepted()}")
        if why := unsafe_weights(path):
            raise LoadError(f"{path}: {why}")
        found = Source(place=str(path), label=path.name)
    else:
        check_hub_id(name)
        return Source(place=name, label=name, on_hub=True)
    if revision is not None:
        raise ValueError(f"revision={revision!r} is for hub ids, and {name!r} is an alias or a local path: leave it out.")
    return found


def check_hub_id(name: str) -> None:
    """Raises LoadError for what can be no hub id, and for a slip in an alias: not to wait until the hub refuses it."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith(".") or name.endswith(".gguf"):
        raise LoadError(f"{name!r}: there is no such file or folder. {accepted(name)}")
    if "/" not in name and _close(name):
        raise LoadError(f"{name!r} is unknown. {accepted(name)}")


def check_files(source: Source, revision: str | None) -> None:
    """Before weights are fetched or read: whether the hub can be reached, whether they are pickles, of which kind of model."""
    if source.on_hub:
        hub.check_reachable(source.label, revision)
        if why := unsafe_weights(source.label, revision=revision):
            raise LoadError(f"{source.label!r}: {why}")
    if source.place is not None and (why := unlike_files(source.place, revision=revision)):
        raise LoadError(f"{source.label!r} {why}")


def _gguf_folder(path: Path) -> Path:
    if not is_gguf(path):
        raise LoadError(f"{path}: not a GGUF file (it does not begin with the letters GGUF). {accepted()}")
    return dequantised_folder(path.stem, store.file_digest(path), lambda: path)


def accepted(name: str = "") -> str:
    """What `load_model` takes, and what `name` may have meant."""
    close = _close(name)
    return (
        (f"Did you mean {close[0]!r}? " if close else "")
        + f"load_model takes an alias ({', '.join(ALIASES)}), a hub id (such as {EXAMPLE}), "
        + "a transformers folder, an adapter folder of peft or a .gguf file."
    )


def _close(name: str) -> list[str]:
    """Aliases that begin with `name` or are nearly it."""
    return [alias for alias in ALIASES if name and alias.startswith(name)] or get_close_matches(name, ALIASES)
