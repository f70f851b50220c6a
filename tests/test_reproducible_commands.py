"""The line of a report that makes it again: a shell reads it, the parser takes it, and it asks the same."""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from shell import call, small, text, write

import harmcircuits as hc
from harmcircuits import cli
from harmcircuits.claims import run as claims
from harmcircuits.data import PromptSet
from harmcircuits.errors import HarmcircuitsError

ODD = "it's $HOME; `x` <é> \\ *"
"""The name of a folder that a shell would take for much else."""
ASKS: dict[str, Sequence[str]] = {
    "dissociate": ["--seed", "3", "--components", "heads"],
    "compactness": ["--seed", "3", "--test-prompts", "6"],
    "generality": ["--seed", "3", "--categories", "3"],
    "distinct": ["--seed", "4", "--facts", "3"],
    "alignment": ["--components", "heads"],
    "misalignment": ["--seed", "3", "--subject", "money"],
    "paper": ["--claims", "dissociation, compactness"],
}
"""Options of each command that are not its defaults."""
QUIET = {"attribute", "generate", "export", "report"}
"""Write no report of their own."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Any) -> Path:
    """A working folder with prompts in a folder of an odd name, and a model that is held already."""
    small(monkeypatch)
    (tmp_path / ODD).mkdir()
    write(tmp_path / ODD / "my prompts.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "load", lambda *named: tiny)
    return tmp_path


def typed(monkeypatch: pytest.MonkeyPatch, argv: Sequence[str]) -> Any:
    """The command as the shell would start it."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/harmcircuits", *argv])
    return call(*argv)


def by_shell(line: str) -> list[str]:
    """The words of a line as `sh` reads them, but for the first, which is the program."""
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    program, *words = done.stdout.decode().split("\0")[:-1]
    assert program == "harmcircuits"
    return words


def comparable(value: Any) -> Any:
    """What was asked, with the contents of prompts in the place of sets."""
    if isinstance(value, PromptSet):
        return value.digest
    if isinstance(value, partial):
        return comparable(value.args)
    if isinstance(value, dict):
        return {name: comparable(own) for name, own in value.items()}
    return [comparable(own) for own in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("command", ASKS)
def test_a_line_asks_the_same_again(place: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    asked: list[dict[str, Any]] = []

    def instead(*given: Any, **options: Any) -> None:
        asked.append({"given": given} | {name: own for name, own in options.items() if name not in ("load", "tell")})
        raise HarmcircuitsError("that is all")

    monkeypatch.setattr(hc, command, instead)
    monkeypatch.setattr(claims, "run", instead)
    files = ["--prompts", f"{ODD}/my prompts.csv", "--device", "cpu"]
    first = {"alignment": ["base one=my model", f"two={ODD}/two"]}.get(command, [])
    out = ["--out", f"{ODD}/out"]
    for flags, more in (["--quick"], ASKS[command]), ([], []):  # and with every option as it is by default
        argv = ["-v", command, *first, *files, *out, *flags, *more]
        result = typed(monkeypatch, argv)
        assert "error: that is all" in text(result), result.output
        line = asked[-1].get("reproduce") or asked[-1]["command"]
        assert line.startswith("harmcircuits -v ")
        again = by_shell(line)
        assert again == argv
        typed(monkeypatch, again)
        one, other = (comparable(own) for own in asked[-2:])
        assert one == other and line in (one.get("reproduce"), one.get("command"))


def test_every_command_that_writes_a_report_has_one() -> None:
    names = {command.__name__.replace("_", "-") for command in cli.COMMANDS}
    assert names == {*ASKS, *QUIET}
