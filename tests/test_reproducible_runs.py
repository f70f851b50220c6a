"""The same question has the same answer: in another process to the byte, with other threads and batches within rounding.

Where numbers may differ: docs/trust.md, "Would the same run give the same numbers?".
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from inspect import isfunction, unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from shell import call, small, write
from test_resuming import files
from tiny import tiny_bridge, tiny_model_folder
from triples import RICH, SPLITS, TEST

from harmcircuits import store
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.result import Dissociation

READINGS, REPORT = 1e-4, 1e-3
"""How far readings of single examples may differ in float32 (nats, log-odds), and numbers of a report, where these are larger
than 1 by their own size: docs/trust.md has both."""
AGAIN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import pytest, torch
from shell import small
from harmcircuits import cli
torch.set_num_threads(1)
with pytest.MonkeyPatch.context() as patch:
    small(patch)
    cli.main()
"""
"""A process of its own with the small runs of `shell`."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


@contextmanager
def threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.model
def test_in_another_process_a_report_is_the_same_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the line that the report gives, elsewhere, with an empty cache and another order of sets and hashes."""
    small(monkeypatch)
    for working in ("one", "other"):
        tiny_model_folder(tmp_path / working / "my model")
        write(tmp_path / working / "prompts.csv")
        (tmp_path / working / "cache").mkdir()
    argv = ["dissociate", "--quick", "--model", "my model", "--prompts", "prompts.csv", "--out", "my run", "--crossed"]
    monkeypatch.setattr(sys, "argv", ["harmcircuits", *argv])
    monkeypatch.setenv(store.CACHE_VARIABLE, str(tmp_path / "one" / "cache"))
    monkeypatch.chdir(tmp_path / "one")
    result = call(*argv)
    assert result.exit_code == 0, result.output
    line = store.read_json(tmp_path / "one" / "my run" / "report.json")["reproduce"]
    again = line.replace("harmcircuits", f'{sys.executable} -c "$AGAIN" {Path(__file__).parent}', 1)
    own = {"AGAIN": AGAIN, store.CACHE_VARIABLE: str(tmp_path / "other" / "cache"), "PYTHONHASHSEED": "7"}
    done = subprocess.run(["sh", "-c", again], cwd=tmp_path / "other", env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, other = (files(tmp_path / working / "my run") for working in ("one", "other"))
    assert set(one) == set(other) and {"report.json", "outcomes.csv", "items.csv"} < set(one)
    assert [name for name in one if one[name] != other[name]] == []


# other threads, other batches


@contextmanager
def batches_of(n: int) -> Iterator[int]:
    """Every function of the package that reads or writes in batches does so `n` rows at a time; yields how many these are."""
    rooms = [module for name, module in sys.modules.items() if name.startswith("harmcircuits")]
    own = {unwrap(one) for room in rooms for one in vars(room).values() if isfunction(one)}
    batching = [one for one in own if "batch_size" in (one.__kwdefaults__ or {}) and one.__module__.startswith("harmcircuits")]
    with pytest.MonkeyPatch.context() as patch:
        for one in batching:
            patch.setitem(one.__kwdefaults__, "batch_size", n)
        yield len(batching)


@pytest.fixture(scope="module")
def model(hooked: bool, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Wide enough that a product of matrices is divided among threads."""
    sizes: dict[str, Any] = {"d_model": 128, "d_mlp": 512, "n_layers": 2, "initializer_range": 0.08}
    return tiny_bridge(tmp_path_factory.mktemp("model") / "wide", hooked=hooked, **sizes)


def run(model: Any, cache: Path) -> Dissociation:
    cache.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(cache))
        return dissociate(model, None, TEST, **SPLITS | {"settings": replace(RICH, max_new_tokens=8)}, crossed=True)


@pytest.fixture(scope="module")
def usual(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Dissociation:
    with threads(1):
        return run(model, tmp_path_factory.mktemp("usual") / "cache")


def same_but_for_rounding(one: Dissociation, other: Dissociation) -> bool:
    """Whether anything differs; all that is chosen or written is equal, and all numbers are within what is said above."""
    assert one.circuits == other.circuits and one.controls == other.controls
    pd.testing.assert_frame_equal(one.responses, other.responses, check_exact=True)
    readings = max(largest(one.outcomes, other.outcomes), largest(one.items, other.items))
    numbers = max(differences(one.report, other.report))
    assert readings < READINGS and numbers < REPORT
    return readings > 0


def largest(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Of the numbers of two frames whose other columns are equal."""
    numbers = list(one.select_dtypes("number"))
    pd.testing.assert_frame_equal(one.drop(columns=numbers), other.drop(columns=numbers), check_exact=True)
    left, right = (frame[numbers].to_numpy(float) for frame in (one, other))
    assert np.array_equal(np.isnan(left), np.isnan(right))
    return float(np.nanmax(np.abs(left - right), initial=0.0))


def differences(one: Any, other: Any, place: str = "report") -> Iterator[float]:
    """Of every number of two documents, which are equal otherwise; how long it took aside."""
    yield 0.0
    assert type(one) is type(other), place
    if isinstance(one, Mapping):
        assert one.keys() == other.keys(), place
        for key in one.keys() - {"seconds"}:
            yield from differences(one[key], other[key], f"{place}, {key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for at, (own, its) in enumerate(zip(one, other, strict=True)):
            yield from differences(own, its, f"{place}, {at}")
    elif isinstance(one, float):
        yield abs(one - other) / max(1.0, abs(one))
    else:
        assert one == other, place


def test_in_other_batches_everything_is_the_same_but_for_rounding(model: Any, usual: Dissociation, tmp_path: Path) -> None:
    with batches_of(3) as changed:
        assert changed >= 10
        assert same_but_for_rounding(usual, run(model, tmp_path / "cache")), "and so the batches were others"
