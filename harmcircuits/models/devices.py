"""Devices: whether one can be used here, and which there are."""

import torch

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


def _devices() -> list[str]:
    gpus = [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
