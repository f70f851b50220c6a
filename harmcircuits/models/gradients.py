"""States of a model in which gradients do not mean what attribution takes them for.

A score a · ∂L/∂a is that of the very model which computed L. Dropout makes each pass another model, autocast another one than
the weights say, and rounded (quantised) weights have no gradient of their own and often none behind them.

Half precision is no such state: a bfloat16 or float16 model may be scored. Activations and gradients then carry that type's
rounding (2⁻⁸ or 2⁻¹¹ of their size), but the loss is computed from float32 log-probabilities (`examples.token_nll`), and every
product and sum of a score is taken in float32. There is no option to accumulate in half precision. Gradients that overflow in
float16 give scores that are not numbers, which `attribute` names.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from .protocol import HookedModel, ModelError

_PROCESSED_NORMS = {"LNPre", "RMSPre"}
_PROBABILITIES = ("dropout", "pdrop", "layerdrop")  # attention_dropout, hidden_dropout_prob, attn_pdrop, …
_ENOUGH = 2  # bytes a number: with fewer, weights are rounded to a grid (int8, float8, packed 4 bits)


def check_gradients(model: HookedModel, *, weights: bool = False) -> None:
    """Makes sure that gradients of this model, here and now, are those of the model that its weights describe.

    Args:
        weights: for scores of weights (W ⊙ ∂L/∂W) too, which folding a norm's scale into the next matrix or centring it would
            change, though the model computes the same. Scores of neurons do not mind; those of heads do where biases of values
            are moved behind the heads (fold_value_biases, as compatibility mode does): they are then without −b_V · ∂L/∂z, and
            a head that is switched off keeps its b_V.

    Raises:
        ModelError: active dropout, autocast, inference mode, quantised weights; and with `weights`, weights that were folded or
            centred. The message names the cause and the cure.
    """
    _check_dropout(model)
    _check_autocast()
    _check_inference()
    _check_quantised(model)
    if weights:
        _check_processed(model)


def check_repeatable(model: HookedModel) -> None:
    """Makes sure that two passes of this model, here and now, are the same: what differences of losses need.

    Raises:
        ModelError: active dropout, or autocast.
    """
    _check_dropout(model)
    _check_autocast()


def _check_dropout(model: HookedModel) -> None:
    """A Dropout in training mode, or a layer in training mode that drops a share that it, or its configuration, names."""
    for name, module in _modules(model):
        shares = {"p": module.p} if isinstance(module, nn.modules.dropout._DropoutNd) else {}
        for holder in (module, vars(module).get("config")):
            named = getattr(holder, "__dict__", {}).items()
            shares |= {key: share for key, share in named if any(part in key for part in _PROBABILITIES)}
        for key, share in shares.items():
            if module.training and type(share) in (int, float) and share > 0:
                raise ModelError(
                    f"dropout is active ({name}: {key}={share:g}): every pass is another model, and scores would be noise. "
                    "Call model.eval() first."
                )


def _check_autocast() -> None:
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            raise ModelError(
                f"autocast is on for {device!r}: activations would be rounded to {torch.get_autocast_dtype(device)} in some "
                "places and not in others. Leave the autocast context; to score a model in half precision, load it in that "
                "type (hc.load_model(..., dtype=torch.bfloat16))."
            )


def _check_inference() -> None:
    if torch.is_inference_mode_enabled():
        raise ModelError(
            "torch.inference_mode() is on: nothing that is computed in it has a gradient, whatever asks for one. Leave it; "
            "under torch.no_grad() scores can be computed."
        )


def _check_quantised(model: HookedModel) -> None:
    cause = next(_signs_of_quantisation(model), None)
    if cause is not None:
        raise ModelError(
            f"the model's weights are quantised ({cause}): gradients through them are approximate or missing. Load it without "
            "quantization_config=, or dequantise it first (a .gguf file is dequantised by hc.load_model)."
        )


def _signs_of_quantisation(model: HookedModel) -> Iterator[str]:
    wrapped = getattr(model, "original_model", None)
    if getattr(wrapped, "is_quantized", False):
        yield "its is_quantized is true"
    if getattr(getattr(wrapped, "config", None), "quantization_config", None):
        yield "its configuration has a quantization_config"
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point() or parameter.element_size() < _ENOUGH:
            yield f"{name} is {parameter.dtype}"
    for name, module in _modules(model):
        if type(module).__module__.partition(".")[0] == "bitsandbytes":
            yield f"{name} is a {type(module).__name__} of bitsandbytes"


def _check_processed(model: HookedModel) -> None:
    cause = next(_signs_of_processing(model), None)
    if cause is not None:
        raise ModelError(
            f"{cause}: W ⊙ gradient is not the same after folding and centring, so that these would not be scores of the "
            "weights that the model was trained with. Load the model anew without processing (hc.load_model does; so does "
            "HookedTransformer.from_pretrained_no_processing)."
        )


def _signs_of_processing(model: HookedModel) -> Iterator[str]:
    if getattr(model, "compatibility_mode", False):
        yield "the bridge is in compatibility mode"
    elif getattr(model, "_weights_processed", False):  # process_weights() alone
        yield "the bridge's weights were processed"
    norm = getattr(model.cfg, "normalization_type", None)
    if not hasattr(model, "original_model"):  # a bridge's configuration says so of the raw model too
        if norm in _PROCESSED_NORMS:
            yield f"the norms' weights were folded into the matrices (normalization_type {norm!r})"
        elif _centred(model):
            yield "the weights that write into the residual stream were centred"


def _centred(model: Any) -> bool:
    """Whether every vector that the first MLP writes sums to 0, as centring makes it."""
    written = getattr(model.blocks[0].mlp, "W_out", None) if hasattr(model, "blocks") else None
    if written is None or model.cfg.normalization_type not in ("LN", "LNPre"):
        return False  # centring is only ever done before a LayerNorm, which takes the mean away
    with torch.no_grad():
        rows = written.detach().float()
        return bool(rows.mean(-1).abs().max() < 1e-4 * rows.abs().mean())


def _modules(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Every module of the model, and of the transformers model that a bridge wraps but may not list, once."""
    seen: set[int] = set()
    for root in (model, getattr(model, "original_model", None)):
        for name, module in root.named_modules() if isinstance(root, nn.Module) else ():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
