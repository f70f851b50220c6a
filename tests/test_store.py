"""The store: files whole or not at all, locks, digests, JSON, tensors, and parts of runs that are made once."""

import errno
import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from comparisons import names
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import tiny_bridge
from torch import Tensor

from harmcircuits import store
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.measure import Cache
from harmcircuits.models.model_key import model_key

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple[int, ...] = (1, 2)


# Files


def test_cache_folder_follows_the_variables_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HARMCIRCUITS_CACHE", str(tmp_path / "own"))
    assert store.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("HARMCIRCUITS_CACHE")
    assert store.cache_dir() == tmp_path / "xdg" / "harmcircuits"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    assert store.cache_dir() == tmp_path / "home" / ".cache" / "harmcircuits"
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("HARMCIRCUITS_CACHE", str(tmp_path / "taken"))
    with pytest.raises(HarmcircuitsError, match=r"taken.*cannot be written"):
        store.cache_dir()


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    store.write_text(path, "old")
    with store.atomic_file(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), store.atomic_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new" and names(path.parent) == {"a.txt"}


def test_a_folder_is_there_at_the_end_or_not_at_all_and_the_first_is_kept(tmp_path):
    with store.atomic_folder(tmp_path / "a") as mine:
        (mine / "x").write_text("second")
        with store.atomic_folder(tmp_path / "a") as other:
            (other / "x").write_text("first")
    with pytest.raises(KeyboardInterrupt), store.atomic_folder(tmp_path / "b"):
        raise KeyboardInterrupt
    assert (tmp_path / "a" / "x").read_text() == "first" and names(tmp_path) == {"a"}


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_have_the_mode_of_other_new_files_whatever_writes_them(tmp_path, umask, mode):
    earlier = os.umask(umask)
    try:
        with store.atomic_file(tmp_path / "scores.safetensors") as temporary:
            save_file({"weight": torch.zeros(2)}, temporary)
        store.write_text(tmp_path / "text", "words")
    finally:
        os.umask(earlier)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"scores.safetensors": mode, "text": mode}


def test_a_failing_disk_is_named_with_its_reason_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HarmcircuitsError, match=r"a: cannot be written .*No space left on device"):
        store.write_text(tmp_path / "a", "new")
    assert names(tmp_path) == {"a"} and (tmp_path / "a").read_text() == "old"


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
        with pytest.raises(HarmcircuitsError, match=r"thing: another process"), store.locked(path, timeout=0.1):
            pass
        holder.kill()
        with pytest.raises(ValueError, match="body"), store.locked(path, timeout=30):  # a killed holder leaves no lock behind
            raise ValueError("body")
        with store.locked(path, timeout=0):
            pass
    finally:
        holder.kill()
        holder.join()


# Digests and JSON


@given(PLAIN, PLAIN)
@settings(max_examples=50, deadline=None)
def test_digests_agree_exactly_where_the_json_does(a, b):
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (store.digest(a) == store.digest(b)) == same
    assert store.digest(json.loads(json.dumps(a))) == store.digest(a)
    assert store.digest([Point(0.5)]) == store.digest([{"y": [1, 2], "x": 0.5}]) != store.digest([Point(0.25)])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"a": [1.0, float("nan")]}, ValueError, "not JSON"),
        ([Point(float("inf"))], ValueError, "not JSON"),
        ({"a": torch.zeros(2)}, TypeError, "Tensor"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_not_written(value, error, message, tmp_path):
    with pytest.raises(error, match=message):
        store.digest(value)
    with pytest.raises(error, match=message):
        store.write_json(tmp_path / "report.json", value)
    assert names(tmp_path) == set()


def test_json_keeps_order_and_values_and_errors_name_the_file(tmp_path):
    value, path = {"z": [1, 0.1, None, True], "a": {"é": "−"}}, tmp_path / "a.json"
    store.write_json(path, value)
    assert store.read_json(path) == value and list(store.read_json(path)) == ["z", "a"]
    for content, message in (
        (b'{"a": 1,\n "b": }', r"a\.json: not JSON .*line 2"),
        (b"\xff\xfe", r"a\.json: not JSON"),
        (b"[" * 100_000, r"a\.json: not JSON"),
    ):
        path.write_bytes(content)
        with pytest.raises(HarmcircuitsError, match=message):
            store.read_json(path)
    with pytest.raises(HarmcircuitsError, match=r"b\.json: there is no such file"):
        store.read_json(tmp_path / "b.json")


# Tensors

TENSORS = {
    "a": torch.arange(12.0).reshape(3, 4).T,
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "at": torch.tensor(7, dtype=torch.int32),
    "none": torch.zeros(1, dtype=torch.float64).expand(0, 1),
    "one": torch.tensor(0.5).expand(1, 1),
}
KIND: dict[str, Any] = {"format": "kind 1", "what": "kind"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tensors") / "saved.safetensors"
    store.save_tensors(path, TENSORS, format="kind 1", about={"seed": 0})
    return path


def test_what_is_read_is_what_was_saved(saved: Path) -> None:
    with store.read_tensors(saved, **KIND) as (tensors, about):
        assert about == {"seed": 0} and tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


@given(place=st.integers(0, 12 * 4 + 2 * 2 + 4 + 4 - 1), other=st.integers(1, 255))
def test_any_byte_of_a_tensor_that_was_changed_is_told(tmp_path_factory: Any, saved: Path, place: int, other: int) -> None:
    whole = bytearray(saved.read_bytes())
    whole[-1 - place] ^= other
    path = tmp_path_factory.mktemp("changed") / "changed.safetensors"
    path.write_bytes(whole)
    changed = pytest.raises(HarmcircuitsError, match=r"changed\.safetensors: it was changed since it was saved\. Save the kind")
    with changed, store.read_tensors(path, **KIND):
        pass


@pytest.mark.parametrize("what", ["name", "shape", "type", "about", "left out"])
def test_what_an_editor_saves_again_is_told(tmp_path: Path, saved: Path, what: str) -> None:
    tensors = load_file(saved)
    with safe_open(saved, framework="pt") as file:
        metadata = dict(file.metadata())
    if what == "about":
        metadata["about"] = json.dumps({"seed": 1})
    elif what == "shape":
        tensors["a"] = tensors["a"].reshape(3, 4)
    elif what == "type":
        tensors["half"] = tensors["half"].view(torch.int16)
    else:
        none = tensors.pop("none")
        tensors |= {"b": none} if what == "name" else {}
    save_file(tensors, tmp_path / "again.safetensors", metadata=metadata)
    changed = pytest.raises(HarmcircuitsError, match="was changed since it was saved")
    with changed, store.read_tensors(tmp_path / "again.safetensors", **KIND):
        pass


@pytest.mark.parametrize("about", ["[" * 100_000, "{", "[]"], ids=["deep", "not JSON", "without a seed"])
def test_what_an_object_cannot_be_made_of_is_named_with_its_file(tmp_path: Path, about: str) -> None:
    metadata = {"format": "kind 1", "about": about, "digest": store._digest({}, about)}
    save_file({}, tmp_path / "odd.safetensors", metadata=metadata)
    refused = pytest.raises(HarmcircuitsError, match=r"cannot read .*odd\.safetensors: .*Save the kind again")
    with refused, store.read_tensors(tmp_path / "odd.safetensors", **KIND) as (_, read):
        read["seed"]


# Tables and parts of a run


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.integers(-(2**62), 2**62), st.text() | st.none())))
def test_a_table_comes_back_with_every_digit(rows: list[tuple[float, int, str | None]]) -> None:
    frame = pd.DataFrame(rows, columns=["p", "n", "rule"]).astype({"p": float, "n": "int64"})
    frame["p"] = frame["p"].where(frame["p"].abs() < float("inf"))
    again = store.as_frame(json.loads(json.dumps(store.as_plain(frame))))
    pd.testing.assert_frame_equal(again, store.as_frame(store.as_plain(again)), check_exact=True)
    pd.testing.assert_frame_equal(again[["p", "n"]], frame[["p", "n"]], check_exact=True)


