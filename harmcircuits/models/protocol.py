"""What this package needs of a model, and nothing more: `HookedTransformer` and `TransformerBridge` both have it.

Heads are read and cut at `blocks.{layer}.attn.hook_z` [batch, pos, head, d_head], neurons at `blocks.{layer}.mlp.hook_post`
[batch, pos, d_mlp]. The graph of gradients starts at the embedding, and the unembedding is computed only where somebody looks.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

Hook = tuple[str, Callable[..., Tensor]]
"""A hook point's name and the function `(activation, hook) -> activation` that is called there."""


class ModelError(ValueError):
    """The model lacks something that is needed here; the message says what, where, and what would work."""


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
    """Keys and values of the tokens before; `models/past.py` makes them."""

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
    """The model's layers, heads a layer, width of a head, and neurons a layer.

    Raises:
        ModelError: the model has no uniform heads or dense MLP (mixture of experts, state space).
    """
    cfg = model.cfg
    missing = [name for name in ("n_layers", "n_heads", "d_head", "d_mlp") if not getattr(cfg, name, None)]
    if missing:
        raise ModelError(
            f"the model's configuration says nothing of {', '.join(missing)}: heads and neurons cannot be counted. "
            "Dense decoder-only transformers work (Llama, GPT-2, Qwen, Gemma, Pythia)."
        )
    return Geometry(int(cfg.n_layers), int(cfg.n_heads), int(cfg.d_head), int(cfg.d_mlp))


