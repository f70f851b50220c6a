"""`load_model`: from an alias, a hub id, a folder, an adapter folder, a GGUF file or a transformers model to hook points."""

import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from .. import store
from ..errors import HarmcircuitsError, one_line
from .packaged import ALIASES, DEFAULT, dequantised_folder, from_pretrained, load_errors, packaged_gguf
from .protocol import WORKING_MODELS

ADAPTER_CONFIG, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MOST_LAYERS = 10_000  # a damaged configuration that names more would keep transformers busy for ever
_ACCEPTED = (
    f"load_model takes an alias ({', '.join(ALIASES)}), a hub id (such as HuggingFaceTB/SmolLM2-135M-Instruct), a transformers "
    "folder, an adapter folder of peft, a .gguf file or a transformers model. A TransformerBridge goes to functions as it is."
)


def load_model(
    name: str | os.PathLike[str] | PreTrainedModel = DEFAULT,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    hf_model: Any = None,
    tokenizer: Any = None,
    hooked: bool = False,
) -> Any:
    """Load a language model with hook points: in evaluation mode, parameters frozen, its tokenizer with a padding token.

    The weights are as they were trained: nothing is folded or centred. Code from a hub is never run.

        model = load_model()
        model = load_model(AutoModelForCausalLM.from_pretrained("my-model"))
        logits, cache = model.run_with_cache("The capital of France is", names_filter="blocks.0.attn.hook_z")

    Args:
        name: an alias (a key of `ALIASES`; its package is fetched on first use, and its weights are rounded to 4 bits), a
            transformers folder, an adapter folder of peft (merged into its base), a `.gguf` file, or a hub id; or a loaded
            transformers model. With `hf_model`, only the name it goes by.
        device: by default CUDA where there is one, else the CPU; of an `hf_model`, where it is.
        dtype: of the weights; an `hf_model` keeps its own.
        revision: branch, tag or commit; for hub ids alone.
        hf_model: a loaded transformers model to wrap under another name. A bridge changes it in place.
        tokenizer: instead of the model's own (of a loaded one, that where it was loaded from, if anywhere). A copy is used.
        hooked: an unprocessed `HookedTransformer` with the same weights (TransformerLens 3 only).

    Returns:
        A `transformer_lens.model_bridge.TransformerBridge`, or with `hooked` a `HookedTransformer`.

    Raises:
        HarmcircuitsError: the model cannot be found, fetched or converted, is of a kind that cannot be studied here (a mixture
            of experts, a state space, an encoder), or this machine lacks the device; options that contradict each other.
    """
    if isinstance(name, PreTrainedModel):
        path, hf_model = str(name.name_or_path or type(name).__name__), name
        name = Path(path).name if Path(path).is_dir() else path
    elif not isinstance(name, str | os.PathLike):
        raise HarmcircuitsError(f"a {type(name).__name__} is no model to load. {_ACCEPTED}")
    if hooked and version("transformer-lens").startswith("4."):
        raise HarmcircuitsError(
            "hooked=True needs HookedTransformer, which TransformerLens 4 removed. Install 'transformer-lens>=3.9,<4' "
            "in an environment of its own, or leave out hooked=True to get a TransformerBridge."
        )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    device = device or (default if hf_model is None else hf_model.device)
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # PyTorch raises each of them for one device or another
        cure = "leave device= out (CUDA where there is one, else the CPU)"
        raise HarmcircuitsError(f"the device {str(device)!r} cannot be used here ({one_line(error)}): {cure}.") from error
    target = torch.device(device)
    name = place = os.fspath(name)
    if hf_model is not None:
        if revision is not None or not (tokenizer or hf_model.name_or_path):
            raise HarmcircuitsError(
                f"{name!r} needs tokenizer=, the one it was trained with, and takes no revision=: it is loaded."
            )
        _check_kind(hf_model.config, name, experts_allowed=True)
        if tokenizer is None:
            with load_errors(f"the tokenizer of {hf_model.name_or_path}"):
                tokenizer = AutoTokenizer.from_pretrained(hf_model.name_or_path, trust_remote_code=False)
    elif (adapter := Path(name).expanduser() / ADAPTER_CONFIG).is_file():
        name, _ = _locate(str(adapter.parent), revision)
        hf_model, merged_tokenizer = _load_adapter(adapter.parent, dtype)
        tokenizer = tokenizer or merged_tokenizer
    else:
        name, place = _locate(name, revision)
        hf_model = _load_transformers(name, place, dtype=dtype, revision=revision)
    hf_model.config.architectures = hf_model.config.architectures or [type(hf_model).__name__]  # by this it is recognised
    with load_errors(place), _tokenizer_copy(tokenizer) as words:
        if hooked:
            words = words or AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
            model = _hooked_transformer(hf_model, words, name=name, device=target)
        else:
            if getattr(hf_model, "hf_device_map", None) is None:
                hf_model.to(target)
            hf_model.set_attn_implementation("eager")  # others don't show the pattern
            options = {"tokenizer": words, "revision": revision, "device": target, "dtype": hf_model.dtype}
            model = TransformerBridge.boot_transformers(place, hf_model=hf_model, **options)
    model.cfg.model_name = name
    if model.tokenizer.pad_token_id is None:
        if model.tokenizer.eos_token_id is None:
            raise HarmcircuitsError(
                f"{name!r}: its tokenizer has neither a padding nor an end token. Set one, and pass tokenizer=."
            )
        model.tokenizer.pad_token = model.tokenizer.eos_token
    return model.eval().requires_grad_(False)


