"""Nothing half-written is left, digests are stable, errors name file, cause and cure."""

import errno
import hashlib
import json
import multiprocessing
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from harmcircuits import store

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple[int, ...] = (1, 2)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# the cache folder


def test_cache_folder_follows_the_variables_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HARMCIRCUITS_CACHE", str(tmp_path / "own"))
    assert store.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("HARMCIRCUITS_CACHE")
    assert store.cache_dir() == tmp_path / "xdg" / "harmcircuits"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    assert store.cache_dir() == tmp_path / "home" / ".cache" / "harmcircuits"
    assert (tmp_path / "home" / ".cache" / "harmcircuits").is_dir()


def test_cache_folder_expands_the_home_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HARMCIRCUITS_CACHE", "~/models")
    assert store.cache_dir() == tmp_path / "models"


def test_cache_folder_where_a_file_lies(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    for place in (tmp_path / "taken", tmp_path / "taken" / "below"):
        monkeypatch.setenv("HARMCIRCUITS_CACHE", str(place))
        with pytest.raises(store.StoreError, match=r"taken.*a file is in the place of a folder.*HARMCIRCUITS_CACHE"):
            store.cache_dir()


# digests


def test_digest_is_sha256_of_canonical_json():
    assert store.digest({"b": [1, 2.5], "a": "é"}) == hashlib.sha256(rb'{"a":"\u00e9","b":[1,2.5]}').hexdigest()


@given(PLAIN, PLAIN)
@settings(max_examples=50, deadline=None)
def test_digests_agree_exactly_where_the_json_does(a, b):
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (store.digest(a) == store.digest(b)) == same
    assert store.digest(json.loads(json.dumps(a))) == store.digest(a)


def test_digest_of_dataclasses_and_tuples():
    assert store.digest([Point(0.5)]) == store.digest([{"y": [1, 2], "x": 0.5}])
    assert store.digest(Point(0.5)) != store.digest(Point(0.25))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"a": [1.0, float("nan")]}, ValueError, r"value\.a\[1\] is nan"),
        ([Point(float("inf"))], ValueError, r"value\[0\]\.x is inf"),
        ({"a": {1: 2}}, TypeError, r"value\.a has the key 1"),
        ({"a": torch.zeros(2)}, TypeError, r"value\.a is a Tensor"),
        ({1, 2}, TypeError, "value is a set"),
        (Point, TypeError, "value is a type"),
    ],
)
def test_digest_refuses_what_json_cannot_hold(value, error, message):
    with pytest.raises(error, match=message):
        store.digest(value)


def test_file_digest(tmp_path):
    content = bytes(range(256)) * 9000  # longer than one block
    (tmp_path / "a").write_bytes(content)
    assert store.file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(FileNotFoundError):
        store.file_digest(tmp_path / "b")


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


def test_atomic_file_that_nobody_wrote(tmp_path):
    with (
        pytest.raises(store.StoreError, match="a is unchanged: nothing was written"),
        store.atomic_file(tmp_path / "a"),
    ):
        pass
    assert names(tmp_path) == set()


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


def test_atomic_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(store.StoreError, match="a file is in the place"), store.atomic_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == {"a"}


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    kept = {"a[1].txt", ".a[1].txt.lock", ".ab.1234.partial.txt", "a"}
    for name in kept | {".a[1].txt.1234.partial.txt"}:
        (tmp_path / name).write_text("")
    (tmp_path / ".a.99.partial").mkdir()
    store.remove_leftovers(tmp_path / "a[1].txt")
    assert names(tmp_path) == kept | {".a.99.partial"}
    store.remove_leftovers(tmp_path / "a")
    assert names(tmp_path) == kept


def test_leftovers_have_the_names_that_are_looked_for(tmp_path):
    with (
        pytest.raises(store.StoreError, match="nothing was written"),
        store.atomic_file(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("half")
        store.remove_leftovers(tmp_path / "a.txt")
        assert not temporary.exists()


# full, read-only and forbidden disks


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


# JSON


def test_json_keeps_order_and_values(tmp_path):
    value = {"z": [1, 0.1, None, True], "a": {"é": "−"}}
    store.write_json(tmp_path / "a.json", value)
    assert store.read_json(tmp_path / "a.json") == value
    assert list(store.read_json(tmp_path / "a.json")) == ["z", "a"]
    assert "−" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_of_dataclasses(tmp_path):
    store.write_json(tmp_path / "a.json", {"p": Point(0.5)})
    assert store.read_json(tmp_path / "a.json") == {"p": {"x": 0.5, "y": [1, 2]}}


def test_json_refuses_nan_by_its_place_and_writes_nothing(tmp_path):
    value = {"conditions": [{"kl": 1.0}, {"kl": float("nan")}]}
    with pytest.raises(ValueError, match=r"report\.json\.conditions\[1\]\.kl is nan"):
        store.write_json(tmp_path / "report.json", value)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n "b": }', r"a\.json, line 2, column \d+: not JSON .*cut short"),
        (b"", r"a\.json, line 1"),
        (b'{"a": NaN}', r"a\.json: not JSON \(JSON has no NaN\)"),
        (b"\xff\xfe", r"a\.json: not JSON"),
    ],
)
def test_json_errors_name_file_line_and_cure(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(store.StoreError, match=message):
        store.read_json(tmp_path / "a.json")


def test_json_file_that_is_missing_or_a_folder(tmp_path):
    with pytest.raises(store.StoreError, match=r"a\.json: there is no such file"):
        store.read_json(tmp_path / "a.json")
    with pytest.raises(store.StoreError, match="cannot be read"):
        store.read_json(tmp_path)


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


# folders in the place of files


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "taken" / "mine").mkdir(parents=True)
    for write in (lambda path: store.write_text(path, "words"), store.check_no_folder):
        with pytest.raises(store.StoreError, match=r"taken: cannot be written: a folder is in the place of a file.*Remove"):
            write(tmp_path / "taken")
    assert names(tmp_path) == {"taken"} and names(tmp_path / "taken") == {"mine"}
    store.check_no_folder(tmp_path / "free")
