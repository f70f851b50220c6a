"""What narrow fine-tuning does elsewhere, after which pruning, and how soon it is back: rows, a matrix, and curves."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style
from .bands import band
from .matrix import Cell, by_place, matrix
from .style import Look

SERIES = {
    "own domain": Look("the domain that was learnt", style.VERMILLION, "circle"),
    "other domains": Look("other domains", style.BLUE, "diamond"),
    "open questions": Look("open questions", style.GREEN, "square"),
}
_ARMS = ["advice", "pruned", "asked", "read", "value", "low", "high"]
_CELLS = ["learnt", "pruned", "value", "low", "high", "reduction", "reduction_low", "reduction_high"]
_CURVES = ["learnt", "pruned", "steps", "value", "low", "high"]
_OFFSETS = (0.0, 0.16, 0.32)
_ROW = 66  # px
_PANEL, _GAP = 240, 76  # px
_COLOURS = {
    "nothing": style.BLACK,
    "own domain": style.VERMILLION,
    "another domain": style.ORANGE,
    "harmful requests": style.PURPLE,
    "random": style.GREY,
    "magnitude": style.SKY,
    "random, like harmful requests": style.GREY,
    "magnitude, like harmful requests": style.SKY,
    "random, equal damage": style.BLUE,
}
_DASHES = {
    "random": "dash",
    "magnitude": "dash",
    "random, like harmful requests": "dot",
    "magnitude, like harmful requests": "dot",
    "random, equal damage": "dash",
}
"""What is aimed at nothing in particular is dashed, or dotted."""
_ZERO: dict[str, Any] = {"color": style.GREY, "width": 1.5}


def misalignment_arms(frame: pd.DataFrame, *, title: str = "Does bad advice in one domain spread?") -> go.Figure:
    """Δb of each arm (rows), nats per token, with 95 % intervals: in the domain learnt, in others, on open questions.

    Positive: bad advice has become likelier. What was not measured is not drawn.

    Args:
        frame: columns advice ("bad" or "good": what was learnt), pruned, asked (own domain, other domains, open questions;
            other rows are not drawn), read ("last stage", "equal loss"), value, low, high.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers.

    >>> frame = pd.DataFrame([("bad", "nothing", "own domain", "last stage", 0.5, 0.25, 0.75)], columns=_ARMS)
    >>> [float(value) for value in misalignment_arms(frame).data[1].x]
    [0.5]
    """
    frame = style.checked(frame, _ARMS, numbers=_ARMS[4:], what="misalignment_arms")
    shown = frame[np.isfinite(frame["value"]) & frame["asked"].isin(list(SERIES))]
    places = [(str(a), str(p), str(r)) for a, p, r in zip(shown["advice"], shown["pruned"], shown["read"], strict=True)]
    rows = {place: row for row, place in enumerate(dict.fromkeys(places))}
    shown = shown.assign(row=[rows[place] for place in places])
    said = [_spoken(shown, *place) for place in rows]
    drawn = style.figure(
        title=title,
        height=max(_ROW * len(rows), 120),
        caption=(
            "By how much the log-odds of bad advice rise by fine-tuning (nats per token, 95 % intervals over fine-tunings and "
            "questions); 0 (grey line): it is as likely as before. Rows: what was learnt in one domain, and what had been set "
            "to zero first (pruned: bad advice was learnt then, where nothing else is said). Last stage: when the fine-tuning "
            "ends; equal loss: where all arms find held-out bad answers of the domain equally likely."
        ),
        alt=f"Rise of the log-odds of bad advice. {' '.join(said) or 'Nothing was measured.'}",
        legend=[look.name for look in SERIES.values()],
    )
    drawn.add_vline(x=0, line=_ZERO)
    for offset, (asked, look) in zip(_OFFSETS, SERIES.items(), strict=True):
        part = shown[shown["asked"] == asked]
        if len(part):
            _add_series(drawn, part, look, offset)
    style.row_labels(drawn, [_row_label(*row) for row in rows])
    bounds = style.span(shown["value"], shown["low"], shown["high"], hold=0)
    drawn.update_xaxes(title_text="rise of the log-odds of bad advice (nats per token)", range=bounds)
    return drawn


def misalignment_matrix(frame: pd.DataFrame, *, title: str = "Does pruning on one domain protect from another?") -> go.Figure:
    """Δb outside the domain learnt (rows) after pruning (columns), nats per token, at equal loss on the domain.

    Up to five columns, cells also hold the 95 % interval; pointing at a cell always tells it.

    Args:
        frame: one row a cell, columns learnt, pruned, value, low, high, and reduction (how much less than without pruning) with
            _low and _high; null where it cannot be compared.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, one that must be numeric is not, or two rows for one cell.

    >>> frame = pd.DataFrame([("money", "sport", 0.5, 0.25, 0.75, 0.1, 0.0, 0.2)], columns=_CELLS)
    >>> misalignment_matrix(frame).data[0].text[0][0]
    '<b>+0.50</b> *<br>+0.25 to<br>+0.75'
    """
    frame = style.checked(frame, _CELLS, numbers=_CELLS[2:], what="misalignment_matrix")
    rows, columns = (list(dict.fromkeys(frame[name].astype(str))) for name in ("learnt", "pruned"))
    cells = by_place(frame, "learnt", "pruned", "misalignment_matrix")
    known = [f"{row}, {column}: {cell['value']:+.2f}" for (row, column), cell in cells.items() if np.isfinite(cell["value"])]
    return matrix(
        cells, rows, columns, value="value", words=_words, hover=_hover, title=title, axis="pruned before",
        bar="rise of the log-odds of bad advice (nats per token)",
        caption=(
            "Rows: the domain whose bad advice was learnt. Columns: what had been set to zero before. Numbers: by how much the "
            "log-odds of bad advice rise on all questions outside the domain, where all arms find held-out bad answers of the "
            "domain equally likely, with 95 % intervals where there is room (pointing at a cell tells them); *: it excludes 0. "
            "n/a: not every model gets there."
        ),
        alt=f"Rise of the log-odds of bad advice by domain and pruning. {'; '.join(known) or 'Nothing was measured'}.",
    )  # fmt: skip


def relearning_curves(
    frame: pd.DataFrame,
    *,
    of: str = "the domain's held-out bad answers",
    title: str = "How soon are bad answers learnt again?",
) -> go.Figure:
    """L of some texts − that of the intact model, nats per token, by steps of fine-tuning, with 95 % bands; a panel a domain.

    Args:
        frame: columns learnt, pruned, steps, value, low, high.
        of: which texts.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, or something unknown was pruned.

    >>> frame = pd.DataFrame([("money", "random", 0, 0.5, 0.25, 0.75)], columns=_CURVES)
    >>> relearning_curves(frame).data[1].name
    'random'
    """
    frame = style.checked(frame, _CURVES, numbers=_CURVES[2:], what="relearning_curves")
    style.refuse_unknown(frame["pruned"], _COLOURS, what="relearning_curves: pruned")
    panels = list(dict.fromkeys(frame["learnt"]))
    height = max(len(panels), 1) * _PANEL + max(len(panels) - 1, 0) * _GAP
    drawn = style.figure(
        title=title,
        height=height,
        caption=(
            f"By how much L of {of} exceeds the intact model's (nats per token), after pruning and so many steps of "
            "fine-tuning on that domain's bad advice. Below 0 (grey line): likelier than before pruning. Dashed: controls; "
            "dotted: those matched to the mask of harmful requests. Bands: 95 % intervals."
        ),
        alt=" ".join(_end(own) for _, own in frame.groupby(["learnt", "pruned"], sort=False)) or "Nothing was measured.",
        legend=list(dict.fromkeys(frame["pruned"])),
    )
    for row, learnt in enumerate(panels):
        top = 1 - row * (_PANEL + _GAP) / height
        domain = [max(top - _PANEL / height, 0.0), top]
        _add_panel(drawn, frame[frame["learnt"] == learnt], str(learnt), row=row, domain=domain)
    drawn.update_xaxes(title_text="steps of fine-tuning")
    drawn.update_yaxes(title_text="L − L intact", range=style.span(frame["value"], frame["low"], frame["high"], hold=0))
    return drawn


def _row_label(advice: str, pruned: str, read: str) -> tuple[str, str]:
    """Bold and plain; of a pruned arm the mask comes first, since that is what tells it from the others."""
    if pruned == "nothing":
        return f"{advice} advice", f"({read})"
    return pruned, f"({'' if advice == 'bad' else f'{advice}, '}pruned; {read})"


def _row_name(advice: str, pruned: str) -> str:
    return f"{advice} advice" if pruned == "nothing" else f"{advice} advice, pruned: {pruned}"


def _add_series(drawn: go.Figure, part: pd.DataFrame, look: Look, offset: float) -> None:
    y = [row + offset for row in part["row"]]
    lines = style.segments(part["low"], part["high"], y)
    drawn.add_trace(style.interval_lines(lines, colour=look.colour, group=look.name))
    hover = [
        f"{style.text(_row_name(own['advice'], own['pruned']))}, {style.text(own['read'])}<br>{look.name}: "
        f"{style.number(own['value'])}<br>{style.interval(own['low'], own['high'])}"
        for own in part.to_dict("records")
    ]
    drawn.add_scatter(
        x=part["value"], y=y, mode="markers", name=look.name, legendgroup=look.name,
        marker={"color": look.colour, "symbol": look.symbol, "size": 9}, text=hover, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _spoken(shown: pd.DataFrame, advice: str, pruned: str, read: str) -> str:
    part = shown[(shown["advice"] == advice) & (shown["pruned"] == pruned) & (shown["read"] == read)]
    values = [f"{asked} {value:+.2f}" for asked, value in zip(part["asked"], part["value"], strict=True)]
    return f"{_row_name(advice, pruned)} ({read}): {', '.join(values)}."


def _words(cell: Cell, roomy: bool) -> str:
    if not np.isfinite(cell["value"]):
        return "n/a"
    mark = " *" if cell["low"] > 0 or cell["high"] < 0 else ""
    ends = (
        f"<br>{cell['low']:+.2f} to<br>{cell['high']:+.2f}" if roomy and np.isfinite([cell["low"], cell["high"]]).all() else ""
    )
    return f"<b>{cell['value']:+.2f}</b>{mark}{ends}"


def _hover(place: tuple[str, str], cell: Cell) -> str:
    name = f"learnt: {style.text(place[0])}<br>pruned before: {style.text(place[1])}"
    if not cell or not np.isfinite(cell["value"]):
        return f"{name}<br>cannot be compared"
    lines = [name, f"{style.number(cell['value'])} nats per token", style.interval(cell["low"], cell["high"])]
    lines.append(f"less than without pruning by {style.number(cell['reduction'])}")
    return "<br>".join([*lines, style.interval(cell["reduction_low"], cell["reduction_high"])])


def _add_panel(drawn: go.Figure, part: pd.DataFrame, learnt: str, *, row: int, domain: list[float]) -> None:
    suffix = "" if row == 0 else str(row + 1)
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    lines = [(str(pruned), line) for pruned, line in part.groupby("pruned", sort=False)]
    for name, line in lines:  # below all lines
        known = band(line["steps"], line["low"], line["high"], _COLOURS[name], name, pale=True)
        drawn.add_trace(known.update(**axes))
    for name, line in lines:
        hover = [
            f"{style.text(name)}, after {own['steps']:.0f} steps: {style.number(own['value'])}<br>"
            f"{style.interval(own['low'], own['high'])}"
            for own in line.to_dict("records")
        ]
        drawn.add_scatter(
            x=line["steps"], y=line["value"], mode="lines+markers", name=style.text(name), legendgroup=name,
            showlegend=row == 0, line={"color": _COLOURS[name], "width": 2, "dash": _DASHES.get(name, "solid")},
            text=hover, hovertemplate="%{text}<extra></extra>", **axes,
        )  # fmt: skip
    drawn.add_shape(
        type="line", x0=0, x1=1, xref=f"{axes['xaxis']} domain", y0=0, y1=0, yref=axes["yaxis"], line=_ZERO, layer="below"
    )
    drawn.add_annotation(
        text=f"<b>{style.text(learnt)}</b>", x=0.995, xref="paper", xanchor="right", y=domain[1], yref="paper", yanchor="top",
        showarrow=False, bgcolor=style.VEIL,
    )  # fmt: skip
    drawn.update_layout(
        {f"xaxis{suffix}": {"anchor": axes["yaxis"]}, f"yaxis{suffix}": {"anchor": axes["xaxis"], "domain": domain}}
    )


def _end(line: pd.DataFrame) -> str:
    first, last = line.iloc[0], line.iloc[-1]
    return (
        f"{last['learnt']}, pruned {last['pruned']}: {first['value']:+.2f} at first, {last['value']:+.2f} after "
        f"{last['steps']:.0f} steps."
    )
