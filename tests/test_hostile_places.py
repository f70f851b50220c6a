"""Something else where a file of ours should be: pipes, links in a circle, a folder for a file and a file for a folder."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from shell import call, dissociate, told, write

from harmcircuits import Circuit, WeightMask, cli, store
from harmcircuits.components import MaskError
from harmcircuits.store.journal import Journal
from harmcircuits.store.tensors import read_about, read_tensors

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes that have a name")
READERS: dict[str, tuple[Callable[[Path], Any], type[Exception]]] = {
    "JSON": (store.read_json, store.StoreError),
    "circuit": (Circuit.load, store.StoreError),
    "mask": (WeightMask.load, MaskError),
    "tensors": (lambda path: read_tensors(path, format="any", what="scores"), store.StoreError),
    "notes of tensors": (read_about, store.StoreError),
    "digest": (store.file_digest, store.StoreError),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", READERS)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(what: str, tmp_path: Path) -> None:
    read, error = READERS[what]
    os.mkfifo(tmp_path / "own")
    with pytest.raises(error, match=r"own: a pipe or a device is in the place of a file\. Remove it"):
        read(tmp_path / "own")


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_kept_part_is_named_and_the_part_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, mask = Journal(tmp_path), WeightMask(indices={"a": torch.tensor([1])}, shapes={"a": (2, 2)})
    made: Callable[[], WeightMask] = lambda: mask
    options: dict[str, Any] = {"load": WeightMask.load, "save": lambda one, path: one.save(path)}
    journal.file("mask", "key", made, **options)
    kept = next(tmp_path.glob("*.safetensors"))
    kept.unlink()
    os.mkfifo(kept)
    assert journal.file("mask", "key", made, **options) == mask
    assert f"{kept} is not used and made anew" in caplog.text and kept.is_file()


def test_a_lock_that_is_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / ".run.lock").symlink_to(".run.lock")
    with pytest.raises(store.StoreError, match=r"links lead round in a circle \(ELOOP\)"), store.working_in(tmp_path):
        pytest.fail("the lock was taken")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("dissociate", name) for name in ("report.json", "report.html", "outcomes.csv", "items.csv")),
        *((name, f"{name}.json") for name in ("compactness", "rules", "generality", "distinct", "dissociated", "paper")),
        ("recognition", "readings.json"),
        ("misalignment", "misalignment.json"),
    ],
)
def test_a_folder_in_the_place_of_a_result_is_told_before_the_run(
    command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.shared, "load", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "o" / name).mkdir(parents=True)
    told(call(command, "--prompts", write(tmp_path / "p.csv"), "--out", tmp_path / "o"), f"{name}: cannot be written", "EISDIR")


@pytest.mark.parametrize("part", store.PARTS)
def test_a_file_in_the_place_of_a_folder_of_results_is_told_before_the_run(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.shared, "load", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / part).write_text("mine")
    told(
        dissociate(prompts=write(tmp_path / "p.csv"), out=tmp_path / "o"),
        f"{part}: cannot be written",
        "a file is in the place",
    )
    assert (tmp_path / "o" / part).read_text() == "mine"
