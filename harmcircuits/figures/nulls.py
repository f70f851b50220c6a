"""The observed selectivity beside what the nulls give."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from . import style
from .style import FigureError

_CAPTION = (
    "Selectivity: rise of L on harmful requests minus rise on near twins. Each point is one draw of a null; the grey "
    "line under the points holds the middle 95 % of them. Vermillion: the observed circuit on the same triples, with its 95 % "
    "interval where there is one; on all triples it may lie elsewhere."
)


def scatter_null(
    observed: float,
    null_frame: pd.DataFrame,
    *,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
    title: str = "Is the circuit more selective than chance would make it?",
) -> go.Figure:
    """Selectivity of every null draw as a point, one row a null; the observed selectivity as a line.

    Selectivity: rise of L on harmful requests − rise on near twins, nats per token. Grey lines hold the middle 95 % of
    a null's draws. Each row's label counts the draws at or above the observed value.

    Args:
        observed: the circuit's selectivity.
        null_frame: columns null (its name, such as "matched random" or "label swap") and value; one line a draw. Lines
            without a value are left out and counted under the title.
        low: lower end of the observed value's 95 % interval; drawn as a band where both ends are given.
        high: upper end.
        n: triples on which the draws and the observed value were measured, named on the axis.
        title: the question above the figure.

    Raises:
        FigureError: `observed` is not finite, a column is missing, or `value` does not hold numbers.

    >>> figure = scatter_null(0.3, pd.DataFrame({"null": ["label swap"] * 2, "value": [0.1, 0.4]}))
    >>> figure.layout.annotations[0].text
    '<b>label swap</b> 1 of 2 ≥ observed'
    """
    if not np.isfinite(observed):
        raise FigureError(f"the observed selectivity is {observed}; there is nothing to compare the nulls with.")
    draws = style.checked(null_frame, ["null", "value"], numbers=["value"], what="scatter_null")
    finite = draws[np.isfinite(draws["value"])]
    nulls = {str(name): part["value"].to_numpy() for name, part in finite.groupby("null", sort=False)}
    counts = [f"{int((values >= observed).sum())} of {len(values):,} ≥ observed" for values in nulls.values()]
    labels = list(zip(nulls, counts, strict=True))
    lost = len(draws) - len(finite)
    spoken = "; ".join(f"{name}: {count}" for name, count in labels) or "no draw of a null was given"
    drawn = style.figure(
        title=title,
        height=max(110 * len(nulls), 130),
        caption=_CAPTION,
        alt=f"Observed selectivity {style.number(observed, digits=3)} nats per token; {spoken}.",
        note=f"not shown: {lost:,} draws without a value" if lost else "",
        legend=["null draws", "observed"],
    )
    for row, (name, values) in enumerate(nulls.items()):
        _add_draws(drawn, name, values, row)
    ends = (np.nan if low is None else low, np.nan if high is None else high)
    _add_observed(drawn, observed, ends, rows=len(nulls))
    style.row_labels(drawn, labels)
    on = f" on {n} triples" if n else ""
    drawn.update_xaxes(
        title_text=f"selectivity{on} (nats per token)", range=style.span(finite["value"], ends, [observed], hold=0)
    )
    return drawn


def _add_draws(drawn: go.Figure, name: str, values: Float[ndarray, " draw"], row: int) -> None:
    spread = 0.04 + 0.34 * style.scattered(np.arange(len(values)))
    drawn.add_scatter(
        x=values, y=row + spread, mode="markers", name="null draws", showlegend=row == 0, legendgroup="draws",
        marker={"color": style.GREY, "size": 6, "opacity": 0.65},
        hovertemplate=f"{style.text(name)}: %{{x:+.4f}} nats/token<extra></extra>",
    )  # fmt: skip
    middle = np.quantile(values, [0.025, 0.975])
    line = style.segments(middle[:1], middle[1:], [row + 0.46])
    drawn.add_trace(style.interval_lines(line, colour=style.GREY, group="draws", width=3))


def _add_observed(drawn: go.Figure, observed: float, ends: tuple[float, float], *, rows: int) -> None:
    if np.isfinite(ends).all():
        drawn.add_vrect(x0=ends[0], x1=ends[1], fillcolor=style.VERMILLION, opacity=0.15, line_width=0, layer="below")
    hover = f"observed: {style.number(observed)} nats/token<br>{style.interval(*ends)}"
    drawn.add_scatter(
        x=[observed] * 2, y=[-0.45, max(rows, 1) - 0.45], mode="lines", name="observed", showlegend=True,
        line={"color": style.VERMILLION, "width": 2.5}, text=[hover] * 2, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
