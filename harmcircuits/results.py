"""How every result shows itself in a notebook: a sentence and the first rows of its table (`figure()` is for the figure)."""

import html
from abc import ABC, abstractmethod

import pandas as pd

ROWS = 12
_WIDEST = 60  # characters of a cell


class Result(ABC):
    """Mixin: in a notebook a result is its `sentence` (its `repr`, if it has none) and the head of its `table()`."""

    @abstractmethod
    def table(self) -> pd.DataFrame:
        """Return the result as a table."""

    def _repr_html_(self) -> str:
        return notebook_html(getattr(self, "sentence", repr(self)), self.table())


def clipped(text: object, width: int) -> str:
    """Return `text` on one line of at most `width` characters, for a `__repr__`.

    >>> clipped("a story\\n about a dog", 12), clipped("bread", 12)
    ('a story abo…', 'bread')
    """
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def notebook_html(sentence: str, table: pd.DataFrame) -> str:
    """Return a fragment of HTML: `sentence` and at most 12 rows of `table`, all text escaped.

    >>> notebook_html("a < b", pd.DataFrame())
    '<p>a &lt; b</p>'
    """
    head = html.escape(sentence)
    if table.empty:
        return f"<p>{head}</p>"
    shown = table.head(ROWS).map(lambda cell: "" if cell is None else cell)
    with pd.option_context("display.max_colwidth", _WIDEST):
        rows = shown.to_html(index=False, escape=True, na_rep="", float_format="{:.3g}".format, border=0)
    rows = rows.replace("<td>", '<td style="white-space: nowrap">')  # JupyterLab's rule for cells is stronger than the box's
    hidden = len(table) - len(shown)
    more = f"<p>and {hidden:,} more rows: see its table</p>" if hidden else ""
    return f'<p>{head}</p><div style="overflow-x: auto" role="group" aria-label="Table" tabindex="0">{rows}</div>{more}'
