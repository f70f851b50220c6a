"""Parameters after an attribution: as they were."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def untouched(model: Any, *, trainable: bool) -> Iterator[None]:
    """Makes all parameters trainable or not; afterwards none has a gradient, another value, or changed that."""
    model.requires_grad_(trainable)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    yield
    for name, parameter in model.named_parameters():
        assert parameter.grad is None and parameter.requires_grad == trainable and torch.equal(parameter, before[name])
