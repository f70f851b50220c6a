"""A trainer seeds every random number, wants gradients, and shows bars and warnings of its own: all of it inside a context."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers.utils import logging


@contextmanager
def undisturbed(*, on_cpu: bool, progress: bool = False) -> Iterator[None]:
    """Outside, random numbers go on as they would have, and what was switched off is on again, also after an exception."""
    python, numpy, bars = random.getstate(), np.random.get_state(), logging.is_progress_bar_enabled()
    with torch.random.fork_rng(devices=[] if on_cpu else None), torch.enable_grad(), warnings.catch_warnings():
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
