"""Digests that name a model: of its weights, and of all that its outputs depend on."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from ..store import bytes_of
from .protocol import HookedModel


def model_hash(model: HookedModel) -> str:
    """Return the SHA-256 (16 hexadecimal digits) over names, shapes, types and values of all parameters.

    Computed again where a parameter's version, place or a sample of its values differs from the last call's.
    """
    parameters = sorted(model.named_parameters())
    state = [(name, p._version, p.data_ptr(), p.dtype, _sample(p)) for name, p in parameters]
    if _HASHES.get(model, (None,))[0] != state:
        digest = hashlib.sha256()
        for name, parameter in parameters:
            digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
            digest.update(bytes_of(parameter))
        _HASHES[model] = state, digest.hexdigest()[:16]
    return _HASHES[model][1]


_HASHES: "WeakKeyDictionary[Any, tuple[list[Any], str]]" = WeakKeyDictionary()
"""The state of each model's parameters at the last call, and their hash."""


def _sample(parameter: Tensor) -> bytes:
    """Up to 64 values spread over a parameter: changes by `parameter.data` raise no version."""
    flat = parameter.detach().flatten()
    return bytes(bytes_of(flat[:: max(1, flat.numel() // 64)].contiguous()))


# in transformers' configurations: what wrote them, the weights' type (which `model_hash` knows), what is returned
_FORM = {
    "transformers_version",
    "dtype",
    "torch_dtype",
    "use_cache",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
}
# in HookedTransformer's: where it came from and lies, how it was initialised, which extra hook points it has
_ORIGIN = {"model_name", "tokenizer_name", "device", "n_devices", "seed", "init_weights", "trust_remote_code"}
_HOOK_POINTS = {"use_attn_result", "use_attn_in", "use_split_qkv_input", "use_hook_mlp_in", "use_hook_tokens"}
_BATCH = {"padding": None, "truncation": None}
_WITHOUT_EFFECT = _FORM | _ORIGIN | _HOOK_POINTS


def _effective(value: Any) -> Any:
    """A configuration without what changes no output."""
    if isinstance(value, Mapping):
        items = ((str(key), item) for key, item in value.items())
        return {key: _effective(item) for key, item in items if key not in _WITHOUT_EFFECT and not key.startswith("_")}
    return [_effective(item) for item in value] if isinstance(value, list | tuple) else value


def configuration(model: HookedModel) -> dict[str, Any]:
    """Return what a bridge computes after (the wrapped model's configuration), or a `HookedTransformer` (its own)."""
    wrapped = getattr(model, "original_model", None)
    effective: dict[str, Any] = _effective((model.cfg if wrapped is None else wrapped.config).to_dict())
    return effective


def model_key(model: HookedModel) -> str:
    """Return the SHA-256 (16 hexadecimal digits) over weights, configuration and tokenizer: the key of results of the model.

    Of the tokenizer count its rules, template and special tokens; not how it padded or cut off the last batch.
    """
    tokenizer, text_rules = model.tokenizer, None
    if tokenizer is not None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        rules = tokenizer.get_vocab() if backend is None else json.loads(backend.to_str()) | _BATCH
        text_rules = [rules, tokenizer.chat_template, tokenizer.special_tokens_map]
    settings = json.dumps([configuration(model), text_rules], sort_keys=True, default=str)
    return hashlib.sha256(f"{model_hash(model)} {settings}".encode()).hexdigest()[:16]
