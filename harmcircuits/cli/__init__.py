"""The same verbs from a shell."""

import logging
from collections.abc import Callable
from typing import Annotated

import typer

from .._version import __version__
from . import (
    claims,
    dissociate,
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
COMMANDS: tuple[Callable[..., None], ...] = (
    dissociate.dissociate,
    report.report,
    *map(claims.claim_command, claims.HELP),
    claims.paper,
)
for command in COMMANDS:
    app.command()(told_when_stopped(command))


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


def main() -> None:
    """The entry point `harmcircuits`."""
    app()
