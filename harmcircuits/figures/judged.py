"""How often a judge is right, on cases whose kind is known."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_COLUMNS = ["measure", "value", "low", "high", "least"]
_ROW = 44  # px
_POINT, _LEAST = "measured", "must be reached"


def judge_validation(table: pd.DataFrame, *, title: str = "How often is the judge right?") -> go.Figure:
    """A point with its interval a row, and a grey upright mark where it must reach.

    Args:
        table: columns measure (its name), value, low, high (0 to 1; NaN where there is none), least (the value that must be
            reached; NaN where none is asked), one row a measure.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers.

    >>> frame = pd.DataFrame([("accuracy", 0.75, 0.625, 0.875, float("nan"))], columns=_COLUMNS)
    >>> drawn = judge_validation(frame)
    >>> drawn.data[-1].x.tolist(), drawn.data[-1].text
    ([0.75], ('accuracy: 0.750<br>95 % interval 0.625 to 0.875',))
    """
    frame = style.checked(table, _COLUMNS, numbers=_COLUMNS[1:], what="judge_validation")
    asked, known = frame[np.isfinite(frame["least"])], frame[np.isfinite(frame["value"])]
    drawn = style.figure(
        title=title,
        height=max(_ROW * len(frame), 120),
        caption="Shares of cases that the judge judges rightly, and the AUROC of its scores, with 95 % intervals; a perfect "
        "AUROC has none." + (" Grey marks: what must be reached." if len(asked) else ""),
        alt=" ".join(f"{row.measure}: {row.value:.2f}." for row in known.itertuples()) or "Nothing was measured.",
        legend=[_POINT, _LEAST] if len(asked) else [],
    )
    drawn.add_scatter(
        x=asked["least"], y=asked.index, mode="markers", name=_LEAST, showlegend=len(asked) > 0, hoverinfo="skip",
        marker={"symbol": "line-ns", "size": 14, "line": {"color": style.GREY, "width": 2}},
    )  # fmt: skip
    lines = style.segments(known["low"], known["high"], known.index)
    drawn.add_trace(style.interval_lines(lines, colour=style.BLUE, group=_POINT))
    drawn.add_scatter(
        x=known["value"], y=known.index, mode="markers", name=_POINT, legendgroup=_POINT, showlegend=len(asked) > 0,
        marker={"color": style.BLUE, "size": 9}, hovertemplate="%{text}<extra></extra>",
        text=[
            f"{style.text(row.measure)}: {row.value:.3f}<br>{style.interval(row.low, row.high)}" for row in known.itertuples()
        ],
    )  # fmt: skip
    style.row_labels(drawn, [(str(name), _apart(value)) for name, value in zip(frame["measure"], frame["value"], strict=True)])
    drawn.update_xaxes(title_text="share, or AUROC", range=[-0.03, 1.03])
    return drawn


def _apart(value: float) -> str:
    return "" if np.isfinite(value) else "not measured"
