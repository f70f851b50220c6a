"""One self-contained HTML page on one claim about a model, or on several: what is claimed, the evidence, and what was found."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from . import parts
from .values import NULL, ReportError, measured

_TONES = {"yes": "yes", "no": "no"}
_COUNTED = {"yes": "holding", "no": "contradicted", "undecided": "undecided", "cannot be measured": "not measurable"}
_WHOLE = {"claim", "asks", "found", "sentence"}
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
FOLDED = 24
"""A table of more rows is folded."""
LONGEST = 200
"""Rows of a table on the page; its JSON file has them all."""
ON_TRIPLES = (
    "Each harmful request has a near twin (same topic words, form and prefill, benign intent) and a far twin (same form and "
    "prefill, harmless topic). The model under study writes the responses itself, after a prefill. Attribution A of a head, "
    "neuron or weight is the first-order estimate of how much the loss L of a response (mean negative log-likelihood of its "
    "tokens, nats per token) rises when that component is set to zero. A circuit is what a rule selects by A on training "
    "triples; it is set to zero, and writing, recognising and plain reading are measured on test triples that took no part in "
    "choosing it. Positive rises: the ablation hurts. Selectivity: the rise on harmful requests minus that on their near twins."
)
"""The method of every claim that reads responses to triples."""
ANSWERS = (
    "“Yes”: the claim holds here; “no”: the opposite is shown; “undecided”: the intervals allow both; “cannot be measured”: "
    "the model or the run lacks what the question needs."
)


@dataclass(frozen=True)
class Value:
    """A headline number as text; a missing one has its reason."""

    name: str
    text: str
    interval: str
    n: str
    reason: str


@dataclass(frozen=True)
class Section:
    """What the page says of one claim.

    Attributes:
        name: of the claim, which is also its anchor.
        asks: what the paper claims, as a question.
        tone: the colour of the word: "yes", "no" or "open".
        brief, further: the first of its sentences, and the others.
        headline: the value that stands for it in the table of all.
        n_rows: of the table, before it was cut.
        own: settings that differ from the page's; those of a claim that has a page of its own are all of them.
    """

    name: str
    asks: str
    found: str
    tone: str
    sentence: str
    brief: str
    further: str
    headline: Value | None
    values: Sequence[Value]
    figures: Sequence[tuple[str, parts.Drawn]]
    table: parts.Shown | None
    n_rows: int
    limits: Sequence[str]
    command: str
    own: Sequence[tuple[str, str]]

    @property
    def folded(self) -> bool:
        """Whether the table is long."""
        return self.n_rows > FOLDED

    @property
    def cut(self) -> int:
        """How many rows of the table are on the page, where that is not all of them; else 0."""
        return LONGEST if self.n_rows > LONGEST else 0


def claims_page(
    report: Mapping[str, Any],
    *,
    claims: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, Mapping[str, go.Figure]],
    tables: Mapping[str, pd.DataFrame],
) -> str:
    """Claims, evidence and verdicts as one page that fetches nothing; every string is escaped, as on a run's page (`page`).

    Args:
        report: what `paper.json` holds: "model", "settings", "command" and "claims", a list of objects with at least
            "claim", "asks", "found" and "sentence", in the order of the page; "headline" names the value that stands for it.
        claims: what each claim's own JSON file holds, by name; a claim that could not be measured has none.
        figures: by claim and name, in the order of the page.
        tables: by claim: what is shown below its figures.

    Raises:
        ReportError: the report has no such list, or a measured value of another shape.

    >>> row = {"claim": "compactness", "asks": "Is it compact?", "found": "undecided", "sentence": "It is not known."}
    >>> text = claims_page({"claims": [row]}, claims={}, figures={}, tables={})
    >>> text.startswith("<!doctype html>") and "It is not known." in text
    True
    """
    rows = _rows(report)
    settings = report.get("settings") or {}
    sections = [
        _section(row, claims.get(row["claim"], {}), figures.get(row["claim"], {}), tables.get(row["claim"]), settings)
        for row in rows
    ]
    return _rendered(
        "claims.html",
        report,
        [figure for own in figures.values() for figure in own.values()],
        summary=_summary(rows),
        n_triples=report.get("n"),
        sections=sections,
        on_triples=ON_TRIPLES,
        settings=_pairs(settings),
        command=str(report.get("command") or ""),
    )


def claim_page(
    document: Mapping[str, Any],
    *,
    method: Sequence[str] = (ON_TRIPLES,),
    figures: Mapping[str, go.Figure],
    table: pd.DataFrame | None = None,
) -> str:
    """One claim as a page of its own, which fetches nothing; every string is escaped, as on a run's page (`page`).

    It has the question, the answer in a word and a sentence, headline values with intervals, figures, the table behind them,
    limits, method with every setting, the command, and which model it was.

    Args:
        document: what the claim's JSON file holds: at least "claim", "asks", "found" and "sentence".
        method: paragraphs on how it was measured and decided.
        figures: by name, in the order of the page.
        table: what is shown below the figures.

    Raises:
        ReportError: the document is none of a claim, or has a measured value of another shape.

    >>> row = {"claim": "compactness", "asks": "Is it compact?", "found": "undecided", "sentence": "It is <not> known."}
    >>> text = claim_page(row, figures={})
    >>> "<h1>Is it compact?</h1>" in text and "It is &lt;not&gt; known." in text
    True
    """
    if missing := _WHOLE - set(document):
        raise ReportError(f"the document of a claim has no {', '.join(sorted(missing))}; is it what `harmcircuits` wrote?")
    section = _section(document, document, figures, table, {})
    return _rendered("claim.html", document, [*figures.values()], section=section, method=list(method))


def _rendered(template: str, about: Mapping[str, Any], figures: Sequence[go.Figure], **parts_of: Any) -> str:
    """A page with what all of them have; `about` may have a "model"."""
    scripts = parts.scripts_of(drawn=bool(figures))
    model = about.get("model") or {}
    return (
        parts.environment()
        .get_template(template)
        .render(
            policy=parts.policy(scripts, figures),
            scripts=[Markup(script) for script in scripts],  # nothing of a run is in them
            model=str(model.get("name") or "the model"),
            facts=_pairs(model),
            answers=ANSWERS,
            **parts_of,
        )
    )


def _rows(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = report.get("claims")
    whole = isinstance(found, Sequence) and all(isinstance(row, Mapping) and set(row) >= _WHOLE for row in found)
    if not whole or not isinstance(found, Sequence):
        raise ReportError('the report has no list "claims" of objects; is it the paper.json of `harmcircuits paper`?')
    return list(found)


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many claims were found how.

    >>> _summary([{"found": "yes"}, {"found": "undecided"}, {"found": "undecided"}])
    'Of 3 claims: 1 holding, 2 undecided.'
    """
    counted = Counter(str(row["found"]) for row in rows)
    told = [f"{counted[found]} {_COUNTED.get(found, found)}" for found in sorted(counted, key=[*_COUNTED, *counted].index)]
    return f"Of {len(rows)} claim{'' if len(rows) == 1 else 's'}: {', '.join(told) or 'none was asked'}."


