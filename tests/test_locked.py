"""`make LOCKED=yes` installs what a lock names, and stops with a cure where that cannot be had. Nothing is installed here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/sh
echo "$@" >>"{calls}"
case "$*" in *{refused}*) exit 1;; esac
"""
"""An interpreter that writes down how it was called, and fails if the call holds a word."""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def made(place: Path, *, refused: str = "nothing of this") -> tuple[int, str, list[str], list[str]]:
    """Exit status, errors, and the calls of pip and the like in the environments for TransformerLens 4 and 3.9."""
    fours, threes = place / "four", place / "three"
    for environment in (fours, threes):
        python = environment / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON.format(calls=environment / "calls", refused=f'"{refused}"'), "utf-8")
        python.chmod(0o755)
    wanted = [f"{environment}/.installed-dev" for environment in (fours, threes)]
    settings = [f"VENV={fours}", f"VENV3={threes}", "LOCKED=yes", "EDITABLE="]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # no options of an outer make
    done = subprocess.run(["make", *settings, *wanted], cwd=ROOT, env=outside, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr, *(_lines(environment / "calls") for environment in (fours, threes))


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []


def test_each_line_of_transformer_lens_is_installed_by_its_own_lock(tmp_path: Path) -> None:
    status, errors, fours, threes = made(tmp_path)
    assert status == 0, errors
    for calls, lock in ((fours, "requirements/ci.txt"), (threes, "requirements/ci-tl3.txt")):
        locked, torch, package, check = calls
        assert locked.endswith(f"--no-deps --require-hashes --requirement {lock}")
        assert torch.endswith(" torch") and package.endswith("--no-deps --no-build-isolation .") and check == "-m pip check"


@pytest.mark.parametrize(
    ("refused", "calls", "told"),
    [
        ("--require-hashes", 1, "What requirements/ci.txt names cannot be had, or is another file than was locked"),
        ("pip check", 4, "Error 1"),
    ],
)
def test_nothing_is_taken_in_the_place_of_what_is_locked(tmp_path: Path, refused: str, calls: int, told: str) -> None:
    status, errors, fours, threes = made(tmp_path, refused=refused)
    assert status != 0 and told in errors
    assert len(fours) == calls and not threes
    assert not (tmp_path / "four" / ".installed-dev").exists(), "a second call would take it for finished"
