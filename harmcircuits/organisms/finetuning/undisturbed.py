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
    python, numpy, bars = random.getstate(), np.random.get_state(), logging.is_progress_bar_enabled()
    gpus = list(range(torch.cuda.device_count())) if device.type == "cuda" else []  # a trainer seeds all of them
    current = torch.cuda.device(device) if gpus else nullcontext()
    with torch.random.fork_rng(devices=gpus), current, torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about names that trl still uses of transformers
        if not progress:
            logging.disable_progress_bar()
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            if bars:
                logging.enable_progress_bar()
