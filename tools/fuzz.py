"""Gives readers and pages many broken inputs, and says what they did with them.

    python tools/fuzz.py --inputs 100000               all targets of tests/fuzz_targets.py, by their shares
    python tools/fuzz.py --inputs 20000 --target mask  one of them
    python tools/fuzz.py --again out/fuzz/mask-1f2e…   one input again, with its traceback

With atheris (pip install atheris), inputs are kept and changed further where they reach code that none before reached; without
it, or with --blind, each is a good file that was changed in one to five places. A finding is saved below --out, the smallest
input of each place; the exit status is 1 where there is one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
MEMORY = 4 << 30
"""Bytes that a process may have beyond what it has after its imports: an input must not ask for more."""
SLOWEST = 60
"""Seconds after which atheris ends a process."""


@dataclass
class Tally:
    """What became of a target's inputs.

    Attributes:
        seconds: of processor time.
        findings: by place, what was found, and the file that holds the smallest input.
    """

    told: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    findings: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Campaign:
    """One target's inputs, one after the other."""

    name: str
    out: Path
    folder: Path
    tally: Tally = field(default_factory=Tally)

    def give(self, data: bytes) -> None:
        """Tries an input, counts it, and saves it where it found something new or is smaller than what did."""
        from fuzz_checks import Finding, tried
        from fuzz_targets import TARGETS

        began = time.process_time()
        try:
            self.tally.told[tried(TARGETS[self.name], data, self.folder)] += 1
        except Finding as finding:
            self.tally.told["finding"] += 1
            self._keep(data, finding.place, str(finding).replace(str(self.folder), "…"))
        self.tally.seconds += time.process_time() - began

    def _keep(self, data: bytes, place: str, what: str) -> None:
        path = self.out / f"{self.name.replace(' ', '-')}-{sha256(place.encode()).hexdigest()[:12]}"
        known = self.tally.findings.get(place)
        if known is None or path.stat().st_size > len(data):
            path.write_bytes(data)
            self.tally.findings[place] = (what, str(path))


def shares(names: list[str], inputs: int) -> dict[str, int]:
    """How many inputs each target gets: at least one."""
    from fuzz_targets import TARGETS

    whole = sum(TARGETS[name].share for name in names)
    return {name: max(1, round(inputs * TARGETS[name].share / whole)) for name in names}


def blind(campaign: Campaign, inputs: int, seed: int) -> Tally:
    """Good files, and then ones that were changed."""
    from fuzz_mutations import mutated
    from fuzz_targets import TARGETS

    random, good = Random(f"{seed}/{campaign.name}"), TARGETS[campaign.name].seeds()
    for at in range(inputs):
        campaign.give(good[at] if at < len(good) else mutated(random, random.choice(good), good))
    return campaign.tally


def guided(campaign: Campaign, inputs: int, seed: int) -> None:
    """Under atheris, which ends the process: the tally is written when the last input was given."""
    import atheris

    with atheris.instrument_imports(include=["harmcircuits"]):
        import fuzz_targets
    from fuzz_mutations import LONGEST, mutated

    good = fuzz_targets.TARGETS[campaign.name].seeds()
    corpus = campaign.folder / "corpus"
    corpus.mkdir()
    for at, data in enumerate(good):
        (corpus / str(at)).write_bytes(data)

    def give(data: bytes) -> None:
        campaign.give(data)
        if campaign.tally.told.total() == inputs:
            (campaign.out / f"{campaign.name}.tally").write_text(json.dumps(vars(campaign.tally)), "utf-8")

    def change(data: bytes, longest: int, draw: int) -> bytes:
        random = Random(draw)
        return atheris.Mutate(data, longest) if random.random() < 0.2 else mutated(random, data, good)[:longest]

    limit_memory()
    warnings.simplefilter("ignore")
    sizes = [f"-runs={inputs}", f"-seed={seed + 1}", f"-max_len={LONGEST}", f"-timeout={SLOWEST}", "-rss_limit_mb=0"]
    quiet = ["-verbosity=0", f"-artifact_prefix={campaign.out / campaign.name.replace(' ', '-')}-"]
    atheris.Setup([sys.argv[0], *sizes, *quiet, str(corpus)], give, custom_mutator=change)
    atheris.Fuzz()


def in_a_process(name: str, inputs: int, seed: int, out: Path) -> Tally:
    """A target's campaign under atheris, in a process of its own, for the process ends with it."""
    tally = out / f"{name}.tally"
    tally.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--target", name, "--inputs", str(inputs), "--seed", str(seed), "--out", str(out)]
    done = subprocess.run([*command, "--guided"], stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if not tally.exists():
        what = f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
        return Tally(Counter(finding=1), 0.0, {"the process": (what, str(out))})
    found = json.loads(tally.read_text("utf-8"))
    tally.unlink()
    return Tally(Counter(found["told"]), found["seconds"], found["findings"])


def limit_memory() -> None:
    """An input that asks for more gets a MemoryError, which is a finding. On Linux alone."""
    try:
        import resource
    except ImportError:
        return
    statm = Path("/proc/self/statm")
    if statm.exists():
        now = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


def in_memory() -> tempfile.TemporaryDirectory[str]:
    """A folder for inputs, in memory where there is one: every saved file is flushed to its disk."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def campaigns(options: argparse.Namespace) -> bool:
    """Runs them all, with a line each; whether something was found."""
    from fuzz_targets import TARGETS

    with_atheris = find_spec("atheris") is not None and not options.blind
    warnings.simplefilter("ignore")
    if not with_atheris:  # else its processes limit themselves
        limit_memory()
    say(f"{'guided by coverage (atheris)' if with_atheris else 'blind mutations'}, seed {options.seed}")
    say(f"{'target':22} {'inputs':>8} {'read':>8} {'refused':>8} {'seconds':>8} {'findings':>9}")
    total, places = Tally(), 0
    for name, inputs in shares(options.target or list(TARGETS), options.inputs).items():
        if with_atheris:
            tally = in_a_process(name, inputs, options.seed, options.out)
        else:
            with in_memory() as folder:
                tally = blind(Campaign(name, options.out, Path(folder)), inputs, options.seed)
        say(row(name, tally, len(tally.findings)))
        for what, path in tally.findings.values():
            say(f"    {what}\n    {path}")
        total.told, total.seconds, places = total.told + tally.told, total.seconds + tally.seconds, places + len(tally.findings)
    say(row("all", total, places))
    return places > 0


def row(name: str, tally: Tally, places: int) -> str:
    told = tally.told
    return f"{name:22} {told.total():8,} {told['read']:8,} {told['refused']:8,} {tally.seconds:8.1f} {places:9}"


def again(path: Path) -> None:
    """One saved input; raises what it found."""
    from fuzz_checks import tried
    from fuzz_targets import TARGETS

    name = next(name for name in TARGETS if path.name.startswith(f"{name.replace(' ', '-')}-"))
    with in_memory() as folder:
        say(f"{name}: {tried(TARGETS[name], path.read_bytes(), Path(folder))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--target", action="append", help="one of them; may be given again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--again", type=Path, help="a saved input")
    parser.add_argument("--guided", action="store_true", help=argparse.SUPPRESS)  # one target in a process of its own
    options = parser.parse_args()
    if options.again:
        again(options.again)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if options.guided:
        with in_memory() as folder:
            guided(Campaign(options.target[0], options.out, Path(folder)), options.inputs, options.seed)
        return
    sys.exit(campaigns(options))


if __name__ == "__main__":
    main()
