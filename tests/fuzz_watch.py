"""What a reader does besides reading: other files it opens, programs, connections, code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_OWN = tuple({sys.prefix, sys.base_prefix, str(Path(__file__).parents[1] / "harmcircuits"), "/sys/", "/proc/", "/usr/share/"})
"""Where libraries lie, which import and look up late, and what the system says of itself."""
EVALUATED = "eval or exec of text"
_NEVER = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.", "pickle.find_class", "urllib.")


class _Watch:
    """An audit hook, which Python never lets go: it looks away unless it is asked."""

    def __init__(self) -> None:
        self.touched: list[str] | None = None
        self.folder = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.touched is None:
            return
        if event == "open":
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else self.folder  # else open already
            if not path.startswith((self.folder, *_OWN)):
                self.touched.append(f"open {path!r}")
        elif event.startswith(_NEVER):
            self.touched.append(event)
        elif event == "compile" and arguments[0] is not None and arguments[1] == "<string>":
            self.touched.append(EVALUATED)


@cache
def _watch() -> _Watch:
    watch = _Watch()
    sys.addaudithook(watch)
    return watch


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """What is opened outside `folder`, run, sent or evaluated meanwhile, in this process. (Rust and C open files unseen.)"""
    watch = _watch()
    watch.touched, watch.folder = [], str(folder)
    try:
        yield watch.touched
    finally:
        watch.touched = None
