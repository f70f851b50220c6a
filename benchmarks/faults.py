"""Faults: what a run keeps when it is stopped, what changed files and hostile texts do, and what is equal wherever it runs.

    python benchmarks/faults.py                     every part; each prints what it counted, and `failures`, which should be 0
    python benchmarks/faults.py kills readers --inputs 2000 --out docs/results/faults.json

kills            SIGKILL and SIGINT at random moments of the shell's `dissociate` on a planted model, and of tools/demo.py:
                 given again, the command ends with the report.json of an unbroken run, byte for byte but for `seconds`.
disk             The same on a full disk (a tmpfs, as root) or under a limit on the size of files: an error in a line, and, once
                 there is room, that report.
processes        Two at once in one folder: one ends with that report, the other with an error in a line.
readers          Files changed at random (tests/changed.py): a result, or a HarmcircuitsError with the file and, where there are
                 lines, the line. Nothing else is raised, nothing is run, 4 GiB suffice, and none takes 20 seconds.
"""

import argparse
import json
import math
import mmap
import os
import random
import re
import resource
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

import pandas as pd
import torch
from transformers.utils.logging import disable_progress_bar

import harmcircuits as hc
from harmcircuits import cli, store
from harmcircuits.models.export import save_plain
from harmcircuits.store import write_json

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from changed import READERS, read_changed  # noqa: E402

Counts = dict[str, Any]
Options = argparse.Namespace
RUN = shlex.split(
    "dissociate --model ../model --prompts ../prompts.csv --out out --device cpu --components heads --head-fractions 0.1 "
    "--facts 0 --passages 0 --no-sampled --shots 0 --random-draws 1 --train-prompts 12 --development-prompts 6 "
    "--test-prompts 12 --written-prompts 2 --max-new-tokens 6 --written-tokens 4"
)
"""A run of the shell on a planted model, in seconds."""


def start(place: Path, *, log: Path | None = None, limit: int = resource.RLIM_INFINITY) -> int:
    """Begin `RUN` in `place`, in a fork of this process, which has imported everything: signals meet the run itself.

    Args:
        log: where its prints go; by default beside `place`.
        limit: the largest size of a file, in bytes.
    """
    place.mkdir(exist_ok=True)
    if pid := os.fork():
        return pid
    code = 70
    try:
        prints = os.open(log or place.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(prints, 1), os.dup2(prints, 2)
        os.chdir(place)
        os.environ[store.CACHE_VARIABLE] = str(place / "cache")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        sys.argv = ["harmcircuits", *RUN]
        cli.app(RUN)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 71
    except BaseException as error:
        os.write(2, f"Traceback: {type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """The exit code of a fork, once it has ended; of a signal, minus its number."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def report_of(folder: Path) -> str:
    """report.json but for its seconds; "" where there is none."""
    path = folder / "report.json"
    return re.sub(r'"seconds": [\d.]+', "", path.read_text("utf-8")) if path.is_file() else ""


def is_told(log: Path, words: str) -> bool:
    """Whether the log has one error, in a line and with these words, and no traceback."""
    text = log.read_text("utf-8", "replace")
    errors = re.findall("^error: .*", text, re.M)
    return len(errors) == 1 and words in errors[0] and "Traceback" not in text


def unbroken(folder: Path) -> tuple[str, float, int]:
    """Report, seconds and bytes of a run that nothing stops; its model and prompts are made first."""
    organism = hc.organisms.planted(0)
    save_plain(organism.model, folder / "model")
    pd.DataFrame(map(vars, organism.prompts)).to_csv(folder / "prompts.csv", index=False)
    begin = time.monotonic()
    code = ended(start(folder / "whole"))
    seconds, report = time.monotonic() - begin, report_of(folder / "whole" / "out")
    if code or not report:
        raise RuntimeError((folder / "whole.log").read_text("utf-8", "replace"))
    files = [path for name in ("out", "cache") for path in (folder / "whole" / name).rglob("*") if path.is_file()]
    return report, seconds, sum(path.stat().st_size for path in files)


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


PARTS: dict[str, Callable[[Options, Path], Counts]] = {
    "kills": kills,
    "disk": disk,
    "processes": processes,
    "readers": readers,
}
SIZES = {"kills": 60, "demo-kills": 6, "disks": 40, "pairs": 10, "inputs": 20_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="some of the parts; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=READERS, help="some of the readers")
    parser.add_argument("--out", type=Path, help="a JSON file; parts that it holds and that do not run now stay in it")
    for name, n in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=n, help=f"how many ({n})")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a fork of threads hangs
    disable_progress_bar()
    found = json.loads(options.out.read_text("utf-8")) if options.out and options.out.is_file() else {}
    for name in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = PARTS[name](options, Path(folder))
        print(f"{name}: {', '.join(f'{what} {value}' for what, value in found[name].items())}", flush=True)
        found[name]["command"] = shlex.join(["python", *sys.argv])
        if options.out:
            write_json(options.out, found)


if __name__ == "__main__":
    main()
