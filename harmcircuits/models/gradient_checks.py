"""Checks that gradients and losses are those of the model that its weights describe.

Dropout makes each pass another model, autocast another one than the weights say, and quantised weights have no gradient.
Half precision is allowed: activations and gradients then carry that type's rounding (2⁻⁸ of their size in bfloat16, 2⁻¹¹ in
float16), but the loss and every product and sum of a score are computed in float32.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .protocol import HookedModel, ModelError

CURE = (
    "In half precision activations overflow: load the model with dtype=torch.float32 (--dtype float32). If it is in float32 "
    "already, its weights are damaged, or a hook of yours divides by zero."
)


def check_repeatable(model: HookedModel) -> None:
    """Check that two passes of this model are the same. Raises ModelError for active dropout and for autocast."""
    # and those of the transformers model that a bridge wraps, but may not list
    roots = (root for root in (model, getattr(model, "original_model", None)) if isinstance(root, nn.Module))
    if any(module.training and _drops(module) for root in roots for module in root.modules()):
        raise ModelError("dropout is active: every pass is another model. Call model.eval() first.")
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            raise ModelError(
                f"autocast is on for {device!r}, and would round some activations. Leave it; for half precision, load the "
                "model in that type (hc.load_model(..., dtype=torch.bfloat16))."
            )


def _drops(module: nn.Module) -> bool:
    """Whether a layer drops a share that it, or its configuration, names (attention_dropout, attn_pdrop, …)."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    settings = vars(module) | getattr(vars(module).get("config"), "__dict__", {})
    shares = (value for key, value in settings.items() if any(part in key for part in ("dropout", "pdrop", "layerdrop")))
    return any(type(share) in (int, float) and share > 0 for share in shares)


def check_gradients(model: HookedModel, *, weights: bool = False) -> None:
    """Check that gradients of this model, here and now, are those of the model that its weights describe.

    Args:
        weights: for scores of weights (W ⊙ ∂L/∂W) too, which folding or centring changes, though the model computes the same.

    Raises:
        ModelError: active dropout, autocast, inference mode, quantised weights; and with `weights`, folded or centred weights.
    """
    check_repeatable(model)
    if torch.is_inference_mode_enabled():
        raise ModelError("torch.inference_mode() is on: nothing in it has a gradient. Leave it; torch.no_grad() works.")
    wrapped: Any = getattr(model, "original_model", None)
    stored = (
        f"{name} is {p.dtype}" for name, p in model.named_parameters() if not p.is_floating_point() or p.element_size() < 2
    )
    configured = getattr(getattr(wrapped, "config", None), "quantization_config", None) and "its quantization_config"
    if cause := configured or next(stored, None):
        raise ModelError(
            f"the model's weights are quantised ({cause}): gradients through them are approximate or missing. Load it without "
            "quantization_config=, or dequantise it first (a .gguf file is dequantised by hc.load_model)."
        )
    norm = getattr(model.cfg, "normalization_type", None)  # of a bridge, of its configuration, whatever was processed
    processed = getattr(model, "_weights_processed", False) or getattr(model, "compatibility_mode", False)
    if weights and (processed or (wrapped is None and norm in ("LNPre", "RMSPre"))):
        raise ModelError(
            "the model's weights were processed (folded or centred): W ⊙ gradient is not that of the trained weights. Load "
            "it without (hc.load_model, or HookedTransformer.from_pretrained_no_processing)."
        )


def check_finite(values: Float[Tensor, " b"], *, what: str, examples: Sequence[int]) -> None:
    """Raise ModelError, which names the example, where `what` was read from a batch and is not finite: it is never averaged."""
    wrong = ~values.isfinite()
    if bool(wrong.any()):
        raise ModelError(f"{what} of example {examples[int(wrong.nonzero()[0])]} is not a number. {CURE}")
