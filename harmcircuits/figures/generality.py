"""Does what writes one kind of harm write the others: transfer and overlap as matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .matrix import Cell, Place, by_place, matrix

_TRANSFER = ["selected", "tested", *(f"{name}{end}" for name in ("selectivity", "ratio") for end in ("", "_low", "_high"))]
_RISES = ["harmful", "near"]
_OVERLAP = ["one", "other", "excess", "jaccard", "with_twins", "random", "p_adjusted", "null_low", "null_high"]
_LEVEL = 0.05
_MUCH = 0.1
"""Excess of a Jaccard index, from 0 to 1."""


def transfer_matrix(frame: pd.DataFrame, *, title: str = "Does what writes one kind of harm write the others?") -> go.Figure:
    """Selectivity (harmful − near rise of L, nats per token) of each circuit (rows) on each kind of harm (columns).

    Vermillion, positive: harmful text is hurt more than its near twins. Cells hold the value and its 95 % interval; pointing at
    one tells the rises and the share of what the kind's own circuit does. Rows and columns keep the frame's order.

    Args:
        frame: one row a cell, columns selected, tested, harmful, near, and selectivity and ratio, both also with _low and _high
            (95 % interval); null where it was not measured.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, one that must be numeric is not, or two rows for one cell.

    >>> row = {"selected": "scams", "tested": "theft", **dict.fromkeys([*_TRANSFER[2:], *_RISES], 0.5)}
    >>> transfer_matrix(pd.DataFrame([row])).data[0].text[0][0]
    '<b>+0.50</b><br>+0.50 to<br>+0.50'
    """
    frame = style.checked(frame, [*_TRANSFER, *_RISES], numbers=[*_TRANSFER[2:], *_RISES], what="transfer_matrix")
    rows, columns = (list(dict.fromkeys(frame[name].astype(str))) for name in ("selected", "tested"))
    cells = by_place(frame, "selected", "tested", "transfer_matrix")
    return matrix(
        cells, rows, columns, value="selectivity", words=_transfer_words, hover=_transfer_hover, title=title,
        axis="tested on", bar="selectivity, harmful − near (nats per token)",
        caption=(
            "Rows: the triples that a circuit was selected on. Columns: the kind of harm that it was tested on, held-out "
            "triples of that kind alone. Numbers: by how much more L rises on harmful responses than on near twins, nats per "
            "token, with the 95 % interval. Were there one mechanism, the cells of a column would be alike; were there one for "
            "each kind, only the diagonal would be coloured."
        ),
        alt=f"Selectivity in nats per token. {_spoken(cells, rows, columns, 'selectivity')}",
    )  # fmt: skip


def overlap_matrix(frame: pd.DataFrame, *, title: str = "Do circuits of two kinds of harm share components?") -> go.Figure:
    """Jaccard of two groups' circuits beyond that with each other's twin circuits; an asterisk: adjusted p of at most 0.05.

    Up to five groups, cells also hold the middle 95 % of what swapped labels give: outside it the excess is beyond chance.

    Args:
        frame: one row a pair, columns one, other, excess, jaccard, with_twins, random (0 to 1), p_adjusted, null_low and
            null_high (middle 95 % of the label-swap null).
        title: the question above the figure.

    Raises:
        FigureError: see `transfer_matrix`.

    >>> row = {"one": "scams", "other": "theft", **dict.fromkeys(_OVERLAP[2:], 0.25)}
    >>> list(overlap_matrix(pd.DataFrame([row])).data[0].text[0])
    ['', '<b>+0.25</b><br>0.25 in all<br>null +0.25<br>to +0.25']
    """
    frame = style.checked(frame, _OVERLAP, numbers=_OVERLAP[2:], what="overlap_matrix")
    names = list(dict.fromkeys([*frame["one"].astype(str), *frame["other"].astype(str)]))
    half = by_place(frame, "one", "other", "overlap_matrix")
    cells = half | {(other, one): cell for (one, other), cell in half.items()}
    return matrix(
        cells, names, names, value="excess", words=_overlap_words, hover=_overlap_hover, title=title,
        axis="* adjusted p ≤ 0.05", bar="Jaccard beyond that with twins' circuits",
        caption=(
            "Numbers: the Jaccard index of two groups' circuits (below: in all) minus the mean of those between each group's "
            "circuit and the other group's twin circuit, found by the same recipe. Above 0: they share components because of "
            "harm and not only because of topic, form and prefill. Null: the middle 95 % of the excess when harmful and near "
            "labels are swapped at random within triples; p: against the same swaps, adjusted over pairs. A circuit is one "
            "choice from all training triples, so that there is no interval over triples."
        ),
        alt=f"Excess of the Jaccard index. {_spoken(half, names, names, 'excess')}",
        full=_MUCH,
    )  # fmt: skip


def _transfer_words(cell: Cell, roomy: bool) -> str:
    if not np.isfinite(cell["selectivity"]):
        return "n/a"
    value, low, high = (cell[f"selectivity{end}"] for end in ("", "_low", "_high"))
    interval = f"<br>{style.short(low)} to<br>{style.short(high)}" if roomy and np.isfinite([low, high]).all() else ""
    return f"<b>{style.short(value)}</b>{interval}"


def _transfer_hover(place: Place, cell: Cell) -> str:
    name = f"selected on {style.text(place[0])}<br>tested on {style.text(place[1])}"
    if not cell or not np.isfinite(cell["selectivity"]):
        return f"{name}<br>not measured"
    lines = [name, f"selectivity {style.number(cell['selectivity'])}"]
    lines.append(style.interval(cell["selectivity_low"], cell["selectivity_high"]))
    lines.append(f"rises: harmful {style.number(cell['harmful'])}, near {style.number(cell['near'])} nats/token")
    share = f"{cell['ratio']:.2f}, {style.interval(cell['ratio_low'], cell['ratio_high'])}"
    lines.append(f"share of its own circuit's: {share if np.isfinite(cell['ratio']) else 'cannot be told'}")
    return "<br>".join(lines)


def _overlap_words(cell: Cell, roomy: bool) -> str:
    if not np.isfinite(cell["excess"]):
        return "n/a"
    mark = " *" if cell["p_adjusted"] <= _LEVEL else ""
    if not roomy:
        return f"<b>{style.short(cell['excess'])}</b>{mark}"
    ends = cell["null_low"], cell["null_high"]
    null = f"<br>null {style.short(ends[0])}<br>to {style.short(ends[1])}" if np.isfinite(ends).all() else ""
    return f"<b>{style.short(cell['excess'])}</b>{mark}<br>{cell['jaccard']:.2f} in all{null}"


def _overlap_hover(place: Place, cell: Cell) -> str:
    name = " and ".join(style.text(one) for one in place)
    if not cell or not np.isfinite(cell["excess"]):
        return f"{name}<br>not compared"
    return "<br>".join(
        [
            name,
            f"Jaccard {cell['jaccard']:.3f}, with the twins' circuits {cell['with_twins']:.3f}",
            f"excess {style.number(cell['excess'])}, adjusted {_p(cell['p_adjusted'])}",
            f"of swapped labels, middle 95 %: {style.number(cell['null_low'])} to {style.number(cell['null_high'])}",
            f"random circuits of this size: {cell['random']:.4f}",
        ]
    )


def _p(value: float) -> str:
    return f"p {value:.3f}" if np.isfinite(value) else "no p"


def _spoken(cells: Mapping[Place, Cell], rows: Sequence[str], columns: Sequence[str], value: str) -> str:
    parts = []
    for row in rows:
        known = [(column, cells[row, column][value]) for column in columns if (row, column) in cells]
        told = ", ".join(f"{column} {number:+.2f}" if np.isfinite(number) else f"{column} n/a" for column, number in known)
        parts += [f"{row}: {told}"] if told else []
    return f"{'; '.join(parts) or 'Nothing was measured'}."
