"""Full, read-only and forbidden disks: nothing half-written is left, and errors name place, cause and cure."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
import torch
from folders import names
from safetensors.torch import save_file

from harmcircuits import store


def raiser(number):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "no space is left"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")],
)
def test_a_failing_disk_is_explained_and_leaves_nothing(tmp_path, monkeypatch, number, reason):
    store.write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", raiser(number))
    with pytest.raises(store.StoreError) as caught:
        store.write_text(tmp_path / "a", "new")
    message = str(caught.value)
    assert reason in message and errno.errorcode[number] in message and str(tmp_path / "a") in message
    assert "bytes are free in" in message and "half-written" in message
    assert ("Free some space" in message) == (number == errno.ENOSPC)
    with pytest.raises(store.StoreError, match=reason), store.atomic_folder(tmp_path / "b") as temporary:
        (temporary / "x").write_text("half")
    assert names(tmp_path) == {"a"} and (tmp_path / "a").read_text() == "old"


def test_only_files_in_the_cache_are_told_to_move_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", raiser(errno.ENOSPC))
    with pytest.raises(store.StoreError, match=r"choose another place \(HARMCIRCUITS_CACHE moves the cache\)\."):
        store.write_text(store.cache_dir() / "deep" / "a", "new")
    with pytest.raises(store.StoreError, match=r"choose another folder\.") as caught:
        store.write_text(tmp_path / "out" / "a", "new")
    assert "HARMCIRCUITS_CACHE" not in str(caught.value)


def no_folders_below(place: Path, monkeypatch):
    """As in /proc, where the system makes no folders and says that they are missing."""
    make = Path.mkdir

    def mkdir(self, *arguments, **options):
        if self.is_relative_to(place):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return make(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)


def test_a_place_that_takes_no_folders(tmp_path, monkeypatch):
    no_folders_below(tmp_path / "proc", monkeypatch)
    with pytest.raises(store.StoreError, match=r"no folder can be made there.*Choose another folder\.") as caught:
        store.write_text(tmp_path / "proc" / "nope" / "a", "text")
    assert "free" not in str(caught.value), "the bytes that are free are beside the point"
    monkeypatch.setenv("HARMCIRCUITS_CACHE", str(tmp_path / "proc" / "nope"))
    with pytest.raises(store.StoreError, match=r"no folder can be made there.*HARMCIRCUITS_CACHE moves the cache"):
        store.cache_dir()


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(store.StoreError, match="a name in the path is too long"):
        store.write_text(tmp_path / ("x" * 300) / "a", "text")


def test_free_space_beside_a_folder_that_nobody_may_look_into(tmp_path, monkeypatch):
    look = Path.is_dir

    def is_dir(self, **options):
        if self.is_relative_to(tmp_path / "closed"):
            raise PermissionError(errno.EACCES, "denied", str(self))
        return look(self, **options)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    message = rf"permission denied.*bytes are free in {tmp_path}\."
    with pytest.raises(store.StoreError, match=message), store.storage_errors(tmp_path / "closed" / "a"):
        raise PermissionError(errno.EACCES, "denied", str(tmp_path / "closed"))


def test_other_errors_pass_unchanged(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", raiser(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        store.write_text(tmp_path / "a", "new")
    with pytest.raises(PermissionError), store.atomic_file(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "denied", "/elsewhere/entirely")  # about another file: not our disk
    assert names(tmp_path) == set()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system needs the right to do so")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_really_is_full(small_disk):
    store.write_text(small_disk / "a", "old")
    with pytest.raises(store.StoreError, match=r"no space is left.*bytes are free in .*small"):
        store.write_text(small_disk / "a", "x" * 100_000)
    with (
        pytest.raises(store.StoreError, match="no space is left"),
        store.atomic_file(small_disk / "t.safetensors") as t,
    ):
        save_file({"w": torch.zeros(50_000)}, t)  # safetensors tells the cause in its text alone
    with pytest.raises(store.StoreError, match="no space is left"), store.atomic_folder(small_disk / "b") as temporary:
        (temporary / "x").write_bytes(bytes(100_000))
    assert names(small_disk) == {"a"} and (small_disk / "a").read_text() == "old"