def _locate(name: str, revision: str | None) -> tuple[str, str]:
    """The model's name, and its folder (that of an alias or a GGUF file too) or hub id."""
    path = Path(name).expanduser()
    if name in ALIASES:
        spec = ALIASES[name]
        located = name, str(dequantised_folder(name, spec.gguf_sha256, lambda: packaged_gguf(spec)))
    elif path.is_file():
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise HarmcircuitsError(f"{path}: not a GGUF file (it does not begin with the letters GGUF). {_ACCEPTED}")
        located = path.name, str(dequantised_folder(path.stem, store.file_digest(path), lambda: path))
    elif path.is_dir():
        located = path.name, str(path)
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith(".") or name.endswith(".gguf"):
        raise HarmcircuitsError(f"{name!r}: there is no such file or folder. {_ACCEPTED}")
    else:
        return name, name
    if revision is not None:
        raise HarmcircuitsError(
            f"revision={revision!r} is for hub ids, and {name!r} is an alias or a local path: leave it out."
        )
    return located


def _load_transformers(name: str, place: str, *, dtype: torch.dtype, revision: str | None = None) -> Any:
    """The transformers model of a folder or a hub id, once its configuration is checked."""
    with load_errors(place):
        config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
        _check_kind(config, place if Path(place).name == name else name)  # of a folder, where it is
        return from_pretrained(AutoModelForCausalLM, place, dtype=dtype, revision=revision)


def _check_kind(config: Any, name: str, *, experts_allowed: bool = False) -> None:
    """Raise HarmcircuitsError unless the configuration is of a dense, causal, decoder-only transformer with softmax attention.

    Heads of a mixture of experts can be read: `experts_allowed` where the caller has loaded it.
    """
    text = config.get_text_config(decoder=True)
    has = lambda *fields: any(getattr(text, field, None) for field in fields)
    layers = [str(kind) for field in ("layer_types", "layers_block_type") for kind in getattr(text, field, None) or ()]
    counts = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    experts = [getattr(text, field, None) or 0 for field in counts]
    dense = any(getattr(text, switch, None) is False for switch in ("is_moe", "enable_moe_block"))
    problems = {
        "an encoder-decoder": config.is_encoder_decoder or text.is_encoder_decoder,
        "a state-space or recurrent model": has("state_size", "mamba_d_state", "lru_width")
        or text.model_type in ("rwkv", "xlstm")
        or any(kind.startswith(("linear_attention", "conv", "mamba", "recurrent", "hybrid")) for kind in layers),
        "a mixture of experts": max(experts) > 1 and not dense and not experts_allowed,
        f"a model of more than {_MOST_LAYERS:,} layers": (getattr(text, "num_hidden_layers", None) or 0) > _MOST_LAYERS,
        "an encoder": config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False),
    }
    for kind, applies in problems.items():
        if applies:
            raise HarmcircuitsError(f"{name!r} is {kind} ({config.model_type}). {WORKING_MODELS}")


