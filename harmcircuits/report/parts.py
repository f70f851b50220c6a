"""What the pages share: figures, tables and scripts as a template takes them, and the policy that lets no others run."""

import html
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..figures.drawing import embedded, script

_DEFAULT_HEIGHT, _DEFAULT_TOP = 450, 100  # plotly's own, px
_TOP = 32  # px over a plot without a title, for plotly's buttons
_COMPILED = {"parcoords", "scattergl", "scatterpolargl", "splom"}
"""Traces whose WebGL code plotly.js compiles at run time, which a page forbids unless it has one."""

_NUMBER = re.compile(r"n/a|—|[-+]?\d[\d.,e+-]*( \[[^\[\]]+\])?(; [^;]+)*")
"""A column of such cells, a value and its interval and what "; " adds to them, is broken nowhere but there."""


def environment() -> Environment:
    """The templates; every string in them is escaped."""
    return Environment(
        loader=PackageLoader("harmcircuits.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def scripts_of(*, drawn: bool) -> list[str]:
    """plotly.js and what draws by it, in which nothing of a run is, where there is a figure."""
    return [get_plotlyjs(), script()] if drawn else []


@dataclass(frozen=True)
class Drawn:
    """A figure: its words, and its JSON for plotly."""

    title: str
    caption: str
    note: str
    alt: str
    height: int
    json: Markup


@dataclass(frozen=True)
class Shown:
    """A table as text; `numeric`: the columns that hold numbers only."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int]


def drawn(name: str, figure: go.Figure) -> Drawn:
    """The figure with its title moved into the page, where it is a heading, and as much lower."""
    layout = figure.layout
    meta = layout.meta if isinstance(layout.meta, Mapping) else {}
    title, note = _words(layout.title.text) or name, _words(layout.title.subtitle.text)
    caption = str(meta.get("caption") or "")
    margin = _DEFAULT_TOP if layout.margin.t is None else layout.margin.t
    height = int((layout.height or _DEFAULT_HEIGHT) - max(margin - _TOP, 0))
    bare = go.Figure(figure).update_layout(title=None, height=height, margin_t=min(margin, _TOP))
    return Drawn(title, caption, note, str(meta.get("alt") or caption or title), height, Markup(embedded(bare)))


def _words(markup: str | None) -> str:
    """Plotly's markup as plain text."""
    return html.unescape(re.sub(r"<[^<>]*>", " ", markup or "")).strip()


def shown(caption: str, frame: pd.DataFrame) -> Shown:
    """The frame's cells as text; a named index heads the rows."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index(allow_duplicates=True)
    rows = [[_plain(value) for value in row] for row in frame.itertuples(index=False)]
    numeric = frozenset(at for at, column in enumerate(zip(*rows, strict=True)) if all(map(_NUMBER.fullmatch, column)))
    return Shown(caption, [str(name) for name in frame.columns], rows, numeric)


def _plain(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return "n/a" if np.isnan(value) else f"{value:.4g}"
    return "n/a" if value is None or value is pd.NA or value is pd.NaT else str(value)


def policy(scripts: Sequence[str], figures: Iterable[go.Figure]) -> str:
    """No network, no forms, and no script but these, by their hashes: a second wall behind the escaping."""
    hashes = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]
    needs_eval = any(trace.type in _COMPILED for figure in figures for trace in figure.data)
    allowed = " ".join([*(hashes or ["'none'"]), *(["'unsafe-eval'"] if needs_eval else [])])
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
