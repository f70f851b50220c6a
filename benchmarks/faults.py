"""Faults: what a run keeps when it is stopped, what changed files and hostile texts do, and what is equal wherever it runs.

    python benchmarks/faults.py                     every part; each prints what it counted, and `failures`, which should be 0
    python benchmarks/faults.py kills readers --inputs 2000 --out docs/results/faults.json

kills            SIGKILL and SIGINT at random moments of the shell's `dissociate` on a planted model, and of tools/demo.py:
                 given again, the command ends with the report.json of an unbroken run, byte for byte but for `seconds`.
disk             The same on a full disk (a tmpfs, as root) or under a limit on the size of files: an error in a line, and, once
                 there is room, that report.
processes        Two at once in one folder: one ends with that report, the other with an error in a line.
readers          Files changed at random (tests/changed.py): a result, or a HarmcircuitsError with the file and, where there are
                 lines, the line. Nothing else is raised, nothing is run, 4 GiB suffice, and none computes for 20 seconds.
pages            Hostile text on a page, in chromium: counted tests.
contexts         Verbs interrupted at random moments, or by an error in a hook of the user's: parameters stay to the bit.
                 Counted beside: hooks that TransformerLens leaves where it is interrupted while it takes them away.
lines            Golden numbers on both lines of TransformerLens, in both classes: largest differences.
long_inputs, reproducibility    Counted tests.
"""

import argparse
import itertools
import json
import math
import mmap
import os
import random
import re
import shlex
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

import harmcircuits as hc
from harmcircuits import store
from harmcircuits.store import write_json

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from changed import READERS, read_changed  # noqa: E402
from stopped import ended, interrupted, is_told, report_of, start, unbroken  # noqa: E402

Counts = dict[str, Any]
Options = argparse.Namespace


def kills(options: Options, folder: Path) -> Counts:
    report, seconds, _ = unbroken(folder)
    draw, codes, entries, failures = random.Random(options.seed), Counter[str](), [], 0
    for index in range(options.kills):
        place = folder / f"{index}"
        pid = start(place)
        time.sleep(draw.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL if index % 2 else signal.SIGINT)
        codes[str(ended(pid))] += 1
        entries.append(len([*place.glob("out/cache/[!.]*")]))
        failures += ended(start(place)) != 0 or report_of(place / "out") != report
    counts = {"kills": options.kills, "exit_codes": dict(codes), "seconds_unbroken": round(seconds, 1)}
    counts |= {"entries_at_kill": [min(entries), statistics.median(entries), max(entries)]}
    failures += sum(n for code, n in codes.items() if code not in ("-9", "130", "0"))
    if options.demo_kills:
        demo = demo_kills(options, folder)
        failures += demo["failures"]
        counts |= {"demo": demo}
    return counts | {"failures": failures}


def demo_kills(options: Options, folder: Path) -> Counts:
    """The same of tools/demo.py, in processes of its own, with the default model in their caches."""

    def demo(name: str) -> "subprocess.Popen[bytes]":
        cache = folder / name / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        if not (cache / "models").exists():
            (cache / "models").symlink_to(store.cache_dir() / "models", target_is_directory=True)
        environment = os.environ | {store.CACHE_VARIABLE: str(cache), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(ROOT / "tools" / "demo.py"), "out"]
        return subprocess.Popen(command, cwd=folder / name, env=environment, stdout=-3, stderr=-3)

    hc.load_model()
    begin = time.monotonic()
    failures = int(demo("demo").wait() != 0)
    seconds, report = time.monotonic() - begin, report_of(folder / "demo" / "out")
    draw, codes = random.Random(options.seed), Counter[str]()
    for index in range(options.demo_kills):
        process = demo(f"demo{index}")
        time.sleep(draw.uniform(0, seconds))
        process.send_signal(signal.SIGKILL if index % 2 else signal.SIGINT)
        codes[str(process.wait())] += 1
        failures += demo(f"demo{index}").wait() != 0 or report_of(folder / f"demo{index}" / "out") != report or not report
    return {"kills": options.demo_kills, "exit_codes": dict(codes), "seconds_unbroken": round(seconds), "failures": failures}


