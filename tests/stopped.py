"""Runs of the shell that can be stopped, in forks of this process, what they leave, and verbs that are interrupted."""

import itertools
import os
import random
import re
import resource
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

import harmcircuits as hc
from harmcircuits import cli, store
from harmcircuits.models.export import save_plain

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
    return re.sub(r'"seconds": [\d.]+', '"seconds": 0', path.read_text("utf-8")) if path.is_file() else ""


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


class Stopped(Exception):
    """What a hook of the user's raises."""


def interrupted(n: int, seed: int) -> Counter[str]:
    """Interrupt verbs of a planted model at random moments, `n` times each without and with hooks of the user's; half of
    the latter fail in such a hook instead. Count what ended them, and what they left."""
    organism = hc.organisms.planted(0)
    model, harmful, near, prompts = organism.model, organism.harmful[:4], organism.near[:4], organism.prompts.prompts[:4]
    circuit, mask, calls = organism.writing, hc.outgoing(model, organism.shared), [0]

    def mine(*_: object, **__: object) -> None:
        """A hook of the user's: the call that brings `calls` to 0 fails."""
        calls[0] -= 1
        if calls[0] == 0:
            raise Stopped

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def within(*parts: Any, **how: Any) -> None:
        with hc.ablated(model, parts, **how):
            hc.loss(model, harmful)

    def nested() -> None:
        with hc.ablated(model, mask), hc.ablated(model, circuit):
            within(mask, method="scale", alpha=0.5)

    verbs: dict[str, Callable[[], object]] = {
        "circuit": lambda: within(circuit),
        "mask": lambda: within(mask),
        "scaled": lambda: within(circuit, mask, method="scale", alpha=0.5),
        "mean": lambda: within(circuit, method="mean", reference=near),
        "nested": nested,
        "attribute": lambda: hc.attribute(model, harmful),
        "integrated": lambda: hc.attribute(model, harmful, method="integrated", steps=2),
        "exact": lambda: hc.attribute(model, harmful, method="exact", heads=[(0, 1), (1, 2)]),
        "attribute_weights": lambda: hc.attribute_weights(model, harmful, benign=near),
        "sweep": lambda: hc.sweep(model, [None, circuit, mask], harmful),
        "generate": lambda: hc.generate(model, prompts, mask, max_new_tokens=4),
        "elicit": lambda: hc.elicit(model, prompts, max_new_tokens=4, cache=False),
    }
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    hooks = lambda: [getattr(module, kind) for module in model.modules() for kind in kinds]
    weights = lambda: [bytes(store.bytes_of(parameter)) for parameter in model.parameters()]
    draw, counts, seconds, most = random.Random(seed), Counter[str](), 0.0, 0
    signal.signal(signal.SIGALRM, interrupt)
    for with_hooks, verb in itertools.product((False, True), verbs.values()):
        if with_hooks and not calls[0]:
            model.hook_dict["blocks.0.hook_mlp_out"].add_hook(mine)
            model.blocks[1].register_forward_hook(mine)
        before, hooks_before = weights(), [dict(each) for each in hooks()]
        for index in range(n + 2):  # the first two are not stopped: warm up, and count
            in_hook = with_hooks and index > 1 and index % 2 == 1
            calls[0] = draw.randint(1, most) if in_hook else 0
            begin, ending = time.monotonic(), "ended"
            try:
                try:
                    if index > 1 and not in_hook:
                        signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-5, seconds))
                    verb()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except (KeyboardInterrupt, Stopped) as error:
                ending = type(error).__name__
            if index < 2:
                seconds, most = time.monotonic() - begin, -calls[0]
            counts[ending] += 1
            counts["other weights"] += weights() != before
            counts["other hooks"] += hooks() != hooks_before
            for now, then in zip(hooks(), hooks_before, strict=True):
                now.clear()
                now.update(then)
    return counts
