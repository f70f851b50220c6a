"""A page, parsed, and opened in headless chromium, where there is one."""

import html.parser
import re
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


class Page(html.parser.HTMLParser):
    """A page as elements with their attributes and text."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag == name]

    def words(self, *, inside: str = "body") -> str:
        parts = [text for path, text in self.texts if inside in path and not {"script", "style"} & set(path)]
        return re.sub(r"\s+", " ", "".join(parts))

    def scripts(self) -> list[str]:
        return [text for path, text in self.texts if path[-1:] == ("script",)]
