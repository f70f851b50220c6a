"""Runs of the main job that are killed, interrupted, or left without space at random points, and started again until they end:
is what they end with what an unbroken run ends with?

    python benchmarks/faults.py --kills 50 --out docs/results/planted/faults.json
    python benchmarks/faults.py --demo --kills 5 --within 0.5 --out docs/results/smollm2-135m-instruct/faults.json

Without `--demo`, on a planted model; `--demo` is `make demo` on the default model. A process is stopped at a time drawn from 0
to `--within` of what the unbroken run took: with 1 a run is stopped once or twice, with 0.25 several times. Small disks are
made with tmpfs, which takes root; without it that part is left out, and says so.
"""

import argparse
import json
import multiprocessing
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from tqdm.auto import tqdm

from harmcircuits import Settings, store
from harmcircuits.cli import app
from harmcircuits.experiments.checks import ready_splits
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.organisms import planted

SIZES = Settings(
    attribution_triples=24, development_triples=8, test_triples=16, probe_triples=16, aim_triples=16, written_triples=4,
    bootstrap_draws=200, max_new_tokens=6, head_fraction=2 / 24, neuron_fraction=8 / 192, protect_heads=3 / 24,
    facts=4, passages=2, shots=4, shot_draws=1, many_shot_triples=4, null_draws=64, null_triples=8,
)  # fmt: skip
FULL = 28  # the exit status of a run that found no space


def run_planted(folder: Path) -> None:
    """The main job on a planted model, saved into `folder`."""
    own = planted(0)
    train, development, test = ready_splits(own.prompts, seed=0)
    splits = {"train": train, "development": development}
    dissociate(own.model, None, test, **splits, settings=SIZES, folder=folder, name="planted").save(folder)


def run_demo(folder: Path) -> None:
    """What `make demo` does, into `folder`. Raises KeyboardInterrupt where the command told its user that it was stopped."""
    if status := app(["dissociate", "--quick", "--out", str(folder)], standalone_mode=False):
        raise KeyboardInterrupt if status == 130 else RuntimeError(f"the demo ended with {status}")


def child(job: Callable[[Path], None], folder: Path, cache: Path) -> None:
    """One process of a run: quiet, with a cache of responses of its own; it ends with 130 when it is interrupted."""
    os.environ[store.CACHE_VARIABLE] = str(cache)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has background jobs ignore it
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1), os.dup2(nowhere, 2)
    try:
        job(folder)
    except KeyboardInterrupt:
        os._exit(130)
    except store.StoreError:
        os._exit(FULL)
    os._exit(0)


def started(job: Callable[[Path], None], folder: Path, cache: Path) -> Any:
    """A process that has everything imported, and nothing else."""
    process = multiprocessing.get_context("fork").Process(target=child, args=(job, folder, cache))
    process.start()
    return process


