"""What a run is asked, written down before it begins: two runs with equal manifests give equal numbers."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from .._version import __version__
from ..models.protocol import HookedModel, device_of, model_key
from ..prompts.promptset import PromptSet
from .settings import Settings

PACKAGES = ("torch", "transformers", "transformer_lens", "numpy", "scipy")


def manifest(
    model: HookedModel, prompts: Mapping[str, PromptSet | None], settings: Settings | None, **asked: object
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
