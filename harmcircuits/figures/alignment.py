"""Does harmful writing come to rest on a smaller part, stage by stage: areas along the ladder, curves, shared circuits."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from . import style
from .compactness_lines import axes, blank, ends, hover, line_with_band, mark, suffix

_AREAS = ["ladder", "stage", "at", "reading", "grain", *ends("area")]
_MEASURES = {"retained_harmful": "harmful writing retained", "retained_twin": "near twins' writing retained"}
_CURVES = ["stage", "grain", "fraction", *(column for measure in _MEASURES for column in ends(measure))]
_OVERLAPS = ["one", "other", "jaccard", "chance", "twins", "excess", "p_adjusted"]
_LADDER = "ladder"
_READINGS = {"own": "own responses", "fixed": "the same responses for all"}
_DASHES = {"own": "solid", "fixed": "dash"}
_SYMBOLS = {"own": "circle", "fixed": "diamond"}
_COLOURS = {"own": style.VERMILLION, "fixed": style.PURPLE}
_SCALE = ((0.0, "#9ECAE1"), (0.5, style.BLUE), (1.0, style.BLACK))
_IN_DARK = ((0.0, "#3F7396"), (0.5, style.DARK[style.BLUE]), (1.0, style.DARK[style.BLACK]))
"""Stages from faint to strong, in order."""
_CELL, _LABEL = 66, 13
_ASIDE = 0.06
"""Between lines at one stage, so that their intervals do not hide one another."""


class _Line(NamedTuple):
    ladder: str
    reading: str

    @property
    def name(self) -> str:
        return _READINGS[self.reading] if self.ladder == _LADDER else f"{self.ladder}, {_READINGS[self.reading]}"


def alignment_separability(
    areas: pd.DataFrame, *, title: str = "Does harmful writing come apart from its near twins along the ladder?"
) -> go.Figure:
    """The necessity area of each stage with its 95 % interval, a panel a grain; control ladders grey. Nats per token; positive:
    harmful requests lose more than near twins.

    Args:
        areas: one row a ladder, stage, grain and set of responses: ladder ("ladder" is the one that is asked about), stage, at
            (its place, from 0), reading ("own", "fixed"), grain, area, area_low, area_high. A row without a value is not drawn.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, or a reading is unknown.

    >>> rows = [("ladder", name, at, "own", "heads", 0.25 * at, 0.0, 0.5) for at, name in enumerate(["base", "SFT"])]
    >>> drawn = alignment_separability(pd.DataFrame(rows, columns=_AREAS))
    >>> [trace.name for trace in drawn.data if trace.name]
    ['own responses']
    """
    frame = style.checked(areas, _AREAS, numbers=["at", *ends("area")], what="alignment_separability")
    style.refuse_unknown(frame["reading"], _READINGS, what="alignment_separability: reading")
    grains, lines = list(dict.fromkeys(frame["grain"])), [_Line(*own) for own in _pairs(frame)]
    drawn = blank(
        max(len(grains), 1),
        title=title,
        caption=(
            "The area between harmful requests and near twins over the fraction switched off, at each stage, with 95 % "
            "intervals over test triples: on what each stage writes itself, and on the same responses for all. Grey: other "
            "ladders from the same base. A ladder compresses harmful writing where both lines rise, and more than grey ones do."
        ),
        alt=_spoken_areas(frame),
        legend=[line.name for line in lines],
    )
    for row, grain in enumerate(grains):
        own = frame[frame["grain"] == grain]
        for at, line in enumerate(lines):
            _add_line(drawn, own, line, row=row, aside=(at - (len(lines) - 1) / 2) * _ASIDE)
        _stage_axis(drawn, own, str(grain), row)
    return drawn


def alignment_curves(curves: pd.DataFrame, *, grain: str, title: str = "") -> go.Figure:
    """What is left of writing against the fraction off (logarithmic), a line a stage, from faint to strong; near twins below.

    1 is the intact stage, 0 text that answers its own request no more than another; bands are 95 % intervals.

    Args:
        curves: one row a stage, grain and size: stage, grain, fraction (above 0), retained_harmful and retained_twin with _low
            and _high.
        grain: which rows.
        title: the question above the figure; "" for the usual one.

    Raises:
        FigureError: a column is missing or not numeric, or there is no row of that grain.
    """
    frame = style.checked(curves, _CURVES, numbers=_CURVES[2:], what="alignment_curves")
    own = frame[(frame["grain"] == grain) & (frame["fraction"] > 0)]
    if not len(own):
        raise style.FigureError(f"there is nothing of {grain!r} to draw: grains are {', '.join({*frame['grain']}) or 'none'}")
    names = list(dict.fromkeys(own["stage"]))
    shades = _shades(_SCALE, len(names))
    colours = dict(zip(names, shades, strict=True))
    drawn = blank(
        len(_MEASURES),
        title=title or f"How many {grain} have to be off until half is gone, stage by stage?",
        caption=(
            f"What is left of request-dependent writing against the fraction of {grain} that is off, a line a stage, faint "
            "to strong in order, with 95 % bands. Above: harmful requests, below: near twins. Grey line: the half. Where "
            "alignment compresses, strong lines fall earlier above and not below."
        ),
        alt=_spoken_curves(own),
        legend=names,
    )
    in_dark = dict(zip(shades, _shades(_IN_DARK, len(names)), strict=True))
    drawn.update_layout(meta={**drawn.layout.meta, "dark": {**style.DARK, **in_dark}})
    across = np.log10(own["fraction"])
    for row, (measure, label) in enumerate(_MEASURES.items()):
        up = style.span([1.0], *(own[column] for column in ends(measure)), hold=0)
        axes(drawn, row, x=f"fraction of all {grain} that is off", y=label, across=[across.min(), across.max()], up=up)
        mark(drawn, 0.5, row)
        for name in names:
            _add_curve(drawn, own[own["stage"] == name], str(name), measure, colours[name], row)
    return drawn


def alignment_overlaps(frame: pd.DataFrame, *, title: str = "Do the stages write harm with the same components?") -> go.Figure:
    """Jaccard of two stages' circuits in excess of that of their near twins' circuits; an asterisk: more than chance, adjusted
    p of at most 0.05.

    Args:
        frame: one row a pair, columns one, other, jaccard, chance, twins, excess (0 to 1), p_adjusted.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing, or one that must be numeric is not.

    >>> row = {"one": "base", "other": "SFT", **dict.fromkeys(_OVERLAPS[2:], 0.25)}
    >>> drawn = alignment_overlaps(pd.DataFrame([row]))
    >>> list(drawn.data[0].text[0])
    ['', '<b>0.25</b><br>twins 0.25<br>chance 0.250']
    """
    frame = style.checked(frame, _OVERLAPS, numbers=_OVERLAPS[2:], what="alignment_overlaps")
    names = list(dict.fromkeys([*frame["one"].astype(str), *frame["other"].astype(str)]))
    half = {(str(row["one"]), str(row["other"])): row for row in frame.to_dict("records")}
    cells = half | {(other, one): row for (one, other), row in half.items()}
    height = max(_CELL * len(names), 120)
    drawn = style.figure(title=title, height=height, caption=_CAPTION, alt=_spoken_overlaps(frame), under=152)
    grid = [[cells.get((one, other), {}) for other in names] for one in names]
    known = [abs(row["excess"]) for row in half.values() if np.isfinite(row["excess"])]
    limit, places = max(known, default=0) or 1.0, list(range(len(names)))
    drawn.add_heatmap(
        z=[[cell.get("excess", np.nan) for cell in line] for line in grid], x=places, y=places, xgap=2, ygap=2, zmin=-limit,
        zmax=limit, colorscale=[(0, style.COOL), (0.5, "white"), (1, style.WARM)], hoverongaps=False, texttemplate="%{text}",
        text=[[_words(cell) for cell in line] for line in grid], hoverinfo="skip", textfont={"size": 11, "color": style.INK},
        colorbar=style.colour_bar("Jaccard less that of the twins' circuits", below=92, height=height),
    )  # fmt: skip
    labels = ["<br>".join(style.text(line) for line in textwrap.wrap(name, _LABEL)) for name in names]
    look: dict[str, Any] = {
        "tickvals": places,
        "ticktext": labels,
        "showgrid": False,
        "fixedrange": True,
        "tickfont": {"size": 10},
    }
    drawn.update_xaxes(title_text="* more than chance, adjusted p ≤ 0.05", tickangle=0, **look)
    drawn.update_yaxes(autorange="reversed", **look)
    return drawn


_CAPTION = (
    "Numbers: the Jaccard index of two stages' circuits, found by the same recipe with the same size; below, that of their "
    "circuits aimed at near twins, and what random circuits of this size have. Colour: the first less the second. Above 0 "
    "(vermillion): what writes harm stays from stage to stage more than what writes other answers."
)


def _pairs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Ladders and readings with a value, the ladder that is asked about first."""
    known = frame[np.isfinite(frame["area"])]
    found = dict.fromkeys(zip(known["ladder"].astype(str), known["reading"].astype(str), strict=True))
    return sorted(found, key=lambda own: own[0] != _LADDER)