def _load_adapter(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The transformers model of an adapter folder, merged into its base (W + alpha / rank · B A), and its tokenizer."""
    try:
        peft: Any = import_module("peft")
    except ImportError as error:
        raise HarmcircuitsError(
            f"{folder} is an adapter, which needs peft ({error}): pip install 'harmcircuits[finetune]'"
        ) from error
    if dtype != torch.float32:
        raise HarmcircuitsError(
            f"{folder}: most of an adapter would be rounded away in {dtype}: load it with dtype=torch.float32."
        )
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        raise HarmcircuitsError(f"{folder} is an adapter without {_ADAPTER_WEIGHTS}; weights in pickles are not loaded.")
    with load_errors(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about names that peft still uses of transformers
        config = peft.PeftConfig.from_pretrained(folder)
        base = str(config.base_model_name_or_path or "")
        if config.is_prompt_learning or not base:  # a learnt prompt may name a file, a pickle even, to start from
            raise HarmcircuitsError(
                f"{folder}: the adapter changes no weights (LoRA works), or names no base_model_name_or_path."
            )
        beside = folder / base
        name, place = _locate(str(beside.resolve()) if (beside / "config.json").is_file() else base, None)
        adapted = peft.PeftModel.from_pretrained(_load_transformers(name, place, dtype=dtype), folder)
        words = folder if (folder / "tokenizer_config.json").is_file() else place
        return adapted.merge_and_unload(), AutoTokenizer.from_pretrained(words, trust_remote_code=False)


@torch.no_grad()
def _hooked_transformer(hf_model: Any, tokenizer: Any, *, name: str, device: torch.device) -> Any:
    """TransformerLens 3's conversion from the configuration alone, accepted where it gives the logits of `hf_model`."""
    from transformer_lens import HookedTransformer
    from transformer_lens import loading_from_pretrained as loading

    with tempfile.TemporaryDirectory(prefix="config-") as folder:  # a path, by which no model is recognised by its name
        hf_model.config.save_pretrained(folder)
        options = {"hf_cfg": hf_model.config.to_dict(), "device": str(device), "dtype": hf_model.dtype}
        cfg = loading.get_pretrained_model_config(folder, **options)
        weights = loading.get_pretrained_state_dict(folder, cfg, hf_model, dtype=hf_model.dtype)
    model = HookedTransformer(cfg, tokenizer)
    processing = "fold_ln center_writing_weights center_unembed fold_value_biases refactor_factored_attn_matrices"
    model.load_and_process_state_dict(weights, **dict.fromkeys(processing.split(), False))
    tokens = torch.arange(min(128, cfg.n_ctx))[None] % cfg.d_vocab
    expected = hf_model(tokens.to(hf_model.device)).logits
    difference = (model(tokens.to(device)).to(expected.device) - expected).float().norm() / expected.float().norm()
    if difference > (1e-3 if hf_model.dtype == torch.float32 else 0.1):  # 2 % is the rounding of bfloat16
        raise HarmcircuitsError(
            f"{name!r}: TransformerLens 3 converts this {hf_model.config.model_type} model to one with other logits. Leave out "
            "hooked=True to get a TransformerBridge."
        )
    model.generation_config = hf_model.generation_config  # its end-of-turn tokens (`protocol.end_ids`)
    return model


@contextmanager
def _tokenizer_copy(tokenizer: Any) -> Iterator[Any]:
    """A copy on disk while the model is made: TransformerLens reads a tokenizer anew, and would lose what was changed since."""
    if tokenizer is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        yield AutoTokenizer.from_pretrained(folder, padding_side=tokenizer.padding_side, trust_remote_code=False)
