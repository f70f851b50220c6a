"""The figures of a page, where they can be drawn."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..figures.style import FigureError

if TYPE_CHECKING:
    import plotly.graph_objects as go

log = logging.getLogger(__name__)


def drawable(name: str, draw: "Callable[[], dict[str, go.Figure]]") -> "dict[str, go.Figure]":
    """What `draw` gives; none, with a warning, where one cannot be drawn: a page without figures says more than no page.

    Args:
        name: of the result, for the warning.
    """
    try:
        return draw()
    except FigureError as error:
        log.warning("the figures of %s are not on its page: %s", name, error)
        return {}
