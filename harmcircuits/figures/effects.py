"""Which tokens of the vocabulary a component raises and lowers directly.

In logits, measured from the mean of all: positive, it makes the token likelier.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style

_COLUMNS = ["token", "effect", "low", "high"]
_ROW, _LABEL = 20, 16  # px of a token, and characters of its name


def token_effects(effects: pd.DataFrame, *, title: str = "Which tokens does it make likelier, and which less so?") -> go.Figure:
    """A bar a token of the vocabulary with its interval, in the order of the frame: to the right where it is raised.

    Args:
        effects: columns token (its text), effect, low, high (logits; NaN where there is no interval), one row a token;
            `DirectEffects.tokens`.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers.

    >>> frame = pd.DataFrame([(" a", 0.5, 0.25, 0.75), ("b", -0.5, -1.0, 0.0)], columns=_COLUMNS)
    >>> drawn = token_effects(frame)
    >>> drawn.data[0].x.tolist(), drawn.data[0].hovertext[1]
    ([0.5, -0.5], "'b': -0.5000 logits<br>95 % interval -1.000 to 0.000")
    """
    frame = style.checked(effects, _COLUMNS, numbers=_COLUMNS[1:], what="token_effects")
    n, known = len(frame), bool(np.isfinite(frame["low"]).any())
    names = [repr(str(token)) for token in frame["token"]]
    drawn = style.figure(
        title=title,
        height=max(_ROW * n, 120),
        caption="What the component adds directly to the logit of a token of the vocabulary, measured from the mean of all, "
        "over the positions of responses, each example counted alike. Right: the token becomes likelier; left: less so. "
        + (
            "Lines: 95 % intervals over examples, each token's own, not adjusted for its having been picked."
            if known
            else "No interval is drawn: none was given."
        ),
        alt=f"Bars of {n} tokens of the vocabulary. {_ends(frame, names)}",
    )
    drawn.add_bar(
        x=frame["effect"], y=list(range(n)), orientation="h", showlegend=False,
        marker={"color": [style.WARM if effect > 0 else style.COOL for effect in frame["effect"]], "line": {"width": 0}},
        hovertext=[
            f"{style.text(name)}: {style.number(effect)} logits<br>{style.interval(low, high)}"
            for name, effect, low, high in zip(names, *(frame[column] for column in _COLUMNS[1:]), strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    lines = style.segments(frame["low"], frame["high"], range(n))
    drawn.add_trace(style.interval_lines(lines, colour=style.INK, group="intervals"))
    reach = style.span(frame["effect"], frame["low"], frame["high"], hold=0)
    drawn.update_xaxes(title_text="direct effect (logits)", zeroline=True, nticks=6, range=reach)
    drawn.update_yaxes(
        title_text="token", showgrid=False, range=[n - 0.4, -0.6], tickfont={"size": 11},
        tickvals=list(range(n)), ticktext=[style.text(_short(name)) for name in names],
    )  # fmt: skip
    return drawn


def _short(name: str) -> str:
    return name if len(name) <= _LABEL else name[: _LABEL - 2] + "…" + name[-1]


def _ends(frame: pd.DataFrame, names: list[str]) -> str:
    if not np.isfinite(frame["effect"]).any():
        return "Nothing was measured."
    high, low = int(frame["effect"].argmax()), int(frame["effect"].argmin())
    said = (f"{names[at]} ({style.number(frame['effect'][at])})" for at in (high, low))
    return "Raised most {}, lowered most {}.".format(*said)
