"""A figure as a file, and its place on a page: numbers as JSON, and the one script that draws all figures there."""

import html
import importlib.util
from functools import cache
from importlib.resources import files
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from ..errors import HarmcircuitsError

_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; }}
@media screen and (prefers-color-scheme: dark) {{ body {{ background: #1b1b1b; }} }}
@media (max-width: 700px) {{ .modebar {{ display: none; }} }}
</style>
</head>
<body>
{figure}
<script>{plotly}</script>
<script>{draw}</script>
</body>
</html>
"""


def save(figure: go.Figure, path: str | Path, *, width: int = 1100) -> Path:
    """Write `figure` to `path` and return the path; a missing folder is made. The ending says how:

    - `.html`: a page that holds everything it needs, plotly.js too, and fetches nothing; light or dark as its reader's screen;
    - `.json`: plotly's own format, read back by `plotly.io.read_json`;
    - `.png`, `.svg`: an image `width` px wide, by kaleido, in light colours.

    Raises:
        HarmcircuitsError: an unknown ending, or an image without kaleido.
    """
    path = Path(path)
    content = _content(figure, path, width=width)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _content(figure: go.Figure, path: Path, *, width: int) -> bytes:
    if path.suffix == ".html":
        title = html.escape((figure.layout.title.text or "figure").replace("<br>", " "))
        place = element(figure, "figure")
        return _PAGE.format(title=title, figure=place, plotly=get_plotlyjs(), draw=script()).encode()
    if path.suffix == ".json":
        return str(figure.to_json()).encode()
    if path.suffix not in (".png", ".svg"):
        raise HarmcircuitsError(f"{path.name}: unknown ending {path.suffix!r}; use .html, .json, .png or .svg.")
    if importlib.util.find_spec("kaleido") is None:
        raise HarmcircuitsError(f"{path.name}: images need kaleido; pip install 'harmcircuits[images]', or save as .html.")
    return bytes(figure.to_image(format=path.suffix[1:], width=width, height=figure.layout.height, scale=2))


@cache
def script() -> str:
    """The script that draws every element with `data-figure` by plotly.js, which the page has loaded before.

    It uses dark colours where the page's text is light, the element's width, and light colours on paper.
    """
    return files(__package__).joinpath("draw.js").read_text("utf-8")


def element(figure: go.Figure, name: str) -> str:
    """The figure's place on a page with its text alternative, and its numbers, which no string in them can end."""
    alt = html.escape(str((figure.layout.meta or {}).get("alt", "figure")))
    numbers = str(figure.to_json()).translate(_SAFE)
    return (
        f'<div role="img" aria-label="{alt}" data-figure="{name}"></div>\n'
        f'<script type="application/json" id="{name}">{numbers}</script>'
    )
