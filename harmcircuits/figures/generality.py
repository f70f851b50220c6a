"""Does the circuit of one category of harm serve the others: a matrix of loss increases."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .matrix import Cell, Place, by_place, matrix

_CAPTION = (
    "Rows: the category whose training requests a circuit was selected on; random: the mean of controls of other categories' "
    "circuits. Columns: the category of the test requests. Numbers: loss increase ΔL of harmful responses, nats per token, "
    "with the 95 % interval. Were there one mechanism, the cells of a column would be alike; were there one for each category, "
    "only the framed ones would be coloured."
)


def category_matrix(frame: pd.DataFrame) -> go.Figure:
    """ΔL of harmful responses of each category (columns) under the circuit of each (rows), and under random controls.

    Args:
        frame: rows of one component type: columns component, selected, tested, role, loss_increase, low, high.

    >>> rows = [("heads", one, other, "harmful", 0.5, 0.4, 0.6) for one in ("scams", "theft") for other in ("scams", "theft")]
    >>> columns = ["component", "selected", "tested", "role", "loss_increase", "low", "high"]
    >>> category_matrix(pd.DataFrame(rows, columns=columns)).data[0].text[0][1]
    '<b>+0.50</b><br>+0.40 to<br>+0.60'
    """
    roles = {str(role): by_place(own, "selected", "tested", "category_matrix") for role, own in frame.groupby("role")}
    cells = roles["harmful"]
    rows, columns = (list(dict.fromkeys(frame[name])) for name in ("selected", "tested"))

    def words(cell: Cell, roomy: bool) -> str:
        ends = [style.short(cell[end]) for end in ("low", "high") if np.isfinite(cell[end])]
        return f"<b>{style.short(cell['loss_increase'])}</b>" + (f"<br>{' to<br>'.join(ends)}" if roomy and ends else "")

    def hover(place: Place, cell: Cell) -> str:
        increases = [f"{style.ROLES[role].name} {style.number(own[place]['loss_increase'])}" for role, own in roles.items()]
        return "<br>".join([f"selected on {style.text(place[0])}, tested on {style.text(place[1])}", *increases])

    component = frame["component"].iloc[0]
    return matrix(
        cells, rows, columns, value="loss_increase", words=words, hover=hover,
        title=f"What do {component} of one category do to the others?", axis="tested on",
        bar="loss increase ΔL, nats per token", caption=_CAPTION, framed=[(name, name) for name in columns if name in rows],
        alt=" ".join(f"{row} on {column}: {cell['loss_increase']:.2f}." for (row, column), cell in cells.items()),
    )  # fmt: skip
