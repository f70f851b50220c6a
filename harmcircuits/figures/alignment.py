"""Does harmful writing come to rest on a smaller part, stage by stage: areas along the ladder."""

import textwrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import style


def ends(measure: str) -> list[str]:
    """The columns of a measure and its interval."""
    return [f"{measure}{end}" for end in ("", "_low", "_high")]


_AREAS = ["ladder", "stage", "at", "reading", "grain", *ends("area")]
_LADDER = "ladder"
_PANEL, _GAP = 250, 76  # px
_READINGS = {"own": "own responses", "fixed": "the same responses for all"}
_DASHES = {"own": "solid", "fixed": "dash"}
_SYMBOLS = {"own": "circle", "fixed": "diamond"}
_COLOURS = {"own": style.VERMILLION, "fixed": style.PURPLE}
_LABEL = 13
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


def _spoken_areas(frame: pd.DataFrame) -> str:
    parts = []
    for (grain, ladder, reading), own in frame.groupby(["grain", "ladder", "reading"], sort=False):
        told = [f"{row['stage']} {row['area']:+.3f}" for row in own.to_dict("records") if np.isfinite(row["area"])]
        parts += [f"{grain}, {_Line(str(ladder), str(reading)).name}: {', '.join(told)}"] if told else []
    return f"Area between harmful requests and near twins in nats per token. {'; '.join(parts) or 'Nothing was measured'}."


def blank(rows: int, **options: Any) -> go.Figure:
    """A figure with room for so many panels, one below the other."""
    height = rows * _PANEL + (rows - 1) * _GAP
    drawn = style.figure(height=height, **options)
    for row in range(rows):
        top = 1 - row * (_PANEL + _GAP) / height
        drawn.update_layout({f"yaxis{suffix(row)}": {"domain": [max(0.0, top - _PANEL / height), top]}})
    return drawn


def suffix(row: int) -> str:
    """Of the axes of a panel."""
    return "" if row == 0 else str(row + 1)