def head_hook(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


def neuron_hook(layer: int) -> str:
    return f"blocks.{layer}.mlp.hook_post"


def check_hooks(model: HookedModel, *, heads: Sequence[int], neurons: Sequence[int]) -> None:
    """Makes sure that `hook_z` exists in the layers `heads`, and `hook_post` in the layers `neurons`.

    Raises:
        ModelError: naming the layer and the missing hook point, and what would work.
    """
    have = model.hook_dict
    for layers, name_of, what, cure in (
        (heads, head_hook, "attention heads", "Models with softmax attention in every layer work"),
        (neurons, neuron_hook, "MLP neurons", "Models with one dense MLP a layer work; mixtures of experts do not"),
    ):
        for layer in layers:
            if _absent(have, name_of(layer)):
                raise ModelError(
                    f"layer {layer} has no hook point {name_of(layer)!r}, where its {what} would be read. "
                    f"{cure} (Llama, GPT-2, Qwen, Gemma, Pythia); or ask for the other kind of component only."
                )


def _absent(have: Mapping[str, object], name: str) -> bool:
    """Whether a hook point is missing, or only another name of its module's output (the experts of a bridge)."""
    return name not in have or have[name] is have.get(f"{name.rpartition('.')[0]}.hook_out")


_WIRING = ("transformer_lens.model_bridge.", "transformers.", "accelerate.")
"""Modules whose own hooks are part of how a model computes."""


def has_hooks(model: HookedModel) -> bool:
    """Whether a hook is set, TransformerLens' or PyTorch's: what the model does may not follow from its weights alone."""
    modules = cast(torch.nn.Module, model).modules()
    hooks = (hook for module in modules for own in (module._forward_hooks, module._forward_pre_hooks) for hook in own.values())
    return any(not str(getattr(hook, "__module__", "")).startswith(_WIRING) for hook in hooks)


def device_of(model: HookedModel) -> torch.device:
    """Where the model takes its tokens; the device of its first parameter."""
    return next(iter(model.parameters())).device


def vocabulary(model: HookedModel) -> Any:
    """The model's tokenizer.

    Raises:
        ModelError: the model has none.
    """
    if model.tokenizer is None:
        raise ModelError("the model has no tokenizer: load it with one (hc.load_model(..., tokenizer=...))")
    return model.tokenizer


def end_ids(model: HookedModel) -> list[int]:
    """Ids at which the model's own generation configuration ends a text; none where it says nothing."""
    config = getattr(getattr(model, "original_model", model), "generation_config", None)
    ends = getattr(config, "eos_token_id", None)
    return [] if ends is None else [int(token) for token in (ends if isinstance(ends, list) else [ends])]


def pad_id(model: HookedModel) -> int:
    """Any id will do where a mask hides it; the tokenizer's own is the least surprising."""
    tokenizer = vocabulary(model)
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(int(token) for token in ids if token is not None)


def start_graph(embedding: Tensor, hook: object) -> Tensor:
    """A hook at `hook_embed`: gradients flow to activations although every parameter is frozen."""
    return embedding.detach().requires_grad_(True)


def _keep_rows(positions: Int[Tensor, " row"], residual: Float[Tensor, "b pos d"], hook: object) -> Tensor:
    return residual.flatten(0, 1)[positions.to(residual.device)][None]


def logits_at(
    model: HookedModel,
    tokens: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    positions: Int[Tensor, " row"],
    *,
    past: "Past | None" = None,
) -> Float[Tensor, "row d_vocab"]:
    """Logits at the flat `positions` (row · length + position) only: the unembedding is not computed elsewhere.

    It is a fifth of the work in a small model with a large vocabulary. The result lies on the model's device. `past`: keys
    and values of what comes before `tokens`; it grows by them (a `Past` is used up by one continuation).
    """
    with model.hooks(fwd_hooks=[(unembed_hook(model), partial(_keep_rows, positions))]):
        return forward(model, tokens, attention_mask, past=past)[0]


def forward(
    model: HookedModel, tokens: Int[Tensor, "b pos"], attention_mask: Int[Tensor, "b pos"], *, past: "Past | None" = None
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


def unembed_hook(model: HookedModel) -> str:
    """The last point before the unembedding: both are per-position, so that rows may be dropped there."""
    for name in ("unembed.hook_in", "ln_final.hook_normalized"):
        if name in model.hook_dict:
            return name
    raise ModelError(
        "the model has neither 'unembed.hook_in' nor 'ln_final.hook_normalized': where does its unembedding begin?"
    )


def alike(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding, also of half precision: what is computed in another way differs by far more."""
    return bool((one - other).abs().max() <= 0.02 * one.abs().max())


def model_hash(model: HookedModel) -> str:
    """SHA-256 (16 hexadecimal digits) over names, shapes, types and values of all parameters: the name of the weights.

    It is computed again where a parameter's version, place or a sample of its values differs from the last call's.
    """
    parameters = sorted(model.named_parameters(), key=lambda item: item[0])
    state = [(name, own._version, own.data_ptr(), own.dtype, _sample(own)) for name, own in parameters]
    known = _HASHES.get(model)
    if known is not None and known[0] == state:
        return known[1]
    digest = hashlib.sha256()
    for name, parameter in parameters:
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        digest.update(bytes_of(parameter))
    _HASHES[model] = state, digest.hexdigest()[:16]
    return _HASHES[model][1]


_HASHES: "WeakKeyDictionary[Any, tuple[list[Any], str]]" = WeakKeyDictionary()
"""Of each model the state of its parameters at the last call, and their hash."""


def _sample(parameter: Tensor) -> bytes:
    """Up to 64 values spread over a parameter, as bytes: changes by `parameter.data` raise no version."""
    flat = parameter.detach().flatten()
    return bytes(bytes_of(flat[:: max(1, flat.numel() // 64)].contiguous()))


def bytes_of(tensor: Tensor) -> memoryview:
    """The values of a tensor of any type, as they lie in memory, row by row."""
    return tensor.detach().cpu().flatten().view(torch.uint8).numpy().data


# in transformers' configurations: what wrote them, the weights' type (which `model_hash` knows), what is returned
_FORM = {"transformers_version", "dtype", "torch_dtype", "use_cache", "return_dict"}
# in HookedTransformer's: where it came from and lies, how it was initialised, which extra hook points it has
_ORIGIN = {"model_name", "tokenizer_name", "device", "n_devices", "seed", "init_weights", "trust_remote_code"}
_HOOK_POINTS = {"use_attn_result", "use_attn_in", "use_split_qkv_input", "use_hook_mlp_in", "use_hook_tokens"}
_WITHOUT_EFFECT = frozenset({"output_attentions", "output_hidden_states"} | _FORM | _ORIGIN | _HOOK_POINTS)


def configuration(model: HookedModel) -> dict[str, Any]:
    """What the model's outputs depend on beside its weights: rotary base, activation function, epsilon of norms, windows.

    A bridge computes after the configuration of the transformers model that it wraps, a `HookedTransformer` after its own.
    What certainly changes no output is left out (paths, device, version, and all that begins with an underscore, such as
    the attention's implementation); a field that nobody here knows is kept.
    """
    wrapped = getattr(model, "original_model", None)
    return cast(dict[str, Any], _effective((model.cfg if wrapped is None else wrapped.config).to_dict()))


def _effective(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {str(key): item for key, item in value.items()}
        return {key: _effective(kept[key]) for key in kept if key not in _WITHOUT_EFFECT and not key.startswith("_")}
    return [_effective(item) for item in value] if isinstance(value, list | tuple) else value


def model_key(model: HookedModel) -> str:
    """SHA-256 (16 hexadecimal digits) over weights, configuration and tokenizer: the key of what the model wrote and read."""
    settings = json.dumps([configuration(model), _words(model.tokenizer)], sort_keys=True, default=str)
    return hashlib.sha256(f"{model_hash(model)} {settings}".encode()).hexdigest()[:16]


def _words(tokenizer: Any) -> Any:
    """What text becomes: the tokenizer's rules, its chat template and its special tokens. How the last batch was padded or cut
    off, which tokenizers remember, is left out."""
    if tokenizer is None:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = tokenizer.get_vocab() if backend is None else json.loads(backend.to_str()) | {"padding": None, "truncation": None}
    return [rules, tokenizer.chat_template, tokenizer.special_tokens_map]