def _add_line(drawn: go.Figure, frame: pd.DataFrame, line: _Line, *, row: int, aside: float) -> None:
    own = frame[(frame["ladder"] == line.ladder) & (frame["reading"] == line.reading) & np.isfinite(frame["area"])]
    own, asked = own.sort_values("at"), line.ladder == _LADDER
    colour, where = _COLOURS[line.reading] if asked else style.GREY, {"xaxis": f"x{suffix(row)}", "yaxis": f"y{suffix(row)}"}
    x = own["at"] + aside
    upright = style.segments(own["area_low"], own["area_high"], x)
    drawn.add_trace(style.interval_lines(upright, colour=colour, group=line.name, vertical=True).update(**where))
    told = [
        f"{style.text(point['stage'])}, {style.text(line.name)}<br>{style.number(point['area'])} nats per token<br>"
        f"{style.interval(point['area_low'], point['area_high'])}"
        for point in own.to_dict("records")
    ]
    drawn.add_scatter(
        x=x, y=own["area"], mode="lines+markers", name=style.text(line.name), legendgroup=line.name, showlegend=row == 0,
        line={"color": colour, "width": 2 if asked else 1, "dash": _DASHES[line.reading]},
        marker={"color": colour, "symbol": _SYMBOLS[line.reading], "size": 9 if asked else 6},
        hovertext=told, hovertemplate="%{hovertext}<extra></extra>", **where,
    )  # fmt: skip


