"""Loaded models compared with plain transformers: the tokens, its logits, and how close two are."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

TOKENS = torch.arange(5, 65).reshape(2, 30)


def reference(folder: Path, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    """The logits of plain transformers."""
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")(tokens).logits


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((a - b).abs().max() < tolerance)
