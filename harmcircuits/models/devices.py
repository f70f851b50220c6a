"""Devices: whether one can be used here, which there are, and tensors of a model that is dealt out over several."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .fetch import LoadError


def usable(device: str | torch.device) -> torch.device:
    """The device, tried out with one number.

    Raises:
        LoadError: this machine, or this PyTorch, lacks it; the message says which there are.
    """
    cure = f"This machine has {', '.join(_devices())}: choose from these, or leave it out (CUDA where there is one, else cpu)."
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise LoadError(f"PyTorch knows no device {str(device)!r}. {cure}") from error
    try:
        torch.zeros(1, device=chosen).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # PyTorch raises each of them for one device or another
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise LoadError(f"the device {str(device)!r} cannot be used here ({reason}). {cure}") from error
    return chosen


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def stacked(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`torch.stack` of tensors of several layers, which may lie on several devices; on that of the first."""
    return torch.stack([part.to(parts[0].device) for part in parts], dim)


def dealt_out(model: Any) -> bool:
    """Whether the model's layers lie on several devices (`device_map` of transformers)."""
    return len({parameter.device for parameter in model.parameters()}) > 1


def _devices() -> list[str]:
    gpus = [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
