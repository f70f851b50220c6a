"""Files of tensors: what is read is what was saved, and what an editor changed is told."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from harmcircuits.store import StoreError
from harmcircuits.store.tensors import read_tensors, save_tensors

TENSORS = {
    "a": torch.arange(12.0).reshape(3, 4).T,
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "at": torch.tensor(7, dtype=torch.int32),
    "none": torch.zeros(1, dtype=torch.float64).expand(0, 1),
    "one": torch.tensor(0.5).expand(1, 1),
}
KIND = {"format": "kind 1", "what": "kind"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tensors") / "saved.safetensors"
    save_tensors(path, TENSORS, format="kind 1", about={"seed": 0})
    return path


def header_of(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return load_file(path), dict(file.metadata())


def test_what_is_read_is_what_was_saved(saved: Path) -> None:
    tensors, about = read_tensors(saved, **KIND)
    assert about == {"seed": 0} and tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


@given(place=st.integers(0, 12 * 4 + 2 * 2 + 4 + 4 - 1), other=st.integers(1, 255))
def test_any_byte_of_a_tensor_that_was_changed_is_told(
    tmp_path_factory: pytest.TempPathFactory, saved: Path, place: int, other: int
) -> None:
    whole = bytearray(saved.read_bytes())
    whole[-1 - place] ^= other
    path = tmp_path_factory.mktemp("changed") / "changed.safetensors"
    path.write_bytes(whole)
    with pytest.raises(StoreError, match=r"changed\.safetensors was changed since it was saved\. Save the kind again"):
        read_tensors(path, **KIND)


@pytest.mark.parametrize("what", ["name", "shape", "type", "about", "left out"])
def test_what_an_editor_saves_again_is_told(tmp_path: Path, saved: Path, what: str) -> None:
    tensors, metadata = header_of(saved)
    if what == "name":
        tensors["b"] = tensors.pop("a")
    elif what == "shape":
        tensors["a"] = tensors["a"].reshape(3, 4)
    elif what == "type":
        tensors["half"] = tensors["half"].view(torch.int16)
    elif what == "about":
        metadata["about"] = json.dumps({"seed": 1})
    else:
        del tensors["none"]
    save_file(tensors, tmp_path / "again.safetensors", metadata=metadata)
    with pytest.raises(StoreError, match="was changed since it was saved"):
        read_tensors(tmp_path / "again.safetensors", **KIND)


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path, saved: Path) -> None:
    tensors, metadata = header_of(saved)
    del metadata["digest"]
    save_file(tensors, tmp_path / "earlier.safetensors", metadata=metadata)
    assert read_tensors(tmp_path / "earlier.safetensors", **KIND)[1] == {"seed": 0}
