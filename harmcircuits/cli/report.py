"""Earlier runs, shown again; and how a run is printed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import shared
from .shared import told_errors

if TYPE_CHECKING:
    from ..experiment.result import Dissociation


def print_result(result: "Dissociation", out: Path) -> None:
    """The table of effect sizes, the answers in words, and where the rest lies."""
    from ..store import printable

    table = result.table(controls=False).reset_index()
    table.columns = [" ".join(part for part in map(str, name) if part) for name in table.columns]
    shared.print_frame(table.set_index("condition").T.reset_index(names="effect"), title="Effect sizes, 95 % intervals")
    lines = [
        f"{row['circuit']}, against {row['contrast']} benign requests: {row['answer']}" for row in result.report["answers"]
    ]
    for line in (*lines, f"Answer: {result.answer}", *(f"  · {sentence}" for sentence in result.sentences)):
        typer.echo(printable(line))
    typer.echo(f"Page: {out / 'report.html'}    Numbers: {out / 'report.json'}")


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of an earlier run of dissociate.")],
    picture: Annotated[Path | None, typer.Option(help="Also draw a figure of the run: .html, .json, .png or .svg.")] = None,
    figure: Annotated[str, typer.Option(help="Which: plane, effects, polarity or sweep.")] = "plane",
) -> None:
    """Show the table and the answer of an earlier run again."""
    from ..experiment.result import Dissociation
    from ..figures import save

    with told_errors(kept=False):
        result = Dissociation.load(folder)
        if picture is not None:
            drawn = result.figures()
            if figure not in drawn:
                raise typer.BadParameter(
                    f"there is no figure {figure!r}: {', '.join(drawn) or 'none was drawn'}", param_hint="--figure"
                )
            save(drawn[figure], picture, width=1000)
    print_result(result, folder)
