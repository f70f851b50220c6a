"""One self-contained HTML page from a report, its figures and its tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from . import content, parts


def page(
    report: Mapping[str, Any],
    *,
    figures: Mapping[str, go.Figure],
    tables: Mapping[str, pd.DataFrame],
    responses: pd.DataFrame | None = None,
    show_responses: bool = False,
) -> str:
    """A run as one HTML page that fetches nothing: plotly.js is inside it, once, where there is a figure.

    The page holds the question, the verdict and its reasons, key numbers, figures, every condition's values with 95 %
    intervals, method and settings, limits, how to reproduce the run, and each null with its reason. Every string of
    the report, the tables and the responses is escaped, and the page's content security policy lets only its own
    scripts run.

    Args:
        report: what `report.json` holds.
        figures: name to figure, in the page's order. Its title becomes a heading (without one, the name); caption and
            text alternative come from `figure.layout.meta`, a dict with "caption" and "alt".
        tables: caption to frame, shown under the conditions; a named index, or else the first column, heads the rows.
        responses: what the models wrote, one line a response, in columns of any name.
        show_responses: put `responses` on the page, folded, behind a warning. Otherwise none of their text is in it.

    Raises:
        ReportError: the report has no list of conditions, or a measured value of another shape.

    >>> text = page({"verdict": "undecided", "conditions": []}, figures={}, tables={})
    >>> text.startswith("<!doctype html>") and "undecided" in text
    True
    """
    templates = parts.environment()
    scripts = parts.scripts_of(drawn=bool(figures))
    shown = responses if show_responses else None
    return templates.get_template("page.html").render(
        **content.numbers(report),
        **content.words(report),
        policy=parts.policy(scripts, figures.values()),
        scripts=[Markup(script) for script in scripts],  # nothing of a run is in them
        figures=[(at, parts.drawn(*item)) for at, item in enumerate(figures.items(), start=1)],
        tables=[parts.shown(caption, frame) for caption, frame in tables.items()],
        responses=None if shown is None else parts.shown("What the models wrote", shown),
        n_hidden=0 if responses is None or show_responses else len(responses),
    )
