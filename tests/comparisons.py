"""What is compared with what it was or should be: a folder's names, parameters, logits with those of plain transformers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

TOKENS = torch.arange(5, 65).reshape(2, 30)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextmanager
def untouched(model: Any, *, trainable: bool) -> Iterator[None]:
    """Makes all parameters trainable or not; afterwards none has a gradient, another value, or changed that, and hooks are as
    they were."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    hooks = lambda: [len(getattr(module, kind)) for module in model.modules() for kind in kinds]
    model(TOKENS[:1, :2])  # in the first pass a bridge sets hooks of its own
    model.requires_grad_(trainable)
    before, n_hooks = {name: parameter.clone() for name, parameter in model.named_parameters()}, hooks()
    yield
    assert hooks() == n_hooks
    for name, parameter in model.named_parameters():
        assert parameter.grad is None and parameter.requires_grad == trainable and torch.equal(parameter, before[name])


def reference(folder: Path, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    """The logits of plain transformers."""
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")(tokens).logits


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((a - b).abs().max() < tolerance)


def differ(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, relative to the largest of `b`."""
    return float((a - b).abs().max() / b.abs().max())
