"""What all tests share: no hub, a cache of their own, two threads, repeatable examples, and models to test on."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here imports huggingface_hub earlier; nobody waits for a hub
torch.set_num_threads(min(2, torch.get_num_threads()))  # more only get in each other's way on tiny models
hypothesis.settings.register_profile("repeatable", database=None, deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

LENS = int(version("transformer-lens").split(".")[0])
"""The major version of the installed TransformerLens: 4, or 3, which has `HookedTransformer` too."""
KINDS = ["bridge", "hooked"] if LENS == 3 else ["bridge"]
needs_three = pytest.mark.skipif(LENS != 3, reason="HookedTransformer is in TransformerLens 3 only")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that takes a model or a class of models below is marked for it, and so is one of `HookedTransformer` alone."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if {"tiny", "smollm2", "hooked"} & set(fixtures) or needs_three.mark in item.iter_markers("skipif"):
            item.add_marker("model")
        if "smollm2" in fixtures:
            item.add_marker("real")


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty cache for each test; where the default model is needed, the user's models are in it."""
    from harmcircuits.store import CACHE_VARIABLE, cache_dir

    cache = tmp_path_factory.mktemp("cache")
    if request.node.get_closest_marker("real"):
        for name in ("models", "packages"):
            (cache_dir() / name).mkdir(exist_ok=True)
            (cache / name).symlink_to(cache_dir() / name, target_is_directory=True)
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    return cache


@pytest.fixture(scope="session", params=KINDS)
def hooked(request: pytest.FixtureRequest) -> bool:
    """Which class a model has: a bridge, and on TransformerLens 3 a `HookedTransformer` too."""
    return bool(request.param == "hooked")


@pytest.fixture(scope="session")
def smollm2(hooked: bool) -> Any:
    """The default model, of each class. Leave it as it is."""
    from harmcircuits.models.load import load_model

    return load_model(device="cpu", hooked=hooked)


@pytest.fixture(scope="session")
def tiny(hooked: bool, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny random Llama, likewise. Leave it as it is."""
    from tiny import tiny_bridge

    return tiny_bridge(tmp_path_factory.mktemp("tiny"), hooked=hooked)


@pytest.fixture
def examples(tiny: Any) -> Any:
    """Harmless prompts with answers of unequal lengths, for the tiny model."""
    from written import written

    return written(tiny.tokenizer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A transformers folder with a tiny random Llama, the test's own to change."""
    from tiny import tiny_model_folder

    return tiny_model_folder(tmp_path / "model")
