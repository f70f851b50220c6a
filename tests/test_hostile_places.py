"""Something else where a file of ours should be: pipes, links in a circle, a folder for a file and a file for a folder."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
import torch
from shell import call, dissociate, told, write

from harmcircuits import Circuit, WeightMask, cli, store
from harmcircuits.components import MaskError
from harmcircuits.experiments.folder import read_items, read_outcomes
from harmcircuits.experiments.kept import WRITTEN, Kept
from harmcircuits.judges import JudgeError
from harmcircuits.judges.named import named_judge
from harmcircuits.store import files
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
    "outcomes": (read_outcomes, store.StoreError),
    "items": (read_items, store.StoreError),
    "prompt of a judge": (lambda path: named_judge("grades:x", prompt=path), JudgeError),
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
    with pytest.raises(store.StoreError, match=r"links lead round in a circle \(ELOOP\)"), store.held(tmp_path):
        pytest.fail("the lock was taken")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("dissociate", name) for name in ("report.json", "report.html", "outcomes.csv", "items.csv")),
        *((name, f"{name}.json") for name in ("compactness", "generality", "distinct", "paper")),
        *((name, f"{name}.html") for name in ("compactness", "misalignment")),
        *((name, f"{name}_curves.html") for name in ("misalignment", "compactness", "distinct")),
        ("paper", "distinct.json"),
    ],
)
def test_a_folder_in_the_place_of_a_result_is_told_before_the_run(
    command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.shared, "load", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "o" / name).mkdir(parents=True)
    told(call(command, "--prompts", write(tmp_path / "p.csv"), "--out", tmp_path / "o"), f"{name}: cannot be written", "EISDIR")


def test_a_path_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    told(call("report", tmp_path / ("x" * 300)), "report.json: cannot be read (File name too long)")


def test_a_figure_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "picture.html").mkdir()
    with pytest.raises(store.StoreError, match=r"picture\.html: cannot be written: a folder is in the place of a file"):
        cli.shared.draw(go.Figure(), tmp_path / "picture.html")


def test_old_leftovers_that_cannot_be_removed_stop_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cache that somebody else fills, or where a name leads to itself."""
    whose, link, mine = (tmp_path / f".{name}.json.0123abcd.partial.json" for name in ("whose", "link", "mine"))
    for path in (whose, mine):
        path.write_text("half")
        os.utime(path, (0, 0))
    link.symlink_to(link.name)
    os.utime(link, (0, 0), follow_symlinks=False)
    remove = files._remove

    def refuse(path: Path) -> None:
        if path == whose:
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    monkeypatch.setattr(files, "_remove", refuse)
    store.remove_old_leftovers_in(tmp_path)
    assert list(tmp_path.iterdir()) == [whose]


def test_the_age_of_a_leftover_is_by_the_clock_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's clock may be days from this machine's: what is being written there is new by its own."""
    half, behind = tmp_path / ".x.json.0123abcd.partial.json", time.time() - 5 * store.DAY
    half.write_text("half")
    os.utime(half, (behind, behind))
    touch = Path.touch

    def by_the_server(path: Path) -> None:
        touch(path)
        os.utime(path, (behind + 60, behind + 60))

    monkeypatch.setattr(Path, "touch", by_the_server)
    store.remove_old_leftovers_in(tmp_path)
    assert half.exists()


def test_what_a_killed_run_left_of_what_was_written_goes_after_a_day(tiny: Any, tmp_path: Path) -> None:
    half = store.cache_dir() / WRITTEN / ".x.json.0123abcd.partial.json"
    half.parent.mkdir(parents=True)
    half.write_text("half")
    os.utime(half, (0, 0))
    Kept.at(tiny, tmp_path, {})
    assert not half.exists()


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
