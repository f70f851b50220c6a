"""Two commands in one folder: the second is told so, and writes nothing."""

from pathlib import Path

import pytest

from harmcircuits import store
from harmcircuits.cli.shared import writable


def test_a_second_command_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "new" / "run"
    with writable(out):
        before = sorted(tmp_path.rglob("*"))
        with (
            pytest.raises(store.StoreError, match=r"run: another process has held the lock .*run\.lock\. Wait until"),
            writable(out),
        ):
            pytest.fail("it was let in")
        assert sorted(tmp_path.rglob("*")) == before
        with writable(tmp_path / "other"):
            pass
    with writable(out):
        pass


def test_a_command_that_fails_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writable(tmp_path / "new" / "run"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="later"), writable(tmp_path / "new" / "run"):
        (tmp_path / "new" / "run" / "journal").mkdir()
        raise ValueError("later")
    assert {path.name for path in (tmp_path / "new" / "run").iterdir()} == {"journal"}
