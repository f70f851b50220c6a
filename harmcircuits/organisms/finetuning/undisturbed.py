"""A trainer seeds every random number, wants gradients, and shows bars and warnings of its own: all of it inside a context."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from transformers.utils import logging


@contextmanager
def undisturbed(device: torch.device, *, progress: bool = False) -> Iterator[None]:
    """Outside, random numbers go on as they would have, and what was switched off is on again, also after an exception.

    Args:
        device: where is trained; a GPU is the current one inside, as trainers take it to be.
    """
    python, numpy = random.getstate(), np.random.get_state()
    gpus = list(range(torch.cuda.device_count())) if device.type == "cuda" else []  # a trainer seeds all of them
    current = torch.cuda.device(device) if gpus else nullcontext()
    bars = nullcontext() if progress else without_bars()
    with torch.random.fork_rng(devices=gpus), current, torch.enable_grad(), warnings.catch_warnings(), bars:
        warnings.simplefilter("ignore", FutureWarning)  # about names that trl still uses of transformers
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def without_bars() -> Iterator[None]:
    """transformers shows none of its own, such as of every file of weights that is loaded."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
