"""The documentation says what is there: links, names, options and files exist, and examples in docstrings and README's session
give what they say. The pages' blocks run in test_docs_blocks.py."""

import ast
import doctest
import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import DOCS, FILES, PAGES, ROOT, Block, anchors, blocks, commands, links, options, shown, text_of, wrong_names
from typer.main import get_command

import harmcircuits as hc
from harmcircuits import cli, figures
from harmcircuits.data import FORMATS

PYTHON = [block for page in FILES for block in blocks(page, "python")]
COMMANDS = get_command(cli.app).commands  # type: ignore[attr-defined]
SOURCE = re.compile(r"`(harmcircuits/[\w/]+\.py)`(?: \(((?:`\w+`(?:,\s+)?)+)\))?")
PACKAGE = Path(hc.__path__[0])
WITH_EXAMPLES = [file.relative_to(PACKAGE) for file in sorted(PACKAGE.rglob("*.py")) if ">>>" in file.read_text("utf-8")]
MODULES = [".".join(["harmcircuits", *file.with_suffix("").parts]).removesuffix(".__init__") for file in WITH_EXAMPLES]
NUMBER = re.compile(r"[+-]?\d+\.\d{3}\b")


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
        assert set(found["tables"]) > {"answers"} and (found["reasons"] or found["answer"] == "yes")


# The reference


def test_every_public_name_is_in_the_reference() -> None:
    """A room that is public as a whole is there by what is in it."""
    reference = (DOCS / "api.md").read_text("utf-8")
    explained = set(re.findall(r"^::: harmcircuits\.(\w+)$", reference, re.MULTILINE))
    assert set(hc.__all__) - {"__version__", *hc._ROOMS} == explained
    assert all(f"::: harmcircuits.{room}." in reference for room in hc._ROOMS)


def test_every_figure_is_in_the_reference() -> None:
    explained = re.findall(r"^::: harmcircuits\.figures\.(\w+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(explained) == sorted(figures.__all__)


def test_every_format_of_prompts_is_in_the_table() -> None:
    text = (DOCS / "prompts.md").read_text("utf-8")
    for name, (required, _) in FORMATS.items():
        row = re.search(rf"^\| {name} \| (.+) \|", text, re.MULTILINE)
        assert row is not None, name
        assert set(required) <= {*re.findall(r"`(\w+)`", row[1].split(" | ")[0])}, name


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed


# README


def session() -> Block:
    (block,) = blocks(ROOT / "README.md", "python")
    return block


def numbers(lines: list[str]) -> list[float]:
    return [float(found) for line in lines for found in NUMBER.findall(line)]


def words(lines: list[str]) -> list[list[str]]:
    return [NUMBER.sub("…", line).split() for line in lines]


def told() -> list[str]:
    """What README says is printed: the lines that are nothing but a comment."""
    return [line[1:].strip() for line in session().text.splitlines() if line.startswith("#")]


def test_it_is_short_and_writes_greedily() -> None:
    code = [line for line in session().text.splitlines() if line and not line.startswith("#")]
    assert len(code) <= 15 and told()
    calls = [node for node in ast.walk(ast.parse(session().text)) if isinstance(node, ast.Call)]
    written = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "hc.elicit"]
    assert written and all("temperature=0" in call for call in written), written


@pytest.mark.real
def test_it_prints_what_readme_says(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    before, dissociating, _ = session().text.partition("result = hc.dissociate(")
    assert dissociating
    exec(compile(before, "README.md", "exec"), {})
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert words(printed) == words(told())
    assert numbers(printed) == pytest.approx(numbers(told()), abs=0.01)
