"""Names that mean more than a name."""

import json
from pathlib import Path

import pytest

from harmcircuits import store
from harmcircuits.components import Circuit
from harmcircuits.experiments.folder import save_circuits
from harmcircuits.models.adapters import base_of

# Names


def test_names_never_leave_their_folder(tmp_path: Path) -> None:
    names = ["../../up", "/etc/passwd", "a/b", "..", "CON", "a\0b", "x" * 3, "=1+1", "\u202egnp.exe", "heads"]
    files = save_circuits(tmp_path / "deep" / "circuits", {name: Circuit(heads=[(0, 0)]) for name in names}, {})
    assert len(set(files.values())) == len(names), "no two in one"
    assert {path.name for path in (tmp_path / "deep" / "circuits").iterdir()} == set(files.values())
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


@pytest.mark.parametrize("base", ["../../elsewhere", "/etc", "somebody/a-model", "~"])
def test_what_an_adapter_is_of_is_a_model_to_load_and_no_place_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setattr("harmcircuits.models.adapters._peft", lambda folder: None)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    assert base_of(tmp_path) == base, "as it stands, unless a model's folder is there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_a_name_in_another_encoding_is_written_and_read(tmp_path: Path) -> None:
    """A folder's name on Linux is bytes: those that are no UTF-8 reach us as halves of character pairs."""
    name = b"mod\xe8le".decode("utf-8", "surrogateescape")
    store.write_json(tmp_path / "r.json", {"model": name, "note": "dänce 😀"})
    assert store.read_json(tmp_path / "r.json") == {"model": name, "note": "dänce 😀"}
    store.write_text(tmp_path / "r.html", f"<p>{name}</p>")
    assert (tmp_path / "r.html").read_text("utf-8") == "<p>mod\\udce8le</p>"
