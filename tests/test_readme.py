"""README's session is short, writes greedily, and prints on the default model what README says that it prints."""

import ast
import re
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks, text_of

LINES = 15
NUMBER = re.compile(r"[+-]?\d+\.\d{3}\b")


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
    assert len(code) <= LINES and told()
    calls = [node for node in ast.walk(ast.parse(session().text)) if isinstance(node, ast.Call)]
    written = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "hc.elicit"]
    assert written and all("temperature=0" in call for call in written), written


def test_the_commands_and_their_time_stand_on_the_first_screen() -> None:
    first = "\n".join(text_of(ROOT / "README.md").splitlines()[:36])
    for part in ("make demo", "minutes", "out/demo/report.html", ".venv/bin/activate", "harmcircuits dissociate"):
        assert part in first, part


@pytest.mark.real
def test_it_prints_what_readme_says(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    before, dissociating, _ = session().text.partition("result = hc.dissociate(")
    assert dissociating
    exec(compile(before, "README.md", "exec"), {})
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert words(printed) == words(told())
    assert numbers(printed) == pytest.approx(numbers(told()), abs=0.01)
