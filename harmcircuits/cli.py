"""The same verbs from a shell."""

import logging
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from .prompts.promptset import PromptSet

app = typer.Typer(
    name="harmcircuits",
    help="Which parts of a language model write harmful text, and does the model still recognise harm without them?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # a traceback must never show a request or a response
)

DTYPES = ("float32", "bfloat16", "float16")
TRIAL_BYTES = 2_000_000  # about what a run writes: a full disk is noticed before the run


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Logging for every command."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


@app.command()
def dissociate(
    model: Annotated[str, typer.Option(help="Alias, hub id, local folder or .gguf file.")] = "smollm2-135m-instruct",
    prompts: Annotated[str | None, typer.Option(help="A prompt file with triples; the built-in set by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.html, outcomes.csv, circuits and scores.")] = Path(
        "out/dissociate"
    ),
    seed: Annotated[int, typer.Option(help="Seed of splits, sampling, nulls and bootstrap.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; the GPU by default where there is one.")] = None,
    dtype: Annotated[str, typer.Option(help=f"Weights' type: {', '.join(DTYPES)}.")] = "float32",
    quick: Annotated[bool, typer.Option("--quick", help="Smaller numbers: estimates and intervals, no p values.")] = False,
    show_responses: Annotated[bool, typer.Option("--show-responses", help="Put what the model wrote on the page.")] = False,
) -> None:
    """Find what writes harm, switch it off, and measure writing and recognising with and without it."""
    if dtype not in DTYPES:
        raise typer.BadParameter(f"{dtype!r} is not one of {', '.join(DTYPES)}", param_hint="--dtype")
    from .experiments.dissociation import dissociate as run
    from .experiments.settings import Settings

    with _told_errors():
        settings = Settings.quick(seed=seed) if quick else Settings(seed=seed)
        train, development, test = _splits(prompts, seed)
        with _writable(out):
            loaded = _load(model, device, dtype)
            typer.echo(_before(test, settings))
            result = run(
                loaded,
                None,
                test,
                train=train,
                development=development,
                settings=settings,
                name=model,
                reproduce=_command(sys.argv),
                progress=True,
            )
            result.save(out, show_responses=show_responses)
    _print_result(result.report, result.table(), out)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of an earlier run.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole table as Markdown, for a README.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the figure of writing and recognising: .html, .json, .png or .svg.")
    ] = None,
) -> None:
    """Show the table and the verdict of an earlier run again, from its report.json."""
    from . import figures
    from .report import retained_frame, summary_frame

    with _told_errors():
        found = _read_report(folder / "report.json")
        frame = summary_frame(found)
        if picture is not None:
            figures.save(figures.retained(retained_frame(found)), picture, width=1000)
    if not markdown:
        _print_result(found, frame, folder)
        return
    rows: list[list[object]] = [list(frame.columns), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    typer.echo("\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows))
    typer.echo(f"\n**{found['verdict']}**: {found['verdict_sentence']}")


def main() -> None:
    """The entry point `harmcircuits`."""
    app()


def _splits(prompts: str | None, seed: int) -> "tuple[PromptSet, PromptSet, PromptSet]":
    from .experiments.checks import ready_splits
    from .prompts.readers import load_prompts

    return ready_splits(load_prompts(prompts), seed=seed)


def _load(model: str, device: str | None, dtype: str) -> Any:
    import torch

    from .models.load import load_model

    return load_model(model, device=device, dtype=getattr(torch, dtype))


def _before(test: "PromptSet", settings: Any) -> str:
    from .experiments.evidence import sensitivity

    return sensitivity(min(len(test.triples), settings.test_triples), settings)


@contextmanager
def _writable(out: Path) -> "Iterator[None]":
    """Makes the folder of the results and writes to it once: found out before the run, not after it.

    When the run fails, the folders that were made here go again, unless there is something in them.

    Raises:
        StoreError: it cannot be written.
    """
    from .store import storage_errors, write_text

    trial = out / ".writable"
    with storage_errors(trial):
        missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        write_text(trial, " " * TRIAL_BYTES)
        trial.unlink()
        yield
    except BaseException:  # an interrupt too
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


PRINTED = ("conditions", "n_triples", "settings", "verdict", "verdict_sentence", "verdict_reasons")


def _read_report(path: Path) -> dict[str, Any]:
    from .report import ReportError
    from .store import read_json

    found = read_json(path)
    missing = [key for key in PRINTED if not isinstance(found, dict) or key not in found]
    if missing:
        raise ReportError(f"{path} has no {', '.join(missing)}: is it the report.json of a harmcircuits run?")
    return dict(found)


def _command(argv: list[str]) -> str:
    return shlex.join(["harmcircuits", *argv[1:]])


class _told_errors:
    """Errors of ours are told in a line or two, without a traceback; anything else is a bug and shows one."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            kept = "what was finished is kept: downloads, and the intact model's responses up to the last whole batch"
            typer.secho(f"stopped: {kept}", err=True)
            raise typer.Exit(130) from error
        if error is not None and type(error).__module__.startswith("harmcircuits"):
            typer.secho(f"error: {error}", err=True, fg="red")
            raise typer.Exit(1) from error


SHORT = ("condition", "selectivity", "retained harmful", "retained twin")
"""The columns that, with the primary reading of recognition, fit 80 characters."""


def _print_result(found: "Mapping[str, Any]", frame: "pd.DataFrame", out: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    read = str(found["settings"].get("primary reading of recognition", ""))
    primary = "AUROC probe" if read.startswith("probe") else "AUROC in place"
    shown = list(frame.columns) if console.width >= 170 else [*SHORT, primary]
    title = f"{found['n_triples']} held-out triples; selectivity in nats per token; 95 % intervals"
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    for column in shown:
        table.add_column(column, overflow="fold", no_wrap=column != "condition", min_width=11)
    for row in frame[shown].itertuples(index=False):
        table.add_row(*(Text(str(cell).replace(" [", "\n[").replace(", ", " ", 1)) for cell in row))
    console.print(table)
    console.print(Text(f"Verdict: {found['verdict']}. {found['verdict_sentence']}"), style="bold")
    for reason in found["verdict_reasons"]:
        console.print(Text(f"  · {reason}"))
    console.print(Text(f"Report: {out / 'report.html'}    Numbers: {out / 'report.json'}", overflow="fold"))
