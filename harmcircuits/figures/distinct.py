"""What is ablated × what is measured: ΔL of responses and capabilities as a heat map."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .matrix import Cell, Place, by_place, matrix

_CAPTION = (
    "Rows: the circuit that is ablated, by the target of its selection. Columns: what is measured without it. Numbers: loss "
    "increase ΔL, nats per token, with its 95 % interval; vermillion: it is hurt. Framed: the circuit's target. Random: mean "
    "over controls of the size of the harmful circuit. n/a: not measured. Were the circuits one, their rows would be alike."
)
_COLUMNS = ["aim", "protection", "measured", "value", "low", "high"]


def loss_matrix(frame: pd.DataFrame, *, title: str = "What is lost without each circuit?") -> go.Figure:
    """Circuits (rows) by what is measured (columns): ΔL as colour and number, nats per token. Positive: it is hurt.

    Args:
        frame: one row a circuit and measure, of one component type: columns aim, protection, measured, value, low, high.

    Raises:
        FigureError: a column is missing, one that must be numeric is not, or a circuit has two rows for one measure.
    """
    frame = style.checked(frame, _COLUMNS, numbers=_COLUMNS[3:], what="loss_matrix")
    frame = frame.assign(circuit=(frame["aim"] + " " + frame["protection"].fillna("")).str.strip())
    frame["measured"] = frame["measured"].replace({role: look.name for role, look in style.ROLES.items()})
    rows, columns = (list(dict.fromkeys(frame[name])) for name in ("circuit", "measured"))
    cells = by_place(frame, "circuit", "measured", "loss_matrix")
    aims = {
        place: style.ROLES[cell["aim"]].name if cell["aim"] in style.ROLES else cell["aim"] for place, cell in cells.items()
    }
    return matrix(
        cells, rows, columns, value="value", words=_words, hover=_hover, title=title, axis="measured (framed: the target)",
        bar="loss increase ΔL, nats per token", caption=_CAPTION, full=0.1,
        framed=[place for place, aim in aims.items() if aim == place[1]],
        alt="Loss increase in nats per token. "
        + " ".join(f"{row}, {column}: {_value(cells.get((row, column), {}))}." for row in rows for column in columns),
    )  # fmt: skip


def _value(cell: Cell) -> str:
    value = cell.get("value", np.nan)
    return f"{value:.2f}" if np.isfinite(value) else "n/a"


def _words(cell: Cell, roomy: bool) -> str:
    known = roomy and np.isfinite([cell["low"], cell["high"]]).all()
    return f"<b>{_value(cell)}</b>" + (f"<br>{cell['low']:.2f} to<br>{cell['high']:.2f}" if known else "")


def _hover(place: Place, cell: Cell) -> str:
    name = " without ".join(style.text(part) for part in reversed(place))
    return f"{name}: ΔL {_value(cell)} nats per token<br>{style.interval(cell['low'], cell['high'])}" if cell else name
