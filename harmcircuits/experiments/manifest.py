"""What a run is asked, written down before it begins: two runs with equal manifests give equal numbers."""

import logging
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from .._version import __version__
from ..data import PromptSet
from ..models.matrices import base_hash
from ..models.model_key import model_hash, model_key
from ..models.protocol import HookedModel, ModelError, device_of, geometry
from .settings import ClaimSettings

log = logging.getLogger(__name__)
PACKAGES = ("torch", "transformers", "transformer_lens", "numpy", "scipy")


def manifest(
    model: HookedModel, prompts: Mapping[str, PromptSet | None], settings: ClaimSettings | None, **asked: object
) -> dict[str, Any]:
    """All that the numbers of a run depend on, as plain values: what is asked, of which weights, by which versions.

    Args:
        prompts: by split.
        settings: of the main job and of claims; None: what is asked has none.
        asked: whatever else is asked of the run; plain values.
    """
    return {
        "model": {
            "key": model_key(model),
            "class": type(model).__name__,
            "dtype": str(next(iter(model.parameters())).dtype).removeprefix("torch."),
            "device": device_of(model).type,
        },
        "prompts": {split: None if part is None else part.digest for split, part in prompts.items()},
        **({} if settings is None else {"settings": settings.as_dict(), "seed": settings.seed}),
        **asked,
        "versions": {
            "harmcircuits": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
    }


def describe_model(model: HookedModel, name: str = "") -> dict[str, Any]:
    """Which model: its name, weights, class, type, device and shape."""
    shape = geometry(model)
    return {
        "name": name or str(getattr(model.cfg, "model_name", "") or "model"),
        "sha256": model_hash(model),
        "base": _base(model),
        "class": type(model).__name__,
        "dtype": str(next(iter(model.parameters())).dtype).removeprefix("torch."),
        "device": device_of(model).type,
        "n_layers": shape.n_layers,
        "n_heads": shape.n_heads,
        "d_mlp": shape.d_mlp,
    }


def _base(model: HookedModel) -> str | None:
    """The name of the weights in files of circuits; None where there are no matrices that a circuit could be written into."""
    try:
        return base_hash(model)
    except ModelError as error:
        log.info("circuits of this model cannot be pruned from a file: %s", error)
        return None