def load(path: Path) -> float:
    with store.read_tensors(path, **KIND) as (tensors, _):
        return float(tensors["value"])


def save(value: float, path: Path) -> None:
    store.save_tensors(path, {"value": torch.tensor(value)}, format="kind 1", about=None)


def table(cache: Cache, key: int, value: float) -> float:
    return float(cache.frame("part", key, lambda: pd.DataFrame({"value": [value]}))["value"][0])


def tensor(cache: Cache, key: int, value: float) -> float:
    return cache.file("part", key, lambda: value, load=load, save=save)


@pytest.mark.parametrize("ask", [table, tensor])
def test_a_part_is_made_once_and_a_damaged_one_anew(ask: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache("model", tmp_path, tmp_path / "texts")
    assert [ask(cache, key, float(key)) for key in (0, 1)] == [0, 1] == [ask(cache, key, 9.0) for key in (0, 1)]
    assert ask(Cache("another", tmp_path, tmp_path), 0, 5.0) == 5 == ask(Cache(), 0, 5.0)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"value", b"other"))
    assert [ask(cache, key, 10.0 + key) for key in (0, 1)] == [10, 11] == [ask(cache, key, 9.0) for key in (0, 1)]
    assert caplog.text.count("is not used and made anew") == 2


@given(PLAIN)
def test_a_table_of_any_kind_or_of_another_part_is_made_anew(tmp_path_factory: Any, value: object) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = Cache("model", folder, folder / "texts")
    table(cache, 0, 0.0)
    (path,) = folder.iterdir()
    whole = path.read_text("utf-8")
    path.write_text(json.dumps(json.loads(whole) | {"table": value}), "utf-8")
    assert table(cache, 0, 1.0) == 1
    table(cache, 1, 2.0)
    (other,) = set(folder.iterdir()) - {path}
    other.write_text(whole, "utf-8")
    assert table(cache, 1, 3.0) == 3


# What the keys know


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return tiny_bridge(tmp_path / "model")


def test_the_key_knows_the_words_and_the_template_and_not_the_padding(model: Any) -> None:
    key = model_key(model)
    model.tokenizer(["a long text", "text"], padding=True, truncation=True, max_length=2)
    assert model_key(model) == key
    template = model.tokenizer.chat_template
    model.tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}!{% endfor %}"
    assert model_key(model) != key
    model.tokenizer.chat_template = template
    assert model_key(model) == key
    model.tokenizer.add_tokens(["neighbour"])
    assert model_key(model) != key


def test_under_hooks_nothing_is_kept(model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def halved(activation: Tensor, hook: Any) -> Tensor:
        return activation / 2

    assert Cache.at(model, tmp_path).numbers == tmp_path / "cache" and Cache.at(model, None) == Cache() and not caplog.text
    with model.hooks([("blocks.0.hook_mlp_out", halved)]):
        assert Cache.at(model, tmp_path) == Cache() == Cache.at(model, None)
    assert caplog.text.count("hooks are set on the model: nothing of this run is read from") == 1
    handle = model.blocks[0].register_forward_hook(lambda *arguments: None)
    assert Cache.at(model, tmp_path) == Cache(), "a hook of PyTorch's"
    handle.remove()
