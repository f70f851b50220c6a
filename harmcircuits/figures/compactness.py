"""Loss increase of responses against the share of weights that is ablated."""

import pandas as pd
import plotly.graph_objects as go

from . import style

_CAPTION = (
    "ΔL: how much less likely the ablation makes the baseline's responses. Dashed: half of what harmful responses take from "
    "their request. Bars are 95 % intervals. Grey: random controls of the same size, harmful responses."
)


def size_curves(sizes: pd.DataFrame, *, whole: float | None = None) -> go.Figure:
    """ΔL of harmful and benign responses, and of harmful ones under random controls, by size.

    Args:
        sizes: rows of one component type: columns component, control, condition, share, role, loss_increase, low, high.
        whole: the request information of harmful responses, nats per token; half of it is drawn.
    """
    roles = [role for role in style.ROLES if role in set(sizes["role"])]
    random = style.KINDS["random"]
    circuits = sizes[sizes["control"] == ""]
    drawn = style.figure(
        title=f"How much is lost without {sizes['component'].iloc[0]}?",
        height=320,
        caption=_CAPTION,
        alt=" ".join(
            f"{row['condition']}, {row['role']}: {row['loss_increase']:.2f} nats per token."
            for row in circuits.to_dict("records")
        ),
        legend=[*(style.ROLES[role].name for role in roles), random.name],
    )
    for role in roles:
        own, look = circuits[circuits["role"] == role].sort_values("share"), style.ROLES[role]
        lines = style.segments(own["low"], own["high"], own["share"])
        drawn.add_trace(style.interval_lines(lines, colour=look.colour, group=look.name, vertical=True))
        drawn.add_scatter(
            x=own["share"], y=own["loss_increase"], mode="lines+markers", name=look.name, legendgroup=look.name,
            line={"color": look.colour}, marker={"symbol": look.symbol, "size": 8, "color": look.colour},
        )  # fmt: skip
    controls = sizes[(sizes["control"] != "") & (sizes["role"] == "harmful")]
    drawn.add_scatter(
        x=controls["share"], y=controls["loss_increase"], mode="markers", name=random.name,
        marker={"symbol": random.symbol, "size": 7, "color": random.colour},
    )  # fmt: skip
    if whole is not None:
        drawn.add_hline(y=whole / 2, line={"color": style.GREY, "dash": "dash", "width": 1})
    drawn.update_xaxes(type="log", title_text="share of all eligible weights that is ablated")
    drawn.update_yaxes(title_text="loss increase ΔL, nats per token", rangemode="tozero")
    return drawn