def disk(options: Options, folder: Path) -> Counts:
    report, _, size = unbroken(folder)
    draw, counts, failures = random.Random(options.seed), Counter[str](), 0
    for index in range(options.disks):
        place, log = folder / f"{index}", folder / f"{index}.log"
        place.mkdir()
        room = round(math.exp(draw.uniform(math.log(8192), math.log(size))))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(place)]
        mounted = index % 2 == 0 and subprocess.run(mount, stderr=-3, check=False).returncode == 0
        code = ended(start(place) if mounted else start(place, limit=room // 64))
        counts[("full disk" if mounted else "limit on files") + (" met" if code else " not met")] += 1
        failures += code != 0 and not (code == 1 and is_told(log, "cannot be written"))
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        failures += ended(start(place)) != 0 or report_of(place / "out") != report
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)
    return {"runs": options.disks, **counts, "failures": failures}


def processes(options: Options, folder: Path) -> Counts:
    report, _, _ = unbroken(folder)
    failures = 0
    for index in range(options.pairs):
        place, logs = folder / f"{index}", [folder / f"{index}{name}.log" for name in "ab"]
        codes = [ended(pid) for pid in [start(place, log=log) for log in logs]]
        told = sorted(codes) == [0, 1] and is_told(logs[codes.index(1)], "another process")
        failures += not told or report_of(place / "out") != report
    return {"pairs": options.pairs, "failures": failures}


def readers(options: Options, folder: Path) -> Counts:
    found, failures = Counts(), 0
    for name in options.only or READERS:
        counts, faults, first = [0, 0], dict[str, str](), 0
        shared, out = mmap.mmap(-1, 24), folder / "faults.json"
        while first < options.inputs:  # again after an input that ends the process
            out.write_text("{}")
            if not (pid := os.fork()):
                try:
                    silent = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(silent, 1), os.dup2(silent, 2)
                    read_changed(name, folder / name, options.seed, range(first, options.inputs), shared, out)
                    os._exit(0)
                finally:
                    os._exit(1)
            code = ended(pid)
            last, *some = struct.unpack("3q", shared[:])
            counts, first = [sum(pair) for pair in zip(counts, some, strict=True)], last + 1
            faults |= json.loads(out.read_text("utf-8")) | ({str(last): f"the process ended with {code}"} if code else {})
            shutil.rmtree(folder / name)
        found[name] = {"read": counts[0], "refused": counts[1], "faults": len(faults)}
        failures += len(faults)
        print(f"  {name}: {found[name]}", *(f"    {at}: {what}" for at, what in [*faults.items()][:8]), sep="\n", flush=True)
    return {"inputs": options.inputs, **found, "failures": failures}


def contexts(options: Options, folder: Path) -> Counts:
    counts = interrupted(options.interrupts, options.seed)
    return {**counts, "failures": counts["other weights"]}


def tests(*names: str) -> Callable[[Options, Path], Counts]:
    """A part that counts tests, which say more."""

    def run(options: Options, folder: Path) -> Counts:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/test_{name}.py" for name in names)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        found = {
            what: int(n) for n, what in re.findall(r"(\d+) (passed|skipped|failed|errors?)\b", done.stdout.splitlines()[-1])
        }
        return found | {"failures": int(done.returncode != 0)}

    return run


def lines(options: Options, folder: Path) -> Counts:
    rows, failures = [], 0
    for python in (sys.executable, options.python3):
        code = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import faults; faults.golden_differences()"
        done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        failures += done.returncode != 0
        rows += json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else [{"error": done.stderr[-500:]}]
    for row in rows:
        print(f"  {', '.join(f'{name} {value}' for name, value in row.items())}")
        failures += not row.get("equal")
    return {"rows": rows, "failures": failures}


def golden_differences() -> None:
    """Print how far each class of models of this TransformerLens is from the golden numbers, which one line has written."""
    from conftest import KINDS, LENS
    from golden_numbers import MODELS, golden_numbers, read_golden
    from test_golden import TOLERANCE, leaves

    rows = []
    for name, kind in itertools.product(MODELS, KINDS):
        with tempfile.TemporaryDirectory() as folder:
            tensors, found = golden_numbers(name, Path(folder), hooked=kind == "hooked")
        golden, expected = read_golden(name)
        row: Counts = {"transformer_lens": LENS, "class": kind, "model": name}
        groups = {"losses": r"^loss", "scores": r"heads|neurons|rows|columns", "logits": "logits"}
        for group, pattern in groups.items():
            names = [key for key in tensors if re.search(pattern, key)]
            row[group] = max(float((tensors[key] - golden[key]).abs().max()) for key in names)
        estimates, wanted = leaves(found["estimates"]), leaves(expected["estimates"])
        row["effects"] = max(abs(value - wanted[key]) for key, value in estimates.items())
        same = {key: found[key] == expected[key] for key in ("circuit", "mask", "verdict")}
        row |= same | {"equal": all(same.values()) and max(row[key] for key in (*groups, "effects")) <= TOLERANCE[name]}
        rows.append(row)
    print(json.dumps(rows))


PARTS: dict[str, Callable[[Options, Path], Counts]] = {
    "kills": kills,
    "disk": disk,
    "processes": processes,
    "readers": readers,
    "pages": tests("hostile"),
    "contexts": contexts,
    "lines": lines,
    "long_inputs": tests("long_inputs"),
    "reproducibility": tests("reproducibility"),
}
SIZES = {"kills": 60, "demo-kills": 6, "disks": 40, "pairs": 10, "inputs": 20_000, "interrupts": 200}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="some of the parts; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=READERS, help="some of the readers")
    parser.add_argument("--out", type=Path, help="a JSON file; parts that it holds and that do not run now stay in it")
    parser.add_argument("--python3", default=str(ROOT / ".venv-tl3" / "bin" / "python"), help="with TransformerLens 3.9")
    for name, n in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=n, help=f"how many ({n})")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a fork of threads hangs
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    disable_progress_bar()
    found: Counts = {"command": "python benchmarks/faults.py"}  # of all parts; each has that of its own run
    found |= json.loads(options.out.read_text("utf-8")) if options.out and options.out.is_file() else {}
    for name in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = PARTS[name](options, Path(folder))
        print(f"{name}: {', '.join(f'{what} {value}' for what, value in found[name].items())}", flush=True)
        found[name]["command"] = shlex.join(["python", *sys.argv])
        if options.out:
            write_json(options.out, found)


if __name__ == "__main__":
    main()