def _stage_axis(drawn: go.Figure, own: pd.DataFrame, grain: str, row: int) -> None:
    stages = own[own["ladder"] == _LADDER].drop_duplicates("at").sort_values("at")
    labels = ["<br>".join(style.text(line) for line in textwrap.wrap(str(name), _LABEL)) for name in stages["stage"]]
    at, last = suffix(row), float(own["at"].max()) if len(own) else 1.0
    up = style.span(*(own[column] for column in ends("area")), hold=0)
    drawn.update_layout(
        {
            f"xaxis{at}": {"tickvals": list(stages["at"]), "ticktext": labels, "range": [-0.4, last + 0.4], "anchor": f"y{at}"},
            f"yaxis{at}": {
                "title_text": f"{grain}: area<br>(nats per token)",
                "anchor": f"x{at}",
                "range": up,
                "zeroline": True,
            },
        }
    )


def _add_curve(drawn: go.Figure, line: pd.DataFrame, name: str, measure: str, colour: str, row: int) -> None:
    points = line[np.isfinite(line[measure])].sort_values("fraction")
    told = [hover(point, name, measure, "fraction") for point in points.to_dict("records")]
    line_with_band(
        drawn, points, "fraction", measure, row=row, name=style.text(name), showlegend=row == 0, hovertext=told,
        line={"color": colour, "width": 2}, marker={"color": colour, "size": 7},
    )  # fmt: skip


def _shades(scale: Sequence[tuple[float, str]], n: int) -> list[str]:
    """So many colours from one end of `scale` to the other; of one stage alone, its middle."""
    return list(sample_colorscale([list(stop) for stop in scale], np.linspace(0, 1, n).tolist())) if n > 1 else [scale[1][1]]


def _words(cell: Mapping[Any, Any]) -> str:
    if not cell:
        return ""
    if not np.isfinite(cell["jaccard"]):
        return "n/a"
    sign = " *" if cell["p_adjusted"] <= 0.05 else ""
    twins = f"{cell['twins']:.2f}" if np.isfinite(cell["twins"]) else "n/a"
    return f"<b>{cell['jaccard']:.2f}</b>{sign}<br>twins {twins}<br>chance {cell['chance']:.3f}"


def _spoken_areas(frame: pd.DataFrame) -> str:
    parts = []
    for (grain, ladder, reading), own in frame.groupby(["grain", "ladder", "reading"], sort=False):
        told = [f"{row['stage']} {row['area']:+.3f}" for row in own.to_dict("records") if np.isfinite(row["area"])]
        parts += [f"{grain}, {_Line(str(ladder), str(reading)).name}: {', '.join(told)}"] if told else []
    return f"Area between harmful requests and near twins in nats per token. {'; '.join(parts) or 'Nothing was measured'}."


def _spoken_curves(own: pd.DataFrame) -> str:
    parts: Sequence[str] = [
        f"{name}, at {last['fraction']:.2e}: harmful {last['retained_harmful']:.2f}, near twins {last['retained_twin']:.2f}"
        for name, line in own.groupby("stage", sort=False)
        for last in [line.sort_values("fraction").iloc[-1]]
    ]
    return f"Writing retained at each stage's largest fraction. {'; '.join(parts)}."


def _spoken_overlaps(frame: pd.DataFrame) -> str:
    told = [
        f"{row['one']} and {row['other']} {row['jaccard']:.2f}, their near twins' {row['twins']:.2f}"
        for row in frame.to_dict("records")
        if np.isfinite(row["jaccard"])
    ]
    return f"Jaccard index of circuits. {'; '.join(told) or 'Nothing was compared'}."
