"""Figures: seven functions from a tidy frame (or scores of heads) to a plotly figure, and `save`.

`title` is the question that the figure answers; `caption` says what is drawn, its unit and sign.

Nothing of the package is imported here, so that every result can draw itself. Colours and symbols are set in `style.py`. Every
figure carries `layout.meta`, a dict with its `caption` and its text alternative `alt`, which pages print, and `dark`, its
colours on a dark page.
"""

from .bars import bars
from .export import save
from .matrix import heads, heatmap, matrix
from .points import curves, forest, scatter

__all__ = ["bars", "curves", "forest", "heads", "heatmap", "matrix", "save", "scatter"]
