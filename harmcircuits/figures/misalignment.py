"""What fine-tuning on advice about one subject does there and elsewhere, with weights pruned first and without."""

import pandas as pd
import plotly.graph_objects as go

from . import style

_NARROW = style.Look("the subject of the lessons", style.VERMILLION, "circle")
_BROAD = style.Look("other subjects", style.BLUE, "diamond")
_CAPTION = (
    "By how much fine-tuning raises the log-odds of bad advice, nats per token; 0 (grey line): it is as likely as before. "
    "Bars are 95 % intervals over fine-tunings and questions. First: set to zero before bad advice is learned."
)


def misalignment_arms(arms: pd.DataFrame) -> go.Figure:
    """Rise of the log-odds of bad advice of each arm (rows), narrow and broad.

    Args:
        arms: columns arm, asked (the subject, or "other subjects"), value, low, high.

    Raises:
        FigureError: a column is missing or does not hold numbers.
    """
    arms = style.checked(
        arms, ["arm", "asked", "value", "low", "high"], numbers=["value", "low", "high"], what="misalignment_arms"
    )
    rows = {arm: row for row, arm in enumerate(dict.fromkeys(arms["arm"]))}
    drawn = style.figure(
        title="Does bad advice about one subject spread, and less after pruning?",
        height=60 * max(len(rows), 2),
        caption=_CAPTION,
        alt=" ".join(f"{own['arm']}, {own['asked']}: {own['value']:+.2f}." for own in arms.to_dict("records")),
        legend=[_NARROW.name, _BROAD.name],
    )
    drawn.add_vline(x=0, line={"color": style.GREY, "width": 1.5})
    for look, own in ((_NARROW, arms[arms["asked"] != _BROAD.name]), (_BROAD, arms[arms["asked"] == _BROAD.name])):
        y = [rows[arm] + (0.2 if look is _BROAD else 0.0) for arm in own["arm"]]
        lines = style.segments(own["low"], own["high"], y)
        drawn.add_trace(style.interval_lines(lines, colour=look.colour, group=look.name))
        drawn.add_scatter(
            x=own["value"], y=y, mode="markers", name=look.name, legendgroup=look.name,
            marker={"color": look.colour, "symbol": look.symbol, "size": 9},
        )  # fmt: skip
    style.row_labels(drawn, [(arm, "") for arm in rows])
    bounds = style.span(arms["value"], arms["low"], arms["high"], hold=0)
    drawn.update_xaxes(title_text="rise of the log-odds of bad advice, nats per token", range=bounds)
    return drawn
