"""A figure in dark colours: `style.DARK` has a partner for each light one, and nothing but colours changes."""

import re
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

_COLOUR = re.compile(r"color(way|scale)?$")


def dark(figure: go.Figure) -> go.Figure:
    """`figure` in dark colours, for slides and images; pages that this package writes choose by themselves.

    Only what plotly reads as a colour is changed, and only to what `figure.layout.meta["dark"]` tells, which every figure of
    this package carries: any other comes back as it is.

    >>> from harmcircuits.figures.style import figure
    >>> dark(figure(title="Which?", height=200, caption="", alt="")).layout.template.layout.paper_bgcolor
    '#1B1B1B'
    """
    meta = figure.layout.meta
    partners = meta.get("dark", {}) if isinstance(meta, Mapping) else {}
    return go.Figure(_in_dark(figure.to_plotly_json(), partners))


def _in_dark(node: Any, partners: Mapping[str, str], *, is_colour: bool = False) -> Any:
    if isinstance(node, str):
        return partners.get(node, node) if is_colour else node
    if isinstance(node, (list, tuple)):
        return [_in_dark(one, partners, is_colour=is_colour) for one in node]
    if isinstance(node, Mapping):
        return {key: _in_dark(one, partners, is_colour=_COLOUR.search(str(key)) is not None) for key, one in node.items()}
    return node
