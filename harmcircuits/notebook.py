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
_ROOM = 4  # px, so that a frame that cannot tell its height needs no scroll bar
_SETTLED = 300  # ms after which a notebook that changes its theme has its new colours
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}"><title>figure</title>
<style>:root {{ color-scheme: light dark; }} body {{ margin: 0; }}
@media (max-width: 700px) {{ .modebar {{ display: none; }} }}</style><body>
{figure}
<script type="module">
const packed = Uint8Array.from(atob("{plotly}"), (letter) => letter.charCodeAt(0));
const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
for (const text of [await new Response(unpacked).text(), {script}]) {{
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
}}
</script>
<script>
// A notebook has a theme of its own, whatever the screen's: its text tells. Without an answer the screen decides.
const frame = window.frameElement;
if (frame !== null) {{
  const follow = () => {{ document.documentElement.style.color = getComputedStyle(frame).color; }};
  const around = new MutationObserver(() => setTimeout(follow, {settled}));
  for (const root of [parent.document.documentElement, parent.document.body]) around.observe(root, {{ attributes: true }});
  follow();
  document.documentElement.style.overflow = "hidden"; // as high as what is in it
  new ResizeObserver(() => {{ frame.style.height = `${{document.body.offsetHeight}}px`; }}).observe(document.body);
}}
</script></body></html>"""


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
    rows = rows.replace("<td>", '<td style="white-space: nowrap">')  # what JupyterLab says of cells is stronger than the box
    hidden = len(table) - len(shown)
    more = f"<p>and {hidden:,} more rows: see its table</p>" if hidden else ""
    reached = 'role="group" aria-label="Table" tabindex="0"'  # so that arrow keys scroll it
    return f'<div style="overflow-x: auto" {reached}>{rows}</div>{more}'


def _frame(figure: Drawing) -> str:
    from .figures.export import element, script  # here, so that a line of text alone needs no plotly
    from .figures.style import FigureError

    try:
        drawn = figure()
    except FigureError as error:
        return f"<p>no figure: {html.escape(str(error))}</p>"
    if drawn is None:
        return ""
    page = _PAGE.format(
        policy=_POLICY, plotly=_plotly(), figure=element(drawn, "figure"), script=json.dumps(script()),
        settled=_SETTLED,
    )  # fmt: skip
    style = f"width: 100%; height: {drawn.layout.height + _ROOM:.0f}px; border: 0"
    alt = (drawn.layout.meta or {}).get("alt", "figure")
    return f'<iframe title="{html.escape(alt)}" style="{style}" srcdoc="{html.escape(page)}"></iframe>'


@cache
def _plotly() -> str:
    """plotly.js, packed, as text: a third of its size."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
