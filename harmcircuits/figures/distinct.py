"""Whether circuits of several aims are the same ones: their overlap as a table, and what falls without each."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .crossed import crossed_effects
from .matrix import Cell, Place, by_place, matrix

_NUMBERS = ["share", "low", "high", "jaccard", "chance", "ceiling"]
_COLUMNS = ["one", "other", *_NUMBERS]
_OVERLAPS = (
    "How alike the circuits of two aims are: their Jaccard overlap beyond chance, as a share of what circuits of one aim that "
    "are found on two halves of its examples have in common. 1: as alike as one aim's own halves; 0: as random circuits of "
    "the same size. Below: 95 % interval, examples drawn again and circuits selected anew. n/a: not measured."
)
_EFFECTS = (
    "Rows: what was switched off, found by one recipe aimed at each. Columns: the task that falls without it. Numbers: the "
    "standardised effect d, the mean rise of L (over triples, or sentences) divided by its standard deviation, with its 95 % "
    "interval; positive, and vermillion: the task falls. Framed: the task that the circuit was aimed at. *: p of at most 0.05, "
    "adjusted for all cells. Columns compare circuits; rows do not compare tasks, whose lengths differ. Were the circuits of "
    "harm and of a capability one, their rows would look alike."
)


def distinct_overlaps(frame: pd.DataFrame, *, title: str = "Are the circuits of these aims the same?") -> go.Figure:
    """Aims by aims: share of the ceiling as colour and number, with its 95 % interval below it. No unit.

    Args:
        frame: one row a pair, columns one, other, share, low, high, jaccard, chance, ceiling; optionally reason.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, or one that must be numeric is not.

    >>> row = ("harm", "facts", 0.25, 0.1, 0.5, 0.1, 0.01, 0.4)
    >>> drawn = distinct_overlaps(pd.DataFrame([row], columns=_COLUMNS))
    >>> drawn.data[0].text[0][1]
    '<b>0.25</b><br>0.10 to<br>0.50'
    """
    frame = style.checked(frame, _COLUMNS, numbers=_NUMBERS, what="distinct_overlaps")
    aims = list(dict.fromkeys([*frame["one"].astype(str), *frame["other"].astype(str)]))
    half = by_place(frame, "one", "other", "distinct_overlaps")
    return matrix(
        half | {(other, one): cell for (one, other), cell in half.items()}, aims, aims, value="share", words=_words,
        hover=_hover, title=title, axis="", bar="overlap ÷ ceiling (no unit)", caption=_OVERLAPS, alt=_spoken(frame), full=1.0,
    )  # fmt: skip


def distinct_effects(frame: pd.DataFrame, *, title: str = "What falls without the circuit of each aim?") -> go.Figure:
    """Aims by tasks: `crossed_effects`, with a caption of its own. d of the rise of L; positive: the task falls.

    Args:
        frame: as of `crossed_effects`; drop in nats per token.
        title: the question above the figure.

    Raises:
        FigureError: as of `crossed_effects`.
    """
    drawn = crossed_effects(frame, title=title)
    drawn.update_layout(meta={**drawn.layout.meta, "caption": _EFFECTS})
    return drawn


def _words(cell: Cell, roomy: bool) -> str:
    if not np.isfinite(cell["share"]):
        return "n/a"
    known = roomy and np.isfinite([cell["low"], cell["high"]]).all()
    return f"<b>{cell['share']:.2f}</b>" + (f"<br>{cell['low']:.2f} to<br>{cell['high']:.2f}" if known else "")


def _hover(place: Place, cell: Cell) -> str:
    names = " and ".join(style.text(one) for one in place)
    if not cell:
        return names
    if not np.isfinite(cell["share"]):
        return f"{names}: not measured<br>{'<br>'.join(style.wrapped(str(cell.get('reason', '')), 44))}"
    return (
        f"{names}: {cell['share']:.3f} of the ceiling<br>{style.interval(cell['low'], cell['high'])}<br>"
        f"Jaccard {cell['jaccard']:.3f}, by chance {cell['chance']:.3f}, two halves of one aim {cell['ceiling']:.3f}"
    )


def _spoken(frame: pd.DataFrame) -> str:
    said = [
        f"{row['one']} and {row['other']} " + (f"{row['share']:.2f}" if np.isfinite(row["share"]) else "not measured")
        for row in frame.to_dict("records")
    ]
    return f"Overlap of circuits as a share of what one aim's halves have in common: {', '.join(said) or 'no pair'}."
