"""The cheap parts of benchmarks/faults.py, small: stopped runs, full disks, two processes, changed files, interrupts."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "faults.py"
PARTS = ["kills", "disk", "processes", "readers", "contexts"]
SMALL = ("--kills", "2", "--demo-kills", "0", "--disks", "2", "--pairs", "1", "--inputs", "40", "--interrupts", "4")


@pytest.mark.skipif(not SCRIPT.is_file() or sys.platform != "linux", reason="forks, limits and file systems as Linux has them")
def test_no_part_counts_a_failure() -> None:
    """In a process of its own: a fork of one with threads would hang."""
    done = subprocess.run([sys.executable, str(SCRIPT), *PARTS, *SMALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split(":")[0] for line in lines] == PARTS
    assert all(line.endswith("failures 0") for line in lines), done.stdout