def outcome(folder: Path) -> dict[str, Any]:
    """What lies in the folder of a run, byte by byte, but for its kept parts, its page, and the seconds and the command in its
    report.json."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or "journal" in path.parts or path.name == "report.html":
            continue
        if path.suffix == ".safetensors":
            found[name] = {key: tensor.tolist() for key, tensor in sorted(load_file(path).items())}
        else:
            found[name] = path.read_bytes()
    report = store.read_json(folder / "report.json")
    same = {key: value for key, value in report.items() if key not in ("seconds", "reproduce")}
    found["report.json"] = json.dumps(same)  # as text: the order of keys, and 1 against 1.0
    return found


@dataclass
class Tally:
    """What was done to runs, and what became of them."""

    stopped: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    starts: int = 0
    identical: int = 0
    leftovers: int = 0


def broken(job: Callable[[Path], None], expected: dict[str, Any], seconds: float, draw: random.Random, tally: Tally) -> None:
    """One run, started until it ends, and stopped after a random time at each start."""
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place) / "out", Path(place) / "cache"
        folder.mkdir(), cache.mkdir()
        while True:
            how = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
            a_day_later(cache)
            process = started(job, folder, cache)
            tally.starts += 1
            process.join(draw.uniform(0, seconds))
            if process.is_alive():
                os.kill(process.pid, how)
                process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == (130 if how is signal.SIGINT else -how), f"a run ended with {process.exitcode} by itself"
            tally.stopped[how.name] += 1
        finish(folder, cache, expected, tally)


def without_space(job: Callable[[Path], None], expected: dict[str, Any], most: int, draw: random.Random, tally: Tally) -> None:
    """One run on a disk that is too small at first, and is made a little larger each time."""
    with tempfile.TemporaryDirectory() as place:
        disk, size = Path(place), draw.randrange(16_384, most)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
        folder, cache = disk / "out", disk / "cache"
        folder.mkdir(), cache.mkdir()
        try:
            while True:
                process = started(job, folder, cache)
                tally.starts += 1
                process.join()
                if process.exitcode == 0:
                    break
                assert process.exitcode == FULL, f"a run ended with {process.exitcode}, and not for want of space"
                tally.stopped["disk full"] += 1
                size += draw.randrange(16_384, most)
                subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
            finish(folder, cache, expected, tally)
        finally:
            subprocess.run(["umount", disk], check=True)


def finish(folder: Path, cache: Path, expected: dict[str, Any], tally: Tally) -> None:
    """Counts a run that has ended, and the half-written files that are left in its folder and its cache."""
    tally.runs += 1
    found = outcome(folder)
    tally.identical += found == expected
    if unlike := sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name)):
        tqdm.write(f"not as an unbroken run's: {', '.join(unlike)}")
    tally.leftovers += len([*half_written(folder), *half_written(cache)])


def half_written(place: Path) -> list[Path]:
    return [path for path in place.rglob(".*") if "partial" in path.name]


def a_day_later(cache: Path) -> None:
    """In the cache, where other processes may be writing, what a killed one left goes when it is a day old."""
    for path in half_written(cache):
        os.utime(path, (0, 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="go on until so many processes were stopped")
    parser.add_argument("--disks", type=int, default=5, help="runs on disks that are too small at first")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--within", type=float, default=1.0, help="of the unbroken run's time: the latest stop after a start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    job, draw = run_demo if options.demo else run_planted, random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "out"
        whole.mkdir()
        since = time.perf_counter()
        process = started(job, whole, Path(place) / "cache")
        process.join()
        assert process.exitcode == 0, "the unbroken run failed"
        seconds, expected = time.perf_counter() - since, outcome(whole)
        most = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    killed, full = Tally(), Tally()
    with tqdm(total=options.kills, desc="stops") as bar:
        while (stops := sum(killed.stopped.values())) < options.kills:
            broken(job, expected, options.within * seconds, draw, killed)
            bar.update(sum(killed.stopped.values()) - stops)
            bar.set_postfix(identical=f"{killed.identical}/{killed.runs}")
    for _ in range(options.disks if os.geteuid() == 0 and not options.demo else 0):
        without_space(job, expected, most // 2, draw, full)
    rows = []
    for what, tally in (("killed or interrupted", killed), ("disk full", full)):
        if tally.runs:
            rows.append({"what": what, **{name: getattr(tally, name) for name in ("runs", "starts", "identical", "leftovers")}})
            rows[-1]["stopped"] = dict(sorted(tally.stopped.items()))
            print(rows[-1])
    if not full.runs:
        print("no disk was filled: that takes root" if not options.demo else "no disk was filled in the demo")
    if options.out:
        command = shlex.join(["python", *sys.argv])
        store.write_json(options.out, {"command": command, "n": killed.runs + full.runs, "seed": options.seed, "rows": rows})
    sys.exit(any(row["identical"] < row["runs"] for row in rows))


if __name__ == "__main__":
    main()
