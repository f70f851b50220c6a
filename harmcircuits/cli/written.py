"""What a command leaves of a claim: its numbers, its page, and each figure alone."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from . import shared

if TYPE_CHECKING:
    from ..claims.claim import Claim


def write_claim(found: "Claim", out: Path) -> str:
    """Writes `NAME.json`, `NAME.html` and, of each figure, `NAME_FIGURE.html`; gives the line that says where they are.

    Raises:
        StoreError: a file cannot be written, or another process is at work there.
    """
    figures = found.drawn()
    found.save(out, figures=figures)
    for name, figure in figures.items():
        shared.draw(figure, out / f"{found.NAME}_{as_file_name(name)}.html")
    alone = f"    Figures alone: {out / f'{found.NAME}_*.html'}" if figures else ""
    return f"Page: {out / f'{found.NAME}.html'}    Numbers: {out / f'{found.NAME}.json'}{alone}"


def as_file_name(name: str) -> str:
    """A figure's name with nothing in it that a file's may not have on some system.

    >>> as_file_name("heads and neurons: rises"), as_file_name("curves_weights_fixed")
    ('heads-and-neurons-rises', 'curves_weights_fixed')
    """
    return re.sub(r"\W+", "-", name).strip("-")
