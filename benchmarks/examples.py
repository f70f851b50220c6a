"""How long each example script takes, as a user would run it: one process each, on the default model.

    python benchmarks/examples.py --out docs/results/smollm2-135m-instruct/examples.json

Each script begins in an empty folder, with a cache that holds the model and no response, so that nothing is read again that
another has written. Seconds by the clock and of all its processors (getrusage of the process and its children; not on Windows).
What a script prints is not shown; of one that fails, the end of its error is.
"""

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import harmcircuits as hc
from harmcircuits.store import CACHE_VARIABLE, cache_dir, write_json

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="01", help="the numbers of scripts; all by default")
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked = parser.parse_args()
    hc.load_model()  # fetched and converted before anything is timed
    rows = []
    for script in SCRIPTS:
        if not asked.only or script.name[:2] in asked.only:
            rows.append(timed(script))
            print("{script:40} {seconds:7.1f} s {cpu_seconds:7.1f} s of processors, exit code {exit_code}".format(**rows[-1]))
    keep_rows(asked.out, rows)
    sys.exit(any(row["exit_code"] for row in rows))


def keep_rows(out: Path | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """What was measured on the default model, a row a run, as JSON, where a file was asked for."""
    if out is not None:
        settings = {"model": "smollm2-135m-instruct", "threads": torch.get_num_threads(), "torch": torch.__version__}
        write_json(out, {"command": shlex.join(["python", *sys.argv]), "n": len(rows), **settings, "rows": list(rows)})


def timed(script: Path) -> dict[str, Any]:
    """One row: seconds, processor seconds and exit code of `script`."""
    with fresh_place() as (folder, given):
        start, before = time.perf_counter(), processors()
        ran = subprocess.run([sys.executable, str(script)], cwd=folder, env=given, capture_output=True, text=True)
        taken = {"seconds": round(time.perf_counter() - start, 1), "cpu_seconds": round(processors() - before, 1)}
    if ran.returncode:
        print(ran.stderr[-2000:], file=sys.stderr)
    return {"script": script.relative_to(ROOT).as_posix(), **taken, "exit_code": ran.returncode}


@contextmanager
def fresh_place() -> Iterator[tuple[Path, dict[str, str]]]:
    """An empty folder to run in, and an environment whose cache holds the models and no response."""
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place, "cwd"), Path(place, "cache")
        for made in (folder, cache):
            made.mkdir()
        for name in ("models", "packages"):
            (cache / name).symlink_to(cache_dir() / name, target_is_directory=True)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        yield folder, os.environ | {CACHE_VARIABLE: str(cache), "PYTHONPATH": path}


def processors() -> float:
    """Seconds that all children together have used, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
