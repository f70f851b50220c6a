"""Frames as tables of the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


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
