"""Files and folders that are written whole or not at all, their locks and their modes."""

import errno
import multiprocessing
import os

import pytest
import torch
from folders import names
from safetensors.torch import save_file

from harmcircuits import store

# atomic files and folders


def test_atomic_file_replaces_only_at_the_end(tmp_path):
    path = tmp_path / "new" / "a.txt"
    store.write_text(path, "old")
    with store.atomic_file(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(path.parent) == {"a.txt"}


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_atomic_file_leaves_nothing_on_failure(tmp_path, raised):
    store.write_text(tmp_path / "a", "old")
    with pytest.raises(raised), store.atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise raised
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == {"a"}


def test_atomic_folder(tmp_path):
    with store.atomic_folder(tmp_path / "a") as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "x").write_text("1")
        assert names(tmp_path) == {temporary.name}
    assert (tmp_path / "a" / "sub" / "x").read_text() == "1" and names(tmp_path) == {"a"}


def test_atomic_folder_leaves_nothing_on_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt), store.atomic_folder(tmp_path / "a") as temporary:
        (temporary / "x").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == set()


def test_atomic_folder_keeps_the_one_that_was_there_first(tmp_path):
    with store.atomic_folder(tmp_path / "a") as mine:
        (mine / "x").write_text("second")
        with store.atomic_folder(tmp_path / "a") as other:
            (other / "x").write_text("first")
    assert (tmp_path / "a" / "x").read_text() == "first" and names(tmp_path) == {"a"}


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    kept = {"a[1].txt", ".a[1].txt.lock", ".ab.1234.partial.txt", "a"}
    for name in kept | {".a[1].txt.1234.partial.txt"}:
        (tmp_path / name).write_text("")
    (tmp_path / ".a.99.partial").mkdir()
    store.remove_leftovers(tmp_path / "a[1].txt")
    assert names(tmp_path) == kept | {".a.99.partial"}
    store.remove_leftovers(tmp_path / "a")
    assert names(tmp_path) == kept


# locks


def hold(path, ready, release):
    with store.locked(path):
        ready.set()
        release.wait(30)


def test_a_lock_keeps_other_processes_out_and_ends_with_its_holder(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    ready, release = context.Event(), context.Event()
    path = tmp_path / "new" / "thing"
    holder = context.Process(target=hold, args=(path, ready, release))
    holder.start()
    try:
        assert ready.wait(30)
        message = r"thing: another process .* more than 0\.1 s"
        with pytest.raises(store.StoreError, match=message), store.locked(path, timeout=0.1):
            pass
        holder.kill()
        with store.locked(path, timeout=30):  # a killed holder leaves no lock behind
            assert not path.exists()
    finally:
        holder.kill()
        holder.join()


def test_a_lock_is_released_when_its_body_fails(tmp_path):
    with pytest.raises(ValueError, match="body"), store.locked(tmp_path / "a"):
        raise ValueError("body")
    with store.locked(tmp_path / "a", timeout=0):
        pass


# who may read


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_have_the_mode_of_other_new_files_whatever_writes_them(tmp_path, umask, mode):
    earlier = os.umask(umask)
    try:
        with store.atomic_file(tmp_path / "scores.safetensors") as temporary:
            save_file({"weight": torch.zeros(2)}, temporary)
        store.write_text(tmp_path / "text", "words")
    finally:
        os.umask(earlier)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"scores.safetensors": mode, "text": mode}


# disks that fail


def test_a_failing_disk_is_named_with_its_reason_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(store.StoreError, match=r"a: cannot be written .*No space left on device"):
        store.write_text(tmp_path / "a", "new")
    with pytest.raises(store.StoreError, match="b: cannot be written"), store.atomic_folder(tmp_path / "b") as temporary:
        (temporary / "x").write_text("half")
    assert names(tmp_path) == {"a"} and (tmp_path / "a").read_text() == "old"
