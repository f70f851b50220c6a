"""Earlier runs, shown again; and how a run is printed."""

import html
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import told_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

SHORT = ("condition", "selectivity", "retained harmful", "retained twin")
"""The columns that, with the primary reading of recognition, fit 80 characters."""


def print_result(found: "Mapping[str, Any]", frame: "pd.DataFrame", out: Path) -> None:
    """The short table, the verdict with its reasons, and where the rest lies."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..store import printable

    console = Console()
    read = str(found["settings"].get("primary reading of recognition", ""))
    primary = "AUROC probe" if read.startswith("probe") else "AUROC in place"
    shown = list(frame.columns) if console.width >= 170 else [*SHORT, primary]
    title = f"{found['n_triples']} held-out triples; selectivity in nats per token; 95 % intervals"
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    for column in shown:
        table.add_column(column, overflow="fold", no_wrap=column != "condition", min_width=11)
    for row in frame[shown].itertuples(index=False):
        table.add_row(*(Text(printable(cell, kept="\n").replace(" [", "\n[").replace(", ", " ", 1)) for cell in row))
    console.print(table)
    console.print(Text(printable(f"Verdict: {found['verdict']}. {found['verdict_sentence']}", kept="\n")), style="bold")
    for reason in found["verdict_reasons"]:
        console.print(Text(printable(f"  · {reason}", kept="\n")))
    console.print(Text(f"Report: {out / 'report.html'}    Numbers: {out / 'report.json'}", overflow="fold"))


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of an earlier run.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole table as Markdown, for a README.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw writing and recognising: .html, .json, .png or .svg.")] = None,
) -> None:
    """Show the table and the verdict of an earlier run again, from its report.json."""
    from .. import figures
    from ..report import PRINTED, checked_report, retained_frame, summary_frame
    from ..store import read_json, storage_errors

    with told_errors(kept=False):
        path = folder / "report.json"
        found = checked_report(read_json(path), where=str(path), kinds=PRINTED)
        frame = summary_frame(found)
        if picture is not None:
            with storage_errors(picture):
                figures.save(figures.retained(retained_frame(found)), picture, width=1000)
    if not markdown:
        print_result(found, frame, folder)
        return
    rows: list[list[object]] = [list(frame.columns), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    typer.echo("\n".join(f"| {' | '.join(_in_markdown(cell) for cell in row)} |" for row in rows))
    typer.echo(f"\n**{_in_markdown(found['verdict'])}**: {_in_markdown(found['verdict_sentence'])}")


def _in_markdown(cell: object) -> str:
    """A cell that ends no row and opens no element, whatever a circuit was named."""
    from ..store import printable

    return html.escape(" ".join(printable(cell, kept="\n").replace("|", "/").split()), quote=False)
