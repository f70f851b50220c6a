"""What every command shares: options, loading, a folder that can be written, and errors told in a line."""

import shlex
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd


Given = ParamSpec("Given")
DTYPES = ("float32", "bfloat16", "float16")
TRIAL_BYTES = 8_000_000  # more than a page and all tables of a small model's run: a full disk is noticed before the run

Model = Annotated[str, typer.Option(help="Alias, hub id, local folder or .gguf file.")]
Prompts = Annotated[str | None, typer.Option(help="A prompt file or a benchmark (xstest, …); the built-in set by default.")]
Seed = Annotated[int, typer.Option(help="Seed of splits, sampling, nulls and bootstrap.")]
Triples = Annotated[
    int | None, typer.Option(min=2, help="At most so many test triples, and what is written and known in proportion.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; the GPU by default where there is one.")]
Dtype = Annotated[str, typer.Option(help=f"Weights' type: {', '.join(DTYPES)}.")]
Judged = Annotated[
    str | None,
    typer.Option("--judge", help="A judge by name: qwen3guard-0.6b, strongreject …, or a text-classification model."),
]
DEFAULT_MODEL = "smollm2-135m-instruct"


def check_dtype(dtype: str) -> None:
    """Raises BadParameter for a type of weights that there is not."""
    if dtype not in DTYPES:
        raise typer.BadParameter(f"{dtype!r} is not one of {', '.join(DTYPES)}", param_hint="--dtype")


def validated(judge: str | None, device: str | None) -> Any:
    """Load and validate a judge, and say what came of it; None: none is named."""
    if judge is None:
        return None
    from ..judges import load_judge, validate

    reader = validate(load_judge(judge, device=device))
    typer.echo(repr(reader))
    return reader


def listed(names: str | None) -> list[str] | None:
    """
    >>> listed("heads, neurons")
    ['heads', 'neurons']
    """
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def load(model: str, device: str | None, dtype: str) -> Any:
    """The model that the options name."""
    import torch

    from ..models.load import load_model

    return load_model(model, device=device, dtype=getattr(torch, dtype))


@contextmanager
def writable(out: Path) -> "Iterator[None]":
    """Makes the folder of the results and writes to it once: found out before the run, not after it. No other command writes
    there meanwhile.

    Raises:
        StoreError: it cannot be written, or another command is at work there.
    """
    from ..store import held, write_text

    with held(out):
        trial = out / ".writable"
        write_text(trial, " " * TRIAL_BYTES)
        trial.unlink()
        yield


def print_frame(frame: "pd.DataFrame", *, title: str) -> None:
    """One row a line; numbers with three digits, nothing where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..store import printable

    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    for column in frame.columns:
        table.add_column(str(column), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(printable(_cell(cell), kept="\n")) for cell in row))
    Console().print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    return "" if value is None else str(value)


def command_line(argv: list[str]) -> str:
    """The command as it can be typed again."""
    return shlex.join(["harmcircuits", *argv[1:]])


def told_when_stopped(command: Callable[Given, None]) -> Callable[Given, None]:
    """A command that says so when it is stopped before it began: its imports take seconds."""

    @wraps(command)
    def told(*args: Given.args, **options: Given.kwargs) -> None:
        try:
            command(*args, **options)
        except KeyboardInterrupt as error:
            typer.secho("stopped: nothing was begun yet", err=True)
            raise typer.Exit(130) from error

    return told


class told_errors:
    """Errors of ours are told in a line or two, without a traceback; anything else is a bug and shows one.

    Args:
        kept: whether the same command goes on where it was stopped; else it keeps the model's responses alone.
    """

    def __init__(self, *, kept: bool = True) -> None:
        self.kept = kept

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            finished = "what was finished is kept. Give the same command again to go on"
            nothing = "nothing of this command is kept but what the model wrote. Give it again to begin anew"
            typer.secho(f"stopped: {finished if self.kept else nothing}", err=True)
            raise typer.Exit(130) from error
        if error is not None and _ours(error):
            from ..store import printable  # a message may quote what a file holds

            typer.secho("error: " + printable(error, kept="\n"), err=True, fg="red")
            raise typer.Exit(1) from error


def _ours(error: BaseException) -> bool:
    return type(error).__module__.startswith("harmcircuits")
