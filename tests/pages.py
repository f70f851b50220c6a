"""The documentation as text: blocks, links, anchors, commands, and what its Python names."""

import ast
import importlib
import importlib.util
import inspect
import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import harmcircuits as hc

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
_SPAN = re.compile(r"`([^`\n]+)`")


def shown(path: Path) -> str:
    """How a test names a page."""
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block, and the line of the page on which its text begins."""

    page: Path
    line: int
    text: str

    @property
    def name(self) -> str:
        return f"{shown(self.page)}:{self.line}"

    def code(self) -> Any:
        """Compiled with the page's own line numbers."""
        return compile("\n" * (self.line - 1) + self.text, str(self.page), "exec")


@cache
def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, language: str) -> list[Block]:
    text = text_of(page)
    return [Block(page, text[: m.start(2)].count("\n") + 1, m[2]) for m in _FENCE.finditer(text) if m[1] == language]


def prose(page: Path) -> str:
    """Without fenced blocks and code spans."""
    return _SPAN.sub("", _FENCE.sub("", text_of(page)))


def links(page: Path) -> list[str]:
    """Targets on this site or in this repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> set[str]:
    """As mkdocs makes them of headings, and mkdocstrings of what it documents."""
    text, found = _FENCE.sub("", text_of(page)), set[str]()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug, count = _slug(plain), 0
        while (own := f"{slug}_{count}" if count else slug) in found:
            count += 1
        found.add(own)
    return found | set(re.findall(r"^::: ([\w.]+)$", text, re.M))


def _slug(heading: str) -> str:
    """Python-Markdown's."""
    ascii_only = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """Every call of `program` in blocks and code spans, as a shell would split it."""
    text = text_of(page)
    indented = re.findall(r"^ {4}(\S.*)$", text, re.M)
    fenced = [line.strip() for m in _FENCE.finditer(text) for line in re.sub(r"\\\n\s*", "", m[2]).splitlines()]
    for line in [*_SPAN.findall(_FENCE.sub("", text)), *indented, *fenced]:
        if line.startswith(f"{program} "):
            yield shlex.split(line, comments=True)


def options(words: list[str]) -> list[str]:
    """Those of a command line, without their values."""
    return [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]


def wrong_names(block: Block) -> list[str]:
    """What a block of Python takes from this package and is not there, or calls with arguments that are not taken."""
    tree, known, wrong = ast.parse(block.text), {"hc": hc}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harmcircuits"):
            module = importlib.import_module(str(node.module))
            known |= {alias.asname or alias.name: _taken(module, alias.name) for alias in node.names}
            wrong += [f"{node.module}.{alias.name}" for alias in node.names if known[alias.asname or alias.name] is None]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Call):
            try:
                _check(node, known)
            except (AttributeError, TypeError) as error:
                wrong.append(f"{ast.unparse(node)}: {error}")
    return wrong


def _taken(module: ModuleType, name: str) -> Any:
    """What `from module import name` gives, a module of its own among them; None where there is nothing of that name."""
    whole = f"{module.__name__}.{name}"
    if not hasattr(module, name) and hasattr(module, "__path__") and importlib.util.find_spec(whole):
        importlib.import_module(whole)
    return getattr(module, name, None)


def _check(node: ast.Attribute | ast.Call, known: dict[str, Any]) -> None:
    """Raises AttributeError or TypeError."""
    found = _value(node.func if isinstance(node, ast.Call) else node, known)
    if found is None or not isinstance(node, ast.Call):
        return
    starred = any(isinstance(one, ast.Starred) for one in node.args) or any(one.arg is None for one in node.keywords)
    if callable(found) and not starred:
        inspect.signature(found).bind_partial(*node.args, **{str(one.arg): one for one in node.keywords})


def _value(node: ast.expr, known: dict[str, Any]) -> Any:
    """A name of this package, or None for anything else: what a call gives, a variable of the block."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    owner = _value(node.value, known)
    return getattr(owner, node.attr) if inspect.ismodule(owner) or inspect.isclass(owner) else None
