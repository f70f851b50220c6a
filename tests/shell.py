"""Commands as a shell would call them, on small prompt files, and what they print."""

import csv
import re
from pathlib import Path

import pytest
from triples import PROMPTS, RUN
from typer.testing import CliRunner, Result

from harmcircuits import cli
from harmcircuits.data import Prompt
from harmcircuits.experiment.settings import Settings

COLUMNS = ("request", "prefill", "category", "group", "role")


def small(patch: pytest.MonkeyPatch) -> None:
    """`--quick` is a run in seconds, and the terminal a wide one."""

    patch.setattr(Settings, "quick", classmethod(lambda cls, *, seed=0: cls(**vars(RUN) | {"seed": seed})))
    patch.setenv("COLUMNS", "200")


def write(path: Path, prompts: tuple[Prompt, ...] = PROMPTS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows([getattr(prompt, column) for column in COLUMNS] for prompt in prompts)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def dissociate(*flags: str, **options: object) -> Result:
    return call("dissociate", "--quick", *flags, *(part for name, value in options.items() for part in (f"--{name}", value)))


def text(result: Result) -> str:
    """What was printed, without colours and line ends."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", result.output).split())


def told(result: Result, *words: str, code: int = 1) -> None:
    """The exit code and the message, told on one line or two without a traceback."""
    output = text(result)
    assert result.exit_code == code, output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in output
    for word in words:
        assert word in output
