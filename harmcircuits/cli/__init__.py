"""The same verbs from a shell."""

import logging
import os
from typing import Annotated

import typer

from .._version import __version__
from ..processes import launched
from . import (
    alignment,
    compactness,
    dissociate,
    distinct,
    generality,
    ladder,
    misalignment,
    paper,
    report,
)
from .shared import told_when_stopped

app = typer.Typer(
    name="harmcircuits",
    help="Which parts of a language model write harmful text, and does the model still recognise harm without them?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # a traceback must never show a request or a response
)
COMMANDS = (
    dissociate.dissociate,
    report.report,
    compactness.compactness,
    generality.generality,
    distinct.distinct,
    ladder.ladder,
    alignment.alignment,
    misalignment.misalignment,
    paper.paper,
)
SHARED = ("dissociate", "compactness", "generality", "distinct", "paper", "alignment")
"""Commands whose work several processes can share."""
for command in COMMANDS:
    app.command()(told_when_stopped(command))


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Logging for every command."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if launched() and context.invoked_subcommand not in SHARED:
        _refuse(str(context.invoked_subcommand))


def _refuse(command: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        cure = f"Start it without a launcher (harmcircuits {command} …). What can be shared: {', '.join(SHARED)}."
        typer.secho(f"error: several processes cannot share {command}, each would do all of it. {cure}", err=True, fg="red")
    raise typer.Exit(2)


def main() -> None:
    """The entry point `harmcircuits`."""
    app()
