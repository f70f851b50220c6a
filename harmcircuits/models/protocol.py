"""The part of a model that this package uses, which `HookedTransformer` and `TransformerBridge` both have, and checks of it.

Heads are read and ablated at `blocks.{layer}.attn.hook_z` [batch, pos, head, d_head], neurons at `blocks.{layer}.mlp.hook_post`
[batch, pos, d_mlp]. The graph of gradients starts at the embedding.

Gradients are checked: dropout makes each pass another model, autocast another one than the weights say, and quantised weights
have no gradient. Half precision is allowed: activations and gradients then carry that type's rounding (2⁻⁸ of their size in
bfloat16, 2⁻¹¹ in float16), but the loss and every product and sum of a score are computed in float32.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import HarmcircuitsError

Hook = tuple[str, Callable[..., Tensor]]
"""A hook point's name and the function `(activation, hook) -> activation` that is called there."""

WORKING_MODELS = "Dense decoder-only transformers work (Llama, GPT-2, Pythia, Qwen2, Qwen3, Gemma, OLMo)."
CURE = (
    "In half precision activations overflow: load the model with dtype=torch.float32 (--dtype float32). If it is in float32 "
    "already, its weights are damaged, or a hook of yours divides by zero."
)


class HookedModel(Protocol):
    """The part of `HookedTransformer` and `TransformerBridge` that is used here."""

    @property
    def cfg(self) -> Any: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def hook_dict(self) -> dict[str, Any]: ...
    def hooks(self, fwd_hooks: list[Hook] = ...) -> AbstractContextManager[Any]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def __call__(self, tokens: Tensor, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Geometry:
    """How many components a model has."""

    n_layers: int
    n_heads: int
    d_head: int
    d_mlp: int

    @property
    def n_neurons(self) -> int:
        return self.n_layers * self.d_mlp


def geometry(model: HookedModel) -> Geometry:
    """Return the model's sizes. Raises HarmcircuitsError without uniform heads or a dense MLP (mixture of experts, state
    space).
    """
    sizes = {name: getattr(model.cfg, name, None) for name in Geometry.__dataclass_fields__}
    if missing := [name for name, size in sizes.items() if not size]:
        raise HarmcircuitsError(f"the model's configuration has no {', '.join(missing)}. {WORKING_MODELS}")
    return Geometry(**{name: int(cast(int, size)) for name, size in sizes.items()})


def head_hook(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


def neuron_hook(layer: int) -> str:
    return f"blocks.{layer}.mlp.hook_post"


def check_hooks(model: HookedModel, *, heads: Sequence[int], neurons: Sequence[int]) -> None:
    """Raise HarmcircuitsError unless `hook_z` exists in the layers `heads`, and `hook_post` in the layers `neurons`."""
    points = model.hook_dict
    for name in [*map(head_hook, heads), *map(neuron_hook, neurons)]:
        # a bridge gives experts the name as another one of their module's output
        if name not in points or points[name] is points.get(f"{name.rpartition('.')[0]}.hook_out"):
            raise HarmcircuitsError(
                f"the model has no hook point {name!r}: ask for the other component type only. {WORKING_MODELS}"
            )


def has_hooks(model: HookedModel) -> bool:
    """Whether a hook is set, TransformerLens' or PyTorch's: outputs may then not follow from the weights alone."""
    wiring = ("transformer_lens.model_bridge.", "transformers.", "accelerate.")  # hooks by which models compute
    modules = cast(nn.Module, model).modules()
    hooks = [hook for module in modules for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())]
    return any(not str(getattr(hook, "__module__", "")).startswith(wiring) for hook in hooks)


def device_of(model: HookedModel) -> torch.device:
    """Return the device of the first parameter, where the model takes its tokens."""
    return next(iter(model.parameters())).device


def on_several_devices(model: HookedModel) -> bool:
    """Whether the model's layers lie on several devices (`device_map` of transformers)."""
    return len({parameter.device for parameter in model.parameters()}) > 1


def tokenizer_of(model: HookedModel) -> Any:
    """Return the model's tokenizer. Raises HarmcircuitsError where it has none."""
    if model.tokenizer is None:
        raise HarmcircuitsError("the model has no tokenizer: load it with one (hc.load_model(..., tokenizer=...))")
    return model.tokenizer


def end_ids(model: HookedModel) -> list[int]:
    """Return the ids at which the model's generation configuration ends a text."""
    config = getattr(getattr(model, "original_model", model), "generation_config", None)
    ends = getattr(config, "eos_token_id", None)
    return [] if ends is None else [int(token) for token in (ends if isinstance(ends, list) else [ends])]


def pad_id(model: HookedModel) -> int:
    """Return the tokenizer's padding id, or its end id: any id will do where a mask hides it."""
    ids = (tokenizer_of(model).pad_token_id, tokenizer_of(model).eos_token_id, 0)
    return next(int(token) for token in ids if token is not None)


def context_length(model: HookedModel) -> int | None:
    """Return how many tokens the model can read at once; None where its configuration does not say."""
    wrapped = getattr(model, "original_model", None)
    if wrapped is None:
        return getattr(model.cfg, "n_ctx", None)
    # TransformerLens puts 2048 where transformers' configuration says nothing
    fields = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
    values = (getattr(wrapped.config.get_text_config(), field, None) for field in fields)
    return next((int(length) for length in values if length), None)


def detach_and_require_grad(embedding: Tensor, hook: object) -> Tensor:
    """A hook at `hook_embed`: gradients flow to activations although every parameter is frozen."""
    return embedding.detach().requires_grad_(True)


def nearly_equal(values: Tensor, expected: Tensor) -> bool:
    """Whether tensors differ by at most 2 % of the largest value: by rounding, also of half precision, and nothing else."""
    return bool((values - expected).abs().max() <= 0.02 * expected.abs().max())


def check_repeatable(model: HookedModel) -> None:
    """Raise HarmcircuitsError for active dropout and for autocast, in which two passes are not the same."""
    # and those of the transformers model that a bridge wraps, but may not list
    roots = (root for root in (model, getattr(model, "original_model", None)) if isinstance(root, nn.Module))
    if any(module.training and _drops(module) for root in roots for module in root.modules()):
        raise HarmcircuitsError("dropout is active: every pass is another model. Call model.eval() first.")
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            raise HarmcircuitsError(
                f"autocast is on for {device!r}, and would round some activations. Leave it; for half precision, load the "
                "model in that type (hc.load_model(..., dtype=torch.bfloat16))."
            )


def _drops(module: nn.Module) -> bool:
    """Whether a layer drops a share that it, or its configuration, names (p, attention_dropout, attn_pdrop, …)."""
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
        HarmcircuitsError: active dropout, autocast, inference mode, quantised weights; and with `weights`, folded or centred
            weights.
    """
    check_repeatable(model)
    if torch.is_inference_mode_enabled():
        raise HarmcircuitsError("torch.inference_mode() is on: nothing in it has a gradient. Leave it; torch.no_grad() works.")
    wrapped: Any = getattr(model, "original_model", None)
    stored = [f"{name} is {p.dtype}" for name, p in model.named_parameters() if not p.is_floating_point() or p.itemsize < 2]
    if getattr(getattr(wrapped, "config", None), "quantization_config", None):
        stored = ["its quantization_config"]
    if stored:
        raise HarmcircuitsError(
            f"the model's weights are quantised ({stored[0]}): gradients through them are approximate or missing. Load it "
            "without quantization_config=, or dequantise it first (a .gguf file is dequantised by hc.load_model)."
        )
    norm = getattr(model.cfg, "normalization_type", None)  # of a bridge, of its configuration, whatever was processed
    processed = getattr(model, "_weights_processed", False) or getattr(model, "compatibility_mode", False)
    if weights and (processed or (wrapped is None and norm in ("LNPre", "RMSPre"))):
        raise HarmcircuitsError(
            "the model's weights were processed (folded or centred): W ⊙ gradient is not that of the trained weights. Load "
            "it without (hc.load_model, or HookedTransformer.from_pretrained_no_processing)."
        )


def check_finite(values: Float[Tensor, " b"], *, what: str, examples: Sequence[int]) -> None:
    """Raise HarmcircuitsError, naming the example, where a value of a batch is not finite: `what` was read."""
    wrong = ~values.isfinite()
    if bool(wrong.any()):
        raise HarmcircuitsError(f"{what} of example {examples[int(wrong.nonzero()[0])]} is not a number. {CURE}")
