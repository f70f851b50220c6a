"""The cache folder, stable digests, and JSON whose errors name file, line and cure."""

import json
from dataclasses import dataclass

import pytest
import torch
from folders import names
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_cache_folder_where_a_file_lies(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    for place in (tmp_path / "taken", tmp_path / "taken" / "below"):
        monkeypatch.setenv("HARMCIRCUITS_CACHE", str(place))
        with pytest.raises(store.StoreError, match=r"taken.*cannot be written"):
            store.cache_dir()


# digests


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


# JSON


def test_json_keeps_order_and_values(tmp_path):
    value = {"z": [1, 0.1, None, True], "a": {"é": "−"}}
    store.write_json(tmp_path / "a.json", value)
    assert store.read_json(tmp_path / "a.json") == value
    assert list(store.read_json(tmp_path / "a.json")) == ["z", "a"]
    assert "−" in (tmp_path / "a.json").read_text(encoding="utf-8")


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