def _section(
    row: Mapping[str, Any],
    claim: Mapping[str, Any],
    figures: Mapping[str, go.Figure],
    table: pd.DataFrame | None,
    settings: Mapping[str, Any],
) -> Section:
    values = {name: _value(f"{row['claim']}: {name}", name, raw) for name, raw in (claim.get("values") or {}).items()}
    own = {name: value for name, value in (claim.get("settings") or {}).items() if settings.get(name, ...) != value}
    name = str(row["claim"])
    brief, *further = _SENTENCE.split(str(row["sentence"]), maxsplit=1)
    return Section(
        name=name,
        asks=str(row["asks"]),
        found=str(row["found"]),
        tone=_TONES.get(str(row["found"]), "open"),
        sentence=str(row["sentence"]),
        brief=brief,
        further=" ".join(further),
        headline=values.get(str(row.get("headline"))),
        values=[*values.values()],
        figures=[(f"{name}-{at}", parts.drawn(*item)) for at, item in enumerate(figures.items(), start=1)],
        table=None if table is None else parts.shown(f"{name}: the table behind it", table.head(LONGEST)),
        n_rows=0 if table is None else len(table),
        limits=[str(limit) for limit in claim.get("limits") or ()],
        command=str(claim.get("command") or ""),
        own=_pairs(own),
    )


def _value(where: str, name: str, raw: object) -> Value:
    found, name = measured(raw, where=where), name.replace("_", " ")
    if found is None or found.value is None:
        return Value(name, NULL, "", "", found.reason if found else "not recorded")
    known = found.low is not None and found.high is not None
    ends = f"[{_number(found.low)}, {_number(found.high)}]" if known else ""
    level = raw.get("level") if isinstance(raw, Mapping) else None
    ends += f" at {100 * level:g} %" if ends and level is not None else ""
    return Value(name, _number(found.value), ends, "" if found.n is None else f"{found.n:,}", "")


def _number(value: float | None) -> str:
    """Three decimals, or two digits of what is smaller: some values are fractions of all weights.

    >>> _number(0.1234), _number(0.0008), _number(-0.0)
    ('0.123', '8.0e-04', '0.000')
    """
    shown = (value or 0.0) + 0.0  # minus zero
    return f"{shown:.3f}" if shown == 0 or abs(shown) >= 0.001 else f"{shown:.1e}"


def _pairs(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values as text; a mapping in the mapping, and each in a list of them, is written out with dots.

    >>> _pairs({"seed": 0, "spans": {"heads": 12}, "stages": [{"name": "base"}, {"name": "sft"}]})
    [('seed', '0'), ('spans.heads', '12'), ('stages.1.name', 'base'), ('stages.2.name', 'sft')]
    """
    return [(".".join(path), text) for path, text in _walk(tree, ())]


def _walk(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
    for key, value in tree.items():
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            value = {str(at): one for at, one in enumerate(value, start=1)}
        if isinstance(value, Mapping):
            yield from _walk(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
