"""Figures: eight functions from a tidy frame (or scores of heads) to a plotly figure, and `save`.

Nothing of the package is imported here, so that every result can draw itself. Colours and symbols are set in `style.py`. Every
figure carries `layout.meta`, a dict with its `caption` and its text alternative `alt`, which pages print, and `dark`, its
colours on a dark page.
"""

from .bars import bars, tokens
from .curves import curves
from .export import save
from .forest import forest
from .heads import heads
from .matrix import heatmap, matrix
from .scatter import scatter

__all__ = ["bars", "curves", "forest", "heads", "heatmap", "matrix", "save", "scatter", "tokens"]
