"""A command that is interrupted while it still imports what it needs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STOPS = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(30)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("command", ["dissociate", "compactness", "paper", "report x"])
def test_it_stops_in_a_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "plotly.py").write_text(STOPS)  # what every command imports in the end
    (tmp_path / "torch.py").write_text(STOPS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    made = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests' own parent has it ignored
    command_line = [sys.executable, "-m", "harmcircuits", *command.split()]
    done = subprocess.run(
        command_line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, preexec_fn=made, check=False
    )
    assert done.returncode == 130 and done.stderr.startswith("stopped: ") and done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"plotly.py", "torch.py", "__pycache__"}
