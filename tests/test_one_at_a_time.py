"""Two runs in one folder: the second is told so, and writes nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from comparisons import names

import harmcircuits as hc
from harmcircuits import store
from harmcircuits.claims.run import Paper
from harmcircuits.errors import HarmcircuitsError

HELD = r"run: another process has held the lock .*run\.lock\. Wait until"
VERBS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (hc.dissociate, (None, None, None)),
    (hc.compactness, (None,)),
    (hc.generality, (None,)),
    (hc.distinct, (None,)),
    (hc.paper, (None,)),
    (hc.alignment, ({"a": None, "b": None},)),
    (hc.misalignment, (None,)),
]


def elsewhere(call: Callable[[], Any]) -> Any:
    """What `call` gives in another thread, which holds none of this one's locks."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def enter(out: Path) -> None:
    with store.held(out):
        pass


def test_a_second_command_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "new" / "run"
    with store.held(out):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(HarmcircuitsError, match=HELD):
            elsewhere(lambda: enter(out))
        assert sorted(tmp_path.rglob("*")) == before
        elsewhere(lambda: enter(tmp_path / "other"))
    elsewhere(lambda: enter(out))
    assert names(out) == set()


@pytest.mark.parametrize(("verb", "given"), VERBS, ids=[verb.__name__ for verb, _ in VERBS])
def test_a_second_call_from_python_is_refused_before_it_looks_at_anything(
    verb: Callable[..., Any], given: tuple[Any, ...], tmp_path: Path
) -> None:
    with store.held(tmp_path / "run"), pytest.raises(HarmcircuitsError, match=HELD):
        elsewhere(lambda: verb(*given, folder=tmp_path / "run"))


@pytest.mark.parametrize("result", [hc.Dissociation, hc.Finding, Paper])
def test_a_result_is_not_saved_into_a_folder_where_another_is_at_work(result: type[Any], tmp_path: Path) -> None:
    with store.locked(tmp_path / "run"), pytest.raises(HarmcircuitsError, match=HELD):
        elsewhere(lambda: result.save(MagicMock(results={}, claim="compactness"), tmp_path))


def test_a_call_inside_the_holder_of_the_folder_goes_on_and_leaves_it_held(tmp_path: Path) -> None:
    with store.held(tmp_path):
        with store.held(str(tmp_path)):
            pass
        with pytest.raises(HarmcircuitsError, match=HELD):
            elsewhere(lambda: enter(tmp_path))
    assert names(tmp_path) == set()
