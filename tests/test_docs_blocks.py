"""What README and the pages print runs as it is printed: every Python block, page by page, with tiny random models.

The blocks of a page are run one after the other, as a reader would. A page that links to *Step by step* in Quickstart goes on
from what that block leaves, all but the import of the package; every other page begins with nothing. What is not run is in
`NOT_RUN`, with the reason.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guided import load_tiny_models, make_folders, small_sizes
from pages import DOCS, FILES, Block, blocks, shown, text_of

import harmcircuits as hc

START = DOCS / "quickstart.md"
STEPS = "quickstart.md#step-by-step"
NOT_RUN = {
    ("docs/judges.md", "qwen3guard"): "models of others, which a hub has",
    ("docs/prompts.md", 'load_prompts("xstest")'): "files of others, which a network has",
    ("docs/models.md", 'device_map="balanced"'): "a model of 70B parameters, and several GPUs",
}
"""A page, and what one of its blocks alone has in it: why this block is compiled and its names are checked, and no more."""
WITH_PYTHON = [page for page in FILES if blocks(page, "python")]
CLAIMS = DOCS / "claims.md"
"""Its models are smaller."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models large enough for 8 heads and 138 neurons to be left after protection."""
    sizes = {"n_layers": 2, "n_heads": 48, "n_kv": 8, "d_model": 96, "d_mlp": 512}
    return make_folders(tmp_path_factory.mktemp("pages") / "path" / "to", **sizes)


@pytest.fixture(scope="module")
def small_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folders(tmp_path_factory.mktemp("claims") / "path" / "to")


def here(place: Path, cwd: Path, patch: pytest.MonkeyPatch) -> None:
    """In a folder in which `path/to` holds what pages name, with tiny models and small sizes."""
    patch.chdir(cwd)
    (cwd / "path").symlink_to(place.parent, target_is_directory=True)
    load_tiny_models(patch, place / "base")
    small_sizes(patch)


def run(page: Path, names: dict[str, Any]) -> str:
    """Every block that is not in `NOT_RUN`; what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in blocks(page, "python"):
            if not reason(block):
                exec(block.code(), names)
    return printed.getvalue()


def reason(block: Block) -> str:
    """Why it is not run; empty where it is."""
    return next((why for (page, part), why in NOT_RUN.items() if page == shown(block.page) and part in block.text), "")


@pytest.fixture(scope="module")
def steps(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What *Step by step* leaves."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        here(place, tmp_path_factory.mktemp("steps"), patch)
        assert re.fullmatch(r"(.+: L rises by [+-]\d+\.\d{3} nats per token\n){2}", run(START, names))
    yield names


@pytest.mark.parametrize("page", [page for page in WITH_PYTHON if page not in (START, CLAIMS)], ids=shown)
def test_the_blocks_of_a_page_run(
    page: Path, place: Path, steps: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(place, tmp_path, monkeypatch)
    run(page, {name: value for name, value in steps.items() if name != "hc"} if STEPS in text_of(page) else {})


def test_the_blocks_of_the_claims_run(small_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of *Step by step* they take the model alone."""
    here(small_place, tmp_path, monkeypatch)
    run(CLAIMS, {"model": hc.load_model()})
