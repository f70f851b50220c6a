"""What a result shows of itself: a line of text, and in a notebook a sentence, the head of its table, and its figure.

Jupyter, VS Code and marimo all show what `_repr_html_` returns, and marimo runs no script in it. So a figure is a page of its
own in a frame, which all three show. plotly.js lies in that page, packed: nothing is fetched, and the figure is there without a
network, for 2 MB of notebook a figure (plotly itself writes 4.8 MB a figure into a notebook).
"""

import base64
import gzip
import html
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import plotly.graph_objects as go

Drawing = Callable[[], "go.Figure | None"]

ROWS = 12
_WIDEST = 60  # characters of a cell
_ROOM = 4  # px, so that the frame needs no scroll bar
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}"><title>figure</title><style>body {{ margin: 0; }}</style>
<div id="figure"></div>
<script type="module">
const packed = Uint8Array.from(atob("{plotly}"), (letter) => letter.charCodeAt(0));
const script = document.createElement("script");
const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
script.textContent = await new Response(unpacked).text();
document.head.append(script);
const drawn = {figure};
Plotly.newPlot("figure", drawn.data, drawn.layout, {config});
</script></html>"""


_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""A second wall behind the escaping: nothing in the frame can send or fetch."""


def clipped(text: object, width: int) -> str:
    """`text` on one line of at most `width` characters, for a `__repr__`.

    >>> clipped("a story\\n about a dog", 12), clipped("bread", 12)
    ('a story abo…', 'bread')
    """
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def notebook_html(
    sentence: str, table: pd.DataFrame | None = None, *, figure: Drawing | None = None, remarks: Sequence[str] = ()
) -> str:
    """A fragment of HTML for `_repr_html_`: `sentence` as plain text, the first rows of `table`, and the figure.

    Args:
        sentence: what the object is, or what was found.
        table: at most 12 of its rows are shown; how many are not is said.
        figure: draws it; None, or a drawing that gives None, shows none. A figure that cannot be drawn is named and does not
            hide the numbers.
        remarks: what a reader should know, as plain text.

    >>> notebook_html("a < b")
    '<p>a &lt; b</p>'
    """
    parts = [f"<p>{html.escape(sentence)}</p>"]
    if table is not None:
        parts.append(_table(table))
    if figure is not None:
        parts.append(_frame(figure))
    if remarks:
        parts.append(f"<ul>{''.join(f'<li>{html.escape(remark)}</li>' for remark in remarks)}</ul>")
    return "".join(parts)


def _table(table: pd.DataFrame) -> str:
    shown = table.head(ROWS).map(lambda cell: "" if cell is None else cell)
    with pd.option_context("display.max_colwidth", _WIDEST):
        rows = shown.to_html(index=False, escape=True, na_rep="", float_format="{:.3g}".format, border=0)
    hidden = len(table) - len(shown)
    more = f"<p>and {hidden:,} more rows: see its table</p>" if hidden else ""
    return f'<div style="overflow-x: auto; white-space: nowrap">{rows}</div>{more}'


def _frame(figure: Drawing) -> str:
    from .figures.saving import CONFIG  # here, so that a line of text alone needs no plotly
    from .figures.style import FigureError

    try:
        drawn = figure()
    except FigureError as error:
        return f"<p>no figure: {html.escape(str(error))}</p>"
    if drawn is None:
        return ""
    page = _PAGE.format(
        policy=_POLICY, plotly=_plotly(), figure=str(drawn.to_json()).replace("<", "\\u003c"), config=json.dumps(CONFIG)
    )
    style = f"width: 100%; height: {drawn.layout.height + _ROOM:.0f}px; border: 0; background: white; color-scheme: light"
    alt = (drawn.layout.meta or {}).get("alt", "figure")
    return f'<iframe title="{html.escape(alt)}" style="{style}" srcdoc="{html.escape(page)}"></iframe>'


@cache
def _plotly() -> str:
    """plotly.js, packed, as text: a third of its size."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
