"""A page opened in headless chromium, where there is one."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHROMIUM = shutil.which("/usr/bin/chromium") or shutil.which("chromium")
QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"

in_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium at /usr/bin/chromium or on PATH"),
]


def load(text: str, folder: Path, *, width: int = 500, done: Callable[[str], bool] = bool) -> tuple[str, str]:
    """The DOM after a browser has run the page `text`, and what the browser logged.

    Args:
        folder: where the page lies, and the browser keeps its profile.
        done: whether a DOM is that of a page that is ready. On a busy machine chromium may find its time over before a large
            script has run, so a page that is not ready is given more; at last it is returned as it is.
    """
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    for budget in (8000, 16000, 32000, 64000):
        command = [str(CHROMIUM), "--headless", "--no-sandbox", *QUIET.split(), f"--user-data-dir={folder / 'profile'}",
                   "--enable-logging=stderr", "--v=0", f"--virtual-time-budget={budget}", f"--window-size={width},900",
                   "--dump-dom", path.as_uri()]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=600, check=True)
        if done(ran.stdout):
            break
    return ran.stdout, ran.stderr
