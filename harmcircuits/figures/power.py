"""How often an effect of some size is shown, by the number of triples."""

import pandas as pd
import plotly.graph_objects as go

from . import style
from .style import FigureError, Look

_COLUMNS = ["test", "triples", "effect", "value", "low", "high"]
_LOOKS = (("circle", style.ORANGE), ("square", style.PURPLE), ("diamond", style.BLACK), ("triangle-up", style.SKY))
_TESTS = (("", "solid"), ("-open", "dash"), ("-open-dot", "dot"))


def power_curve(
    curve: pd.DataFrame,
    *,
    target: float = 0.8,
    unit: str = "standard deviations of the per-triple difference",
    title: str = "How large must an effect be to be shown?",
) -> go.Figure:
    """Power: the share of runs in which a true effect is shown, against its size; one line a number of triples and test.

    Vertical lines are 95 % intervals of the shares, a grey one lies at `target`. A colour is a number of triples, a kind of
    line and of marker a test. At an effect of 0 the share is that of false positives.

    Args:
        curve: columns test (its name), triples, effect, value, low, high; at most 4 numbers of triples and 3 tests.
        target: the power that is aimed at.
        unit: of the effect, on the axis.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, or more lines than can be told apart.

    >>> frame = pd.DataFrame({"test": ["t"], "triples": [96], "effect": [0.3], "value": [0.8], "low": [0.7], "high": [0.9]})
    >>> [trace.name for trace in power_curve(frame).data if trace.showlegend]
    ['96 triples, t']
    """
    frame = style.checked(curve, _COLUMNS, numbers=_COLUMNS[1:], what="power_curve")
    sizes, tests = sorted(set(frame["triples"])), list(dict.fromkeys(frame["test"]))
    if len(sizes) > len(_LOOKS) or len(tests) > len(_TESTS):
        raise FigureError(
            f"power_curve tells {len(_LOOKS)} numbers of triples and {len(_TESTS)} tests apart, not {len(sizes)} and "
            f"{len(tests)}: draw a part of them, or several figures."
        )
    lines = {(size, test): frame[(frame["triples"] == size) & (frame["test"] == test)] for size in sizes for test in tests}
    lines = {key: part.sort_values("effect") for key, part in lines.items() if len(part)}
    names = {(size, test): f"{size:,.0f} triples, {test}" for size, test in lines}
    drawn = style.figure(
        title=title,
        height=380,
        caption=(
            "Share of simulated runs in which an effect is shown, against its true size. Vertical lines: 95 % intervals of the "
            f"shares. Grey: {target:g}. At 0, the share of false positives."
        ),
        alt=" ".join(_spoken(names[key], part, target) for key, part in lines.items()) or "Nothing was simulated.",
        legend=list(names.values()),
        under=74,
    )
    drawn.add_hline(y=target, line={"color": style.GREY, "width": 1.5})
    for (size, test), part in lines.items():
        (symbol, colour), (fill, dash) = _LOOKS[sizes.index(size)], _TESTS[tests.index(test)]
        _add_line(drawn, part, Look(names[size, test], colour, symbol + fill), dash=dash)
    drawn.update_xaxes(title_text=f"true effect<br>({unit})", range=style.span(frame["effect"], hold=0))
    drawn.update_yaxes(title_text="share of runs in which it is shown", range=[-0.03, 1.03], zeroline=True)
    return drawn


def _add_line(drawn: go.Figure, part: pd.DataFrame, look: Look, *, dash: str) -> None:
    intervals = style.segments(part["low"], part["high"], part["effect"])
    name = style.text(look.name)
    drawn.add_trace(style.interval_lines(intervals, colour=look.colour, group=name, vertical=True, width=1.5))
    rows = zip(*(part[column] for column in _COLUMNS[2:]), strict=True)
    hover = [f"{name}: effect {effect:.2f}<br>shown in {value:.1%}<br>{style.interval(*ends)}" for effect, value, *ends in rows]
    drawn.add_scatter(
        x=part["effect"], y=part["value"], mode="markers+lines", name=name, legendgroup=name, showlegend=True,
        line={"color": look.colour, "width": 2, "dash": dash},
        marker={"color": look.colour, "symbol": look.symbol, "size": 8},
        text=hover, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _spoken(name: str, part: pd.DataFrame, target: float) -> str:
    enough = part[part["value"] >= target]["effect"]
    if not len(enough):
        return f"{name}: a power of {target:g} is not reached."
    return f"{name}: a power of {target:g} is reached at an effect of {enough.min():.2f}."
