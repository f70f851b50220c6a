"""The documentation says what is there: links, names, options and files exist. Its blocks run in test_docs_blocks.py."""

import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import DOCS, FILES, PAGES, ROOT, Block, anchors, blocks, commands, links, options, shown, text_of, wrong_names
from typer.main import get_command

from harmcircuits import cli

PYTHON = [block for page in FILES for block in blocks(page, "python")]
COMMANDS = get_command(cli.app).commands  # type: ignore[attr-defined]
SOURCE = re.compile(r"`(harmcircuits/[\w/]+\.py)`(?: \(((?:`\w+`(?:,\s+)?)+)\))?")


@pytest.mark.parametrize("page", FILES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), target


def test_every_page_is_in_the_navigation_once() -> None:
    def files(entry: Any) -> list[str]:
        parts = entry.values() if isinstance(entry, dict) else entry
        return [entry] if isinstance(entry, str) else [file for part in parts for file in files(part)]

    listed = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    notebooks = sorted((DOCS / "examples").glob("*.ipynb"))
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in (*PAGES, *notebooks))


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_python_names_what_is_there(block: Block) -> None:
    block.code()
    assert not wrong_names(block)


@pytest.mark.parametrize("page", FILES, ids=shown)
def test_commands_have_the_options_that_they_are_shown_with(page: Path) -> None:
    for words in commands(page, "harmcircuits"):
        assert words[1] in COMMANDS, words
        known = {name for option in COMMANDS[words[1]].params for name in (*option.opts, *option.secondary_opts)}
        assert set(options(words[2:])) <= known | {"--help"}, words
    for words in commands(page, "python"):
        if words[1].endswith(".py"):
            script = ROOT / words[1]
            assert script.exists() and all(f'"{name}"' in text_of(script) for name in options(words[2:])), words
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.M))
    for words in commands(page, "make"):
        assert {word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]+", word)} <= targets, words


@pytest.mark.parametrize("page", FILES, ids=shown)
def test_source_files_have_what_is_said_to_be_in_them(page: Path) -> None:
    for file, names in SOURCE.findall(text_of(page)):
        assert (ROOT / file).is_file(), file
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^\s*(def|class) {name}\b|^{name}\b", text_of(ROOT / file), re.M), f"{file}: {name}"


@pytest.mark.parametrize("file", sorted((DOCS / "results").rglob("*.json")), ids=lambda file: str(file.relative_to(DOCS)))
def test_results_tell_the_command_that_makes_them(file: Path) -> None:
    found = json.loads(text_of(file))
    for command in {one["command"] for one in (found if isinstance(found, list) else [found])}:
        words = shlex.split(command)
        known = words[1] in COMMANDS if words[0] == "harmcircuits" else (ROOT / words[1]).is_file()
        assert words[0] in ("harmcircuits", "python") and known, words
        assert not any(Path(word).is_absolute() for word in words), f"a folder of one machine: {words}"
    if "claim" in found:
        assert found["n"] > 0 and found["values"]
        for name, value in found["values"].items():
            assert {"value", "low", "high", "n"} <= set(value) or (value["value"] is None and value["reason"]), name


def test_examples_of_docstrings_are_code_in_the_reference() -> None:
    pytest.importorskip("griffe", reason="what builds the documentation is not installed")
    one, two, end = ">>> [one for one in two]\n['heads']", ">>> 2\n2", "Ends. >>> is no example here."
    expected = f"Adds.\n\n```pycon\n{one}\n```\n\n```pycon\n{two}\n```\n\n{end}"
    assert _tool("docs_examples").fenced(f"Adds.\n\n{one}\n\n{two}\n\n{end}") == expected


def _tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
