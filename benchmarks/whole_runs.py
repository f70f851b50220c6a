"""Is `harmcircuits plan` right about whole commands? Quick runs of the default model, beside what is planned of them.

    OMP_NUM_THREADS=1 python benchmarks/whole_runs.py --only dissociate recognition distinct --out out/whole-runs.json
    OMP_NUM_THREADS=1 python benchmarks/whole_runs.py --out out/all-whole-runs.json

Each command runs in a process of its own. It is planned at rates that this one measures right before and right after it
(their means), since a busy machine is slower at both. Its time is that of its processors, its memory its largest resident size
(wait4); the clock's seconds stand beside them. Nothing is in the cache but the model. Not on Windows.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

import harmcircuits as hc
from examples import fresh_place, keep_rows
from harmcircuits.capacity.rates import measured

RUNS: Sequence[Mapping[str, Sequence[str]]] = (
    {"dissociate": ["--out", "run"]},
    {"recognition": ["--out", "run"]},
    *({claim: ["--out", "run"]} for claim in ("distinct", "compactness", "generality", "dissociated")),
)
"""Commands that run one after another in one place, with their arguments but --quick."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="COMMAND", help="places that have one of these commands")
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked = parser.parse_args()
    hc.load_model()  # fetched and converted before anything is timed
    rows = []
    for place in RUNS:
        if not asked.only or set(asked.only) & set(place):
            with fresh_place() as (folder, environment):
                for command, arguments in place.items():
                    rows.append(beside_plan(command, arguments, folder, environment))
                    print(rows[-1], flush=True)
                    keep_rows(asked.out, rows)  # each run is long: what is done is kept if a later one fails


def beside_plan(command: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """One row: what is planned of a quick run of `command`, and what it took."""
    before = rates()
    start = time.perf_counter()
    seconds, peak = ran([command, *arguments, "--quick"], folder, environment)
    taken = time.perf_counter() - start
    flops, bandwidth = (fmean(two) for two in zip(before, rates(), strict=True))
    found = hc.plan(commands=[command], device="cpu", quick=True, flops=flops, bandwidth=bandwidth)
    return {
        "command": command,
        "GFLOP/s": flops / 1e9,
        "GB/s": bandwidth / 1e9,
        "GFLOP/s before": before[0] / 1e9,
        "planned_seconds": found.total(command),
        "cpu_seconds": seconds,
        "seconds": taken,
        "planned / measured": found.total(command) / seconds,
        "planned_bytes": float(1e9 * found.memory()["peak GB"].max()),
        "bytes": peak,
    }


def rates() -> tuple[float, float]:
    """FLOPs and bytes a second of this process."""
    device = measured(torch.device("cpu"), torch.float32, clock=time.process_time)
    return device.flops, device.bandwidth


def ran(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[float, int]:
    """Processor seconds and largest resident bytes of a command.

    Raises:
        SystemExit: it failed; its own message stands above.
    """
    whole = [sys.executable, "-m", "harmcircuits", *arguments]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(whole, cwd=folder, env=dict(environment), stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
    if status:
        print((folder / "log").read_text("utf-8", "replace")[-2000:], file=sys.stderr)
        raise SystemExit(f"{shlex.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss


if __name__ == "__main__":
    main()
