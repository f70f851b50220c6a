"""Tensors in one safetensors file, which says what it holds."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import StoreError, one_line
from .files import atomic_file
from .plain import plain


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, format: str, about: object) -> None:
    """One safetensors file, written atomically; its header holds `format`, `about` as JSON (plain values, dataclasses), and a
    digest of all that it holds.

    Raises:
        StoreError: the file cannot be written.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    text = json.dumps(plain(about, "about"))
    with atomic_file(path) as temporary:
        save_file(whole, temporary, metadata={"format": format, "about": text, "digest": _digest(whole, text)})


def read_about(path: str | Path) -> Any:
    """The `about` of a file that `save_tensors` wrote, without its tensors; None where there is none.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("about", "null"))
    except FileNotFoundError as cause:
        raise StoreError(f"{path}: there is no such file. Check the path.") from cause
    except (OSError, SafetensorError, ValueError, RecursionError) as cause:  # also a number of thousands of digits
        raise StoreError(f"cannot read {path}: {one_line(cause)}. The file is damaged or cut short: save it again.") from cause


def read_tensors(
    path: str | Path, *, format: str, what: str, error: type[Exception] = StoreError
) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a file that `save_tensors` wrote, and its `about`.

    Args:
        what: the file should hold, for the message.
        error: what to raise.

    Raises:
        error: the file is missing, damaged, of another format, or was changed since it was saved.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != format:
                found = one_line(metadata.get("format"))
                raise error(f"{path} holds no {what} (its 'format' should be {format!r}, and is {found!r})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no iterator of its own)
            written = metadata.get("digest")
            if written is not None and written != _digest(tensors, metadata["about"]):  # earlier versions wrote none
                raise error(f"{path} was changed since it was saved. Save the {what} again.")
            return tensors, json.loads(metadata["about"])
    except error:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as cause:  # also of shapes beyond 64 bits
        raise error(f"cannot read {path}: {one_line(cause)}. Save the {what} again.") from cause


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    """SHA-256, in hex, of `about` and of names, types, shapes and bytes."""
    total = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        flat = tensor.detach().cpu().contiguous().as_strided((tensor.numel(),), (1,))  # an expanded one of size 1 has stride 0
        total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()
