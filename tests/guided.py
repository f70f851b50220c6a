"""Guides and example scripts as a reader would run them, with tiny models in the place of those that would be loaded."""

from pathlib import Path
from typing import Any

import pytest
from shell import small
from tiny import tiny_model_folder

import harmcircuits as hc


def make_folders(place: Path, **sizes: int) -> Path:
    """The folders that guides name, with tiny models; "base" is also what is loaded in the place of any other name."""
    for name, seed in (("base", 0), ("tuned", 2), ("folder", 3)):
        tiny_model_folder(place / name, seed=seed, max_position_embeddings=2048, **sizes)
    return place


def load_tiny_models(patch: pytest.MonkeyPatch, base: Path) -> None:
    """What is given or lies in a folder is loaded as it is, any other name is `base`; and runs are small."""
    load = hc.load_model

    def load_tiny(name: Any = "", **given: Any) -> Any:
        return load(name if given.get("hf_model") is not None or Path(name or " ").is_dir() else base, **given)

    patch.setattr(hc, "load_model", load_tiny)
    small(patch)
