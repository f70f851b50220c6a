"""A figure as a file: a page, its JSON, or an image."""

import html
import importlib.util
import os
import secrets
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from .drawing import element, script
from .style import FigureError

_IMAGES = {".png": "png", ".svg": "svg"}
_STYLE = """:root { color-scheme: light dark; }
body { margin: 0; }
@media screen and (prefers-color-scheme: dark) { body { background: #1b1b1b; } }
@media (max-width: 700px) { .modebar { display: none; } }"""
"""On a phone plotly's row of buttons would lie over the title."""


def save(figure: go.Figure, path: str | os.PathLike[str], *, width: int = 1100) -> Path:
    """Writes `figure` to `path`, whose ending says how; a missing folder is made, and nothing half-written stays.

    - `.html`: a page that holds everything it needs, plotly.js too, and fetches nothing; light or dark as its reader's screen;
    - `.json`: plotly's own format, read back by `plotly.io.read_json`;
    - `.png`, `.svg`: an image `width` px wide, by kaleido, in light colours.

    Returns:
        The path written.

    Raises:
        FigureError: an unknown ending, or an image without kaleido.
    """
    path = Path(path)
    content = _content(figure, path, width=width)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        part.write_bytes(content)  # with the rights that any new file has here
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _content(figure: go.Figure, path: Path, *, width: int) -> bytes:
    ending = path.suffix.lower()
    if ending == ".html":
        return _page(figure).encode()
    if ending == ".json":
        return str(figure.to_json()).encode()
    if ending in _IMAGES:
        if importlib.util.find_spec("kaleido") is None:
            raise FigureError(f"{path.name}: images need kaleido; pip install 'harmcircuits[images]', or save as .html.")
        return bytes(figure.to_image(format=_IMAGES[ending], width=width, height=figure.layout.height, scale=2))
    raise FigureError(f"{path.name}: unknown ending {ending!r}; use .html, .json, .png or .svg.")


def _page(figure: go.Figure) -> str:
    title = html.escape((figure.layout.title.text or "figure").replace("<br>", " "))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{element(figure, 'figure')}\n"
        f"<script>{get_plotlyjs()}</script>\n<script>{script()}</script>\n</body>\n</html>\n"
    )
