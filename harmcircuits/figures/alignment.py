"""Areas of harmful generation that is lost, from checkpoint to checkpoint."""

import pandas as pd
import plotly.graph_objects as go

from . import style

_LOOKS = {
    "area": ("harmful", style.VERMILLION, "circle"),
    "area_beyond_benign": ("beyond benign", style.PURPLE, "diamond"),
    "area_beyond_random": ("beyond random controls", style.GREY, "square"),
}
_CAPTION = (
    "Area: mean share of harmful generation that an ablated part takes, over ln of its share of all weights, at bounded benign "
    "cost; and what of it exceeds benign responses or random controls. Bars are 95 % intervals over test requests."
)
_APART = 0.08
"""Between lines at one checkpoint, so that their intervals do not hide one another."""


def checkpoint_areas(areas: pd.DataFrame) -> go.Figure:
    """One line a measure, one point a checkpoint in the order of the rows.

    Args:
        areas: rows of one component type: columns component, checkpoint, measure (a key of `_LOOKS`), value, low, high.
    """
    labels = list(dict.fromkeys(areas["checkpoint"]))
    drawn = style.figure(
        title=f"Does harmful generation come together in fewer {areas['component'].iloc[0]}?",
        height=320,
        caption=_CAPTION,
        alt=" ".join(f"{row['checkpoint']}, {row['measure']}: {row['value']:.2f}." for row in areas.to_dict("records")),
        legend=[name for name, *_ in _LOOKS.values()],
    )
    for at, (measure, (name, colour, symbol)) in enumerate(_LOOKS.items()):
        own = areas[areas["measure"] == measure].dropna(subset=["value"])
        x = pd.Series([labels.index(label) + (at - 1) * _APART for label in own["checkpoint"]], index=own.index, dtype=float)
        lines = style.segments(own["low"], own["high"], x)
        drawn.add_trace(style.interval_lines(lines, colour=colour, group=name, vertical=True))
        drawn.add_scatter(
            x=x, y=own["value"], mode="lines+markers", name=name, legendgroup=name, line={"color": colour},
            marker={"symbol": symbol, "size": 8, "color": colour},
        )  # fmt: skip
    drawn.update_xaxes(
        title_text="checkpoint", tickvals=[*range(len(labels))], ticktext=[style.text(label) for label in labels]
    )
    drawn.update_yaxes(title_text="area (share of harmful generation)", zeroline=True)
    return drawn
