"""A figure on a page: its numbers as JSON, and the one script that draws all figures there."""

import html
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import plotly.graph_objects as go

_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@cache
def script() -> str:
    """Draws every element with `data-figure`, by a plotly.js that the page has loaded before.

    In dark colours where the page's text is light, again when that changes, as wide as the element, and no higher than the
    legend needs there; on paper in light ones.
    """
    return files(__package__).joinpath("draw.js").read_text("utf-8")


def embedded(figure: go.Figure) -> str:
    """Plotly's JSON for a script element: no string in it can end that element.

    >>> import json
    >>> text = embedded(go.Figure(layout={"title": "</script>"}))
    >>> "<" in text, json.loads(text)["layout"]["title"]["text"]
    (False, '</script>')
    """
    return str(figure.to_json()).translate(_SAFE)


def element(figure: go.Figure, name: str) -> str:
    """The figure's place on a page, with its text alternative, and its numbers under the anchor `name`."""
    meta = figure.layout.meta if isinstance(figure.layout.meta, Mapping) else {}
    alt = html.escape(str(meta.get("alt") or meta.get("caption") or "figure"))
    return (
        f'<div role="img" aria-label="{alt}" data-figure="{name}"></div>\n'
        f'<script type="application/json" id="{name}">{embedded(figure)}</script>'
    )
