"""One self-contained HTML page from a report, its figures and its tables."""

import html
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from . import content

_DEFAULT_HEIGHT, _DEFAULT_TOP = 450, 100  # plotly's own, px
_TOP = 32  # px over a plot without a title, for plotly's buttons
_COMPILED = {"parcoords", "scattergl", "scatterpolargl", "splom"}
"""Traces whose WebGL code plotly.js compiles at run time, which a page forbids unless it has one."""

_NUMBER = re.compile(r"n/a|—|[-+]?\d[\d.,e+-]*( \[[^\[\]]+\])?(; [^;]+)*")
"""A column of such cells, a value and its interval and what "; " adds to them, is broken nowhere but there."""


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
    environment = Environment(
        loader=PackageLoader("harmcircuits.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    scripts = [get_plotlyjs(), _source(environment, "page.js")] if figures else []
    shown = responses if show_responses else None
    return environment.get_template("page.html").render(
        **content.numbers(report),
        **content.words(report),
        policy=_policy(scripts, figures.values()),
        scripts=[Markup(script) for script in scripts],  # plotly.js and page.js: nothing of a run is in them
        figures=[_figure(name, figure) for name, figure in figures.items()],
        tables=[_table(caption, frame) for caption, frame in tables.items()],
        responses=None if shown is None else _table("Responses", shown),
        n_hidden=0 if responses is None or show_responses else len(responses),
    )


@dataclass(frozen=True)
class _Figure:
    title: str
    caption: str
    note: str
    alt: str
    height: int
    json: Markup


@dataclass(frozen=True)
class _Table:
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int]


def _figure(name: str, figure: go.Figure) -> _Figure:
    """The figure with its title moved into the page, where it is a heading, and as much lower."""
    layout = figure.layout
    meta = layout.meta if isinstance(layout.meta, Mapping) else {}
    title, note = _words(layout.title.text) or name, _words(layout.title.subtitle.text)
    caption = str(meta.get("caption") or "")
    margin = _DEFAULT_TOP if layout.margin.t is None else layout.margin.t
    height = int((layout.height or _DEFAULT_HEIGHT) - max(margin - _TOP, 0))
    bare = go.Figure(figure).update_layout(title=None, height=height, margin_t=min(margin, _TOP))
    # plotly's own JSON, with <, > and & as \u escapes, so that no string in it can end the script element
    embedded = htmlsafe_json_dumps(bare, dumps=lambda drawn: str(drawn.to_json()))
    return _Figure(title, caption, note, str(meta.get("alt") or caption or title), height, embedded)


def _words(markup: str | None) -> str:
    """Plotly's markup as plain text."""
    return html.unescape(re.sub(r"<[^<>]*>", " ", markup or "")).strip()


def _table(caption: str, frame: pd.DataFrame) -> _Table:
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index(allow_duplicates=True)
    rows = [[_plain(value) for value in row] for row in frame.itertuples(index=False)]
    numeric = frozenset(at for at, column in enumerate(zip(*rows, strict=True)) if all(map(_NUMBER.fullmatch, column)))
    return _Table(caption, [str(name) for name in frame.columns], rows, numeric)


def _plain(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return "n/a" if np.isnan(value) else f"{value:.4g}"
    return "n/a" if value is None or value is pd.NA or value is pd.NaT else str(value)


def _policy(scripts: Sequence[str], figures: Iterable[go.Figure]) -> str:
    """No network, no forms, and no script but these, by their hashes: a second wall behind the escaping."""
    hashes = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]
    needs_eval = any(trace.type in _COMPILED for figure in figures for trace in figure.data)
    allowed = " ".join([*(hashes or ["'none'"]), *(["'unsafe-eval'"] if needs_eval else [])])
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
