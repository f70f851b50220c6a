"""Asks every external link of README.md, CONTRIBUTING.md and docs/ whether it still leads somewhere.

    python tools/links.py

Needs a network, so CI does not run it: it fails where a link is broken, each with the page and line that has it. A server that
is asked too often or refuses programs (401, 403, 405, 429) is named, and no failure: a browser has to be asked.
"""

import re
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFUSED = (401, 403, 405, 429)
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)
_BEGIN = re.compile(r"https?://[^\s<>\"'`]+")
_TIMEOUT, _TRIES, _PAUSE = 20.0, 3, 2.0  # seconds, and how often
_AGENT = "Mozilla/5.0 (compatible; harmcircuits link check)"
Ask = Callable[[str, str], int]


def links(text: str) -> Iterator[tuple[int, str]]:
    """Every external address of a Markdown text and its line, in order; what stands in code is no link.

    >>> list(links("[a](https://x.org/y_(z)#part), and <http://b.org>.\\n`https://not.one`"))
    [(1, 'https://x.org/y_(z)'), (1, 'http://b.org')]
    """
    prose = _CODE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _BEGIN.finditer(prose):
        yield prose[: match.start()].count("\n") + 1, _trimmed(match[0]).partition("#")[0]


def _trimmed(address: str) -> str:
    """Without the bracket and the punctuation that end a sentence or a link around it."""
    depth = 0
    for at, letter in enumerate(address):
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return address[:at]
    return address.rstrip(".,;:!?]")


def places(files: Iterable[Path] = FILES) -> dict[str, list[str]]:
    """Where each address stands, as `docs/page.md:12`."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for line, address in links(file.read_text("utf-8")):
            found[address].append(f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}:{line}")
    return dict(found)


def ask(address: str, method: str) -> int:
    """The status that a server answers, redirects followed.

    Raises:
        OSError: there is no answer.
    """
    request = urllib.request.Request(address, method=method, headers={"User-Agent": _AGENT})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def answered(address: str, *, asking: Ask = ask, pause: float = _PAUSE) -> str:
    """Nothing where the address leads somewhere, and else why not.

    HEAD first; GET where a server does not like that. What may pass (no answer, 429, 5xx) is asked three times.
    """
    told = ""
    for again in range(_TRIES):
        time.sleep(pause * again)
        try:
            status = asking(address, "HEAD")
            if status >= 400:
                status = asking(address, "GET")
        except OSError as error:
            told = f"no answer: {error}"
            continue
        if status < 400:
            return ""
        told = f"refused ({status})" if status in REFUSED else f"status {status}"
        if status != 429 and status < 500:
            break
    return told


def report(found: Mapping[str, list[str]], *, asking: Ask = ask, pause: float = _PAUSE) -> tuple[list[str], bool]:
    """A line an address, and whether none is broken."""
    lines, whole = [], True
    for address, where in sorted(found.items()):
        told = answered(address, asking=asking, pause=pause)
        lines.append(f"{told or 'ok'}\t{address}\t{', '.join(where)}")
        whole = whole and (not told or told.startswith("refused"))
    return lines, whole


if __name__ == "__main__":
    told, whole = report(places())
    sys.stdout.write("\n".join(told) + "\n")
    sys.exit(not whole)
