"""The part of a model that this package uses: `HookedTransformer` and `TransformerBridge` both have it.

Heads are read and ablated at `blocks.{layer}.attn.hook_z` [batch, pos, head, d_head], neurons at `blocks.{layer}.mlp.hook_post`
[batch, pos, d_mlp]. The graph of gradients starts at the embedding. The unembedding is computed at asked positions only.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

Hook = tuple[str, Callable[..., Tensor]]
"""A hook point's name and the function `(activation, hook) -> activation` that is called there."""

WORKING_MODELS = "Dense decoder-only transformers work (Llama, GPT-2, Pythia, Qwen2, Qwen3, Gemma, OLMo)."


class LoadError(RuntimeError):
    """A model that cannot be fetched or loaded; the message names the cause and the cure."""


class ModelError(ValueError):
    """A model that lacks something that is needed here; the message says what, where, and what would work."""


class HookedModel(Protocol):
    """The part of `HookedTransformer` and `TransformerBridge` that is used here."""

    @property
    def cfg(self) -> Any: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def hook_dict(self) -> dict[str, Any]: ...
    def hooks(self, fwd_hooks: list[Hook] = ...) -> AbstractContextManager[Any]: ...
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...
    def __call__(self, tokens: Tensor, **options: Any) -> Any: ...


class Past(Protocol):
    """Keys and values of the tokens before (`prefix_cache`)."""

    def options(self, attention_mask: Int[Tensor, "b pos"]) -> dict[str, Any]: ...
    def check(self) -> None: ...


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
    """Return the model's layers, heads a layer, width of a head, and neurons a layer.

    Raises:
        ModelError: the model has no uniform heads or dense MLP (mixture of experts, state space).
    """
    names = ("n_layers", "n_heads", "d_head", "d_mlp")
    if missing := [name for name in names if not getattr(model.cfg, name, None)]:
        raise ModelError(f"the model's configuration has no {', '.join(missing)}. {WORKING_MODELS}")
    return Geometry(*(int(getattr(model.cfg, name)) for name in names))


def head_hook(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


def neuron_hook(layer: int) -> str:
    return f"blocks.{layer}.mlp.hook_post"


def check_hooks(model: HookedModel, *, heads: Sequence[int], neurons: Sequence[int]) -> None:
    """Check that `hook_z` exists in the layers `heads`, and `hook_post` in the layers `neurons`. Raises ModelError if not."""
    points = model.hook_dict
    for name in [*map(head_hook, heads), *map(neuron_hook, neurons)]:
        # a bridge gives experts the name as another one of their module's output
        if name not in points or points[name] is points.get(f"{name.rpartition('.')[0]}.hook_out"):
            raise ModelError(f"the model has no hook point {name!r}: ask for the other component type only. {WORKING_MODELS}")


def has_hooks(model: HookedModel) -> bool:
    """Whether a hook is set, TransformerLens' or PyTorch's: the model's outputs may not follow from its weights alone."""
    wiring = ("transformer_lens.model_bridge.", "transformers.", "accelerate.")  # hooks by which models compute
    modules = cast(torch.nn.Module, model).modules()
    hooks = (hook for module in modules for own in (module._forward_hooks, module._forward_pre_hooks) for hook in own.values())
    return any(not str(getattr(hook, "__module__", "")).startswith(wiring) for hook in hooks)


def device_of(model: HookedModel) -> torch.device:
    """Where the model takes its tokens; the device of its first parameter."""
    return next(iter(model.parameters())).device


def on_several_devices(model: HookedModel) -> bool:
    """Whether the model's layers lie on several devices (`device_map` of transformers)."""
    return len({parameter.device for parameter in model.parameters()}) > 1


def stack_layers(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`torch.stack` of tensors of several layers, which may lie on several devices; on that of the first."""
    return torch.stack([part.to(parts[0].device) for part in parts], dim)


def tokenizer_of(model: HookedModel) -> Any:
    """The model's tokenizer. Raises ModelError where it has none."""
    if model.tokenizer is None:
        raise ModelError("the model has no tokenizer: load it with one (hc.load_model(..., tokenizer=...))")
    return model.tokenizer


def end_ids(model: HookedModel) -> list[int]:
    """Ids at which the model's generation configuration ends a text; none where it says nothing."""
    config = getattr(getattr(model, "original_model", model), "generation_config", None)
    ends = getattr(config, "eos_token_id", None)
    return [] if ends is None else [int(token) for token in (ends if isinstance(ends, list) else [ends])]


def pad_id(model: HookedModel) -> int:
    """The tokenizer's padding id, or its end id: any id will do where a mask hides it."""
    ids = (tokenizer_of(model).pad_token_id, tokenizer_of(model).eos_token_id, 0)
    return next(int(token) for token in ids if token is not None)


def context_length(model: HookedModel) -> int | None:
    """Tokens that the model can read at once; None where its configuration does not say.

    For a bridge, from the transformers configuration: TransformerLens puts 2048 where that says nothing.
    """
    wrapped = getattr(model, "original_model", None)
    if wrapped is None:
        return getattr(model.cfg, "n_ctx", None)
    fields = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
    values = (getattr(wrapped.config.get_text_config(), field, None) for field in fields)
    return next((int(length) for length in values if length), None)


def detach_and_require_grad(embedding: Tensor, hook: object) -> Tensor:
    """A hook at `hook_embed`: gradients flow to activations although every parameter is frozen."""
    return embedding.detach().requires_grad_(True)


def _select_positions(positions: Int[Tensor, " row"], residual: Float[Tensor, "b pos d"], hook: object) -> Tensor:
    return residual.flatten(0, 1)[positions.to(residual.device)][None]


def logits_at(
    model: HookedModel,
    tokens: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    positions: Int[Tensor, " row"],
    *,
    past: Past | None = None,
) -> Float[Tensor, "row d_vocab"]:
    """Logits at the flat `positions` (row · length + position) only, on the model's device.

    The unembedding is a fifth of the work in a small model with a large vocabulary. `past`: keys and values of what comes
    before `tokens`; it grows by them (a `Past` is used up by one continuation).

    Raises:
        ModelError: the model has no hook point before its unembedding.
    """
    for name in ("unembed.hook_in", "ln_final.hook_normalized"):
        if name in model.hook_dict:
            with model.hooks(fwd_hooks=[(name, partial(_select_positions, positions))]):
                return forward(model, tokens, attention_mask, past=past)[0]
    raise ModelError("the model has neither 'unembed.hook_in' nor 'ln_final.hook_normalized', where its unembedding begins")


def forward(
    model: HookedModel, tokens: Int[Tensor, "b pos"], attention_mask: Int[Tensor, "b pos"], *, past: Past | None = None
) -> Float[Tensor, "b pos d_vocab"]:
    """Logits at every position that the hooks in force leave, on the model's device.

    Raises:
        ModelError: the model did not keep the keys and values, so that what comes next would not see them.
    """
    device = device_of(model)
    mask = attention_mask.to(device)
    options = {"attention_mask": mask} if past is None else past.options(mask)
    logits = cast(Tensor, model(tokens.to(device), return_type="logits", **options))
    if past is not None:
        past.check()
    return logits


def nearly_equal(values: Tensor, expected: Tensor) -> bool:
    """Whether tensors differ by at most 2 % of the largest value: rounding, also of half precision, and nothing else."""
    return bool((values - expected).abs().max() <= 0.02 * expected.abs().max())
