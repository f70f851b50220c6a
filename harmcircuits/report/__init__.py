"""One HTML page of one result or of several: the answer, the first figure, the table of effect sizes; details are folded.

A page fetches nothing and holds no text that a model wrote. Every string on it is escaped, and its policy lets no script run
but plotly.js and the one that draws.
"""

import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from inspect import cleandoc
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..figures.export import element, script
from ..figures.style import TITLE_LINE

TONES = {"yes": "yes", "dissociated": "yes", "no": "no", "shared": "no", "not selective": "no"}
"""Answers that have a colour, each with its style class."""
COUNTED = {"yes": "holding", "no": "contradicted", "cannot be measured": "not measurable"}


@dataclass(frozen=True, kw_only=True)
class Section:
    """One result on a page.

    Attributes:
        name: of the claim, such as "compactness".
        question: what was asked.
        answer: the answer in a word.
        sentences: the answer in a sentence, then what it rests on.
        figures: by name; the first is shown, the others are folded.
        tables: by caption, values with intervals as text; likewise.
        limits: what the numbers do not say.
        method: how it was measured and decided; a blank line or a numbered step begins a paragraph.
        model: which model, on which prompts.
        settings: sizes, seeds and criteria.
        command: the shell's command that computes the result again.
    """

    name: str
    question: str
    answer: str
    sentences: Sequence[str] = ()
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    limits: Sequence[str] = ()
    method: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


def page(sections: Sequence[Section], *, model: str) -> str:
    """Render one result, or several with a table of their answers first.

    Args:
        model: the name of the model.

    >>> section = Section(name="compactness", question="Is it compact?", answer="no", sentences=["It is <not> compact."])
    >>> text = page([section], model="gpt2")
    >>> "<h1>Is it compact?</h1>" in text, "It is &lt;not&gt; compact." in text
    (True, True)
    """
    drawn = any(section.figures for section in sections)
    scripts = [get_plotlyjs(), script()] if drawn else [script()]
    environment = Environment(
        loader=PackageLoader("harmcircuits.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    tone = lambda answer: TONES.get(answer, "open")
    environment.filters |= {"figure": _figure, "table": _table, "paragraphs": _paragraphs, "rows": _rows, "tone": tone}
    return environment.get_template("page.html").render(
        sections=sections,
        model=model,
        summary=_summary(sections),
        policy=_policy(scripts),
        scripts=[Markup(text) for text in scripts],
    )


def _policy(scripts: Sequence[str]) -> str:
    """No network, no forms, and no script but these, by their hashes."""
    hashes = (f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts)
    allowed = f"script-src {' '.join(hashes)}; style-src 'unsafe-inline'; img-src data: blob:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _summary(sections: Sequence[Section]) -> str:
    """How many results have which answer.

    >>> _summary([Section(name=name, question="", answer=answer) for name, answer in (("a", "no"), ("b", "shared"))])
    'Of 2 claims: 1 contradicted, 1 shared.'
    """
    counts = Counter(section.answer for section in sections)
    return f"Of {len(sections)} claims: {', '.join(f'{n} {COUNTED.get(answer, answer)}' for answer, n in counts.items())}."


def _figure(figure: go.Figure, name: str) -> dict[str, str | Markup]:
    """Heading, caption, and the plot without its title."""
    layout, lines = figure.layout, figure.layout.title.text.split("<br>")
    heading, room = Markup(" ".join(lines)).unescape(), TITLE_LINE * len(lines)
    plot = go.Figure(figure).update_layout(title=None, margin_t=layout.margin.t - room, height=layout.height - room)
    return {"heading": heading, "caption": layout.meta["caption"], "plot": Markup(element(plot, name))}


def _table(frame: pd.DataFrame) -> Markup:
    """The frame as HTML; underscores in its names become spaces, and no interval is broken."""
    spaced_name = lambda name: str(name).replace("_", " ")
    spaced = frame.rename(columns=spaced_name, index=spaced_name)
    spaced = spaced.map(lambda cell: re.sub(r"\[(\S+), (\S+)\]", "[\\1,\u00a0\\2]", str(cell)), na_action="ignore")
    return Markup(spaced.to_html(escape=True, index_names=False, na_rep="—", border=0))


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=\d+\. )", cleandoc(text))]


def _rows(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Names and values as text; the names of nested mappings are joined by dots.

    >>> [*_rows({"seed": 0, "spans": {"heads": 12}})]
    [('seed', '0'), ('spans.heads', '12')]
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
