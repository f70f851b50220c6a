"""Fetching a model's package with pip: once, checked by digest, leaving nothing behind, and what it says when it cannot."""

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from comparisons import TOKENS, close
from tiny import tiny_model, tiny_tokenizer
from tiny_gguf import write_gguf

from harmcircuits import store
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models import load, packaged
from harmcircuits.models.load import load_model
from harmcircuits.models.packaged import PackagedModel, packaged_gguf

CONTENT = b"GGUF" + bytes(range(256)) * 40


def make_wheel(folder: Path, *, content: bytes = CONTENT) -> None:
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_package-0.1-py3-none-any.whl"
    info = "tiny_package-0.1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_package/model.gguf", content)
        archive.writestr("tiny_package/__init__.py", "raise SystemExit('never run')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-package\nVersion: 0.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in a folder which is all that pip looks at, and which can be emptied."""
    make_wheel(tmp_path / "index")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return PackagedModel(
        package="tiny-package",
        version="0.1",
        member="tiny_package/model.gguf",
        gguf_sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def in_cache() -> set[str]:
    """Paths of the files in the cache, without the locks."""
    root = store.cache_dir()
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.suffix != ".lock" and path.is_file()}


def test_a_package_is_fetched_once_even_offline(package, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = packaged_gguf(package)
    assert path.read_bytes() == CONTENT
    assert in_cache() == {"packages/tiny-package-0.1/model.gguf"}
    monkeypatch.setattr(packaged, "_download", None)  # a second download would fail
    assert packaged_gguf(package) == path


def test_an_alias_goes_through_package_and_gguf(package, tmp_path, monkeypatch):
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model(), tiny_tokenizer())
    make_wheel(tmp_path / "index", content=file.read_bytes())
    spec = replace(package, gguf_sha256=store.file_digest(file))
    monkeypatch.setattr(load, "ALIASES", {"tiny": spec})
    model = load_model("tiny", device="cpu")
    assert model.cfg.model_name == "tiny" and close(model(TOKENS), tiny_model()(TOKENS).logits)
    monkeypatch.setattr(load, "packaged_gguf", None)  # not even looked for, once dequantised
    assert close(load_model("tiny", device="cpu")(TOKENS), model(TOKENS))


def test_a_file_with_another_digest_is_refused(package, tmp_path):
    make_wheel(tmp_path / "index", content=b"GGUF something else")
    with pytest.raises(HarmcircuitsError, match=rf"not the expected file .*, not {package.gguf_sha256}.*Try again"):
        packaged_gguf(package)
    assert in_cache() == set()
    make_wheel(tmp_path / "index")
    assert packaged_gguf(package)


def test_a_package_that_pip_does_not_find(package, tmp_path, monkeypatch):
    next((tmp_path / "index").glob("*.whl")).unlink()
    secret = "https://user:secret@mirror.example/simple"
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", secret)
    with pytest.raises(HarmcircuitsError) as caught:
        packaged_gguf(package)
    message = str(caught.value)
    assert "pip could not download tiny-package==0.1 (exit status 1)" in message and "No matching distribution" in message
    assert "unzip tiny_package/model.gguf from the wheel, and pass its path" in message and "secret" not in message
    assert in_cache() == set()
