"""Pages as a browser finds them: what axe objects to, what is wider than the window, what the console says.

axe-core (in the package axe-core-python, an extra of the tests) runs in each page. A page is opened in a frame of a page beside
it on a server of this machine, since headless chromium has no window narrower than 500 px and a frame may be a phone's width.
"""

import html
import importlib.util
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import in_browser, opened

_AXE = importlib.util.find_spec("axe_core_python")
WIDTHS = (1280, 390)
"""px: a desk's and a phone's."""
EXAMINER, RULES = "/examiner.html", "/axe.min.js"
_MESSAGE = re.compile(r'CONSOLE[^\]]*\] (".*)')

by_axe = [*in_browser, pytest.mark.skipif(_AXE is None, reason="no axe: pip install axe-core-python")]

_DARK = "--blink-settings=preferredColorScheme=0"
"""What a screen is told to prefer: chromium's flag for it."""
_PAGE = r"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>examiner</title><body><script type="module">
const rules = await (await fetch("{rules}")).text();
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const found = [];
// Names in the code of tables that lie on two lines.
const broken = (page) => [...page.querySelectorAll(":is(td, th) code")].flatMap((code) => {{
  const texts = page.createTreeWalker(code, NodeFilter.SHOW_TEXT), names = [];
  while (texts.nextNode()) for (const {{ 0: name, index }} of texts.currentNode.data.matchAll(/[\w.]+/g)) {{
    const range = page.createRange();
    range.setStart(texts.currentNode, index);
    range.setEnd(texts.currentNode, index + name.length);
    if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) names.push(name);
  }}
  return names;
}});
for (const width of {widths}) {{
  const frame = document.createElement("iframe");
  frame.style = `width: ${{width}}px; height: 900px; border: 0`;
  frame.src = {address};
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve));
  document.body.append(frame);
  await loaded;
  const page = frame.contentDocument;
  const script = page.createElement("script");
  script.textContent = rules;
  await wait({settled});
  page.head.append(script);
  const wide = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  const {{ violations }} = await frame.contentWindow.axe.run(page, {{ iframes: false, resultTypes: ["violations"] }});
  const objections = violations.flatMap(({{ id, impact, nodes }}) => nodes.map((node) => [id, impact, node.target.join(" ")]));
  const painted = [page.body, page.documentElement].map((one) => frame.contentWindow.getComputedStyle(one).backgroundColor);
  const colour = painted.find((one) => one !== "rgba(0, 0, 0, 0)") ?? "rgb(255, 255, 255)";
  const ground = colour.match(/[\d.]+/g).slice(0, 3).map(Number);
  found.push({{ width, wide, objections, ground, broken: broken(page) }});
  frame.remove();
}}
document.body.textContent = JSON.stringify(found);
document.body.id = "found";
</script></body></html>"""
_SETTLED = 1000  # ms after which scripts of a page have drawn what they draw


@dataclass(frozen=True)
class Examined:
    """A page at one width of its window.

    Attributes:
        width: of the window, px.
        wide: by how much the page is wider than it, px.
        objections: axe's, each as rule, impact and the element's selector.
        ground: red, green and blue of what the page lies on, 0 to 255.
        broken: names in the code of tables that the end of a line breaks in two.
    """

    width: int
    wide: int
    objections: list[tuple[str, str, str]]
    ground: tuple[float, float, float]
    broken: list[str]

    @property
    def dark(self) -> bool:
        """Whether the page lies on a dark ground."""
        return max(self.ground) < 64

    def of(self, *impacts: str) -> list[tuple[str, str, str]]:
        """The objections of such an impact: minor, moderate, serious, critical."""
        return [one for one in self.objections if one[1] in impacts]


class _Site(SimpleHTTPRequestHandler):
    """A folder's files, the rules, and the page that examines."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == RULES:
            return self._send("text/javascript", axe())
        if path == EXAMINER:
            page = _PAGE.format(rules=RULES, widths=list(WIDTHS), address=json.dumps(query), settled=_SETTLED)
            return self._send("text/html", page)
        return super().do_GET()

    def _send(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on the terminal."""


def axe() -> str:
    """The text of axe-core."""
    assert _AXE is not None and _AXE.origin is not None
    return (Path(_AXE.origin).parent / "axe.min.js").read_text("utf-8")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of this machine for the files of a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Site, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def examined(server: str, page: str, folder: Path, *, dark: bool = False) -> tuple[Sequence[Examined], list[str]]:
    """The page `page` of a server, such as `gallery/`, at each of the widths, and what the console says of it.

    Args:
        folder: where the browser keeps its profile.
        dark: by a screen that prefers dark pages.
    """
    done, flags = lambda dom: 'id="found"' in dom, [_DARK] if dark else []
    dom, log = opened(f"{server}{EXAMINER}?/{page}", folder, width=1400, done=done, flags=flags)
    (text,) = re.findall(r'<body id="found">(.*?)</body>', dom, re.S)
    looks = json.loads(html.unescape(text))
    found = [Examined(**one | {"objections": [tuple(node) for node in one["objections"]]}) for one in looks]
    return found, _MESSAGE.findall(log)
