"""Generation that is left against the share of weights that is ablated."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_CAPTION = (
    "Generation left: exp(−ΔL), the geometric mean over response tokens of the ablated probability over the baseline's; 1 is "
    "the unablated model, the dashed line one half. Bars are 95 % intervals. Grey: random controls of the same size, harmful "
    "responses."
)


def size_curves(sizes: pd.DataFrame, *, component: str) -> go.Figure:
    """Generation left of harmful and benign responses, and of harmful ones under random controls, by size.

    Args:
        sizes: rows of one component type: columns control, condition, share, role, loss_increase, low, high.
    """
    roles = [role for role in style.ROLES if role in set(sizes["role"])]
    random = style.KINDS["random"]
    circuits = sizes[sizes["control"] == ""]
    drawn = style.figure(
        title=f"How much generation is left without {component}?",
        height=320,
        caption=_CAPTION,
        alt=" ".join(
            f"{row['condition']}, {row['role']}: {np.exp(-row['loss_increase']):.2f} left."
            for row in circuits.to_dict("records")
        ),
        legend=[*(style.ROLES[role].name for role in roles), random.name],
    )
    for role in roles:
        own, look = circuits[circuits["role"] == role].sort_values("share"), style.ROLES[role]
        lines = style.segments(np.exp(-own["high"]), np.exp(-own["low"]), own["share"])
        drawn.add_trace(style.interval_lines(lines, colour=look.colour, group=look.name, vertical=True))
        drawn.add_scatter(
            x=own["share"], y=np.exp(-own["loss_increase"]), mode="lines+markers", name=look.name, legendgroup=look.name,
            line={"color": look.colour}, marker={"symbol": look.symbol, "size": 8, "color": look.colour},
        )  # fmt: skip
    controls = sizes[(sizes["control"] != "") & (sizes["role"] == "harmful")]
    drawn.add_scatter(
        x=controls["share"], y=np.exp(-controls["loss_increase"]), mode="markers", name=random.name,
        marker={"symbol": random.symbol, "size": 7, "color": random.colour},
    )  # fmt: skip
    drawn.add_hline(y=0.5, line={"color": style.GREY, "dash": "dash", "width": 1})
    drawn.update_xaxes(type="log", title_text="share of all eligible weights that is ablated")
    drawn.update_yaxes(title_text="generation left, exp(−ΔL)", rangemode="tozero")
    return drawn
