"""Pages with fuzzed text and with reports of fuzzed shapes: no text of theirs becomes markup.

A page with one text wherever text can be must be, element by element, the page with another text there; its words must be those
with the text put in the other's place. So what no test thinks of is seen too.
"""

import html.parser
import io
import json
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import plotly.graph_objects as go
from fake_report import fake_report, fake_responses, measured, null

from harmcircuits.cli.report import print_result
from harmcircuits.report import (
    PRINTED,
    checked_report,
    crossed_frames,
    effects_frame,
    page,
    parts,
    retained_frame,
    rises_frame,
    summary_frame,
)
from harmcircuits.report.claims import claims_page
from harmcircuits.store import read_json

WORD = "Loaf"
"""A harmless text, which is nowhere else on a page."""
LONGEST = 2000
HARMLESS = {
    *("a", "body", "br", "caption", "dd", "details", "div", "dl", "dt", "figcaption", "figure", "footer", "h1", "h2", "h3"),
    *("head", "header", "html", "li", "main", "meta", "nav", "noscript", "ol", "p", "pre", "section", "span", "strong"),
    *("style", "summary", "table", "tbody", "td", "th", "thead", "title", "tr", "ul"),
}
"""Elements of a page without figures: no script among them."""
_STYLE = ("url(", "@import")


class Parsed(html.parser.HTMLParser):
    """A page as its elements (with the names of their attributes; line breaks in cells left out) and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text = ""
        self._texts: list[str] = []
        self.feed(text)
        self.close()
        self.text = "".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":
            self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [str(value) for name, value in attrs if name in ("href", "src", "action", "srcset", "ping", "data")]

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", ()))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)


def check_safe(parsed: Parsed) -> None:
    """Nothing on the page runs, or points away from it."""
    wrong = {tag for tag, _ in parsed.elements} - HARMLESS
    assert not wrong, f"elements that are not the page's own: {wrong}"
    assert not [name for _, names in parsed.elements for name in names if name.startswith("on")], "an attribute that runs"
    assert all(link.startswith("#") for link in parsed.links), "a link that leaves the page"


_environment = cache(parts.environment)


def _compiled_once() -> Any:
    """Half of a page's time goes into its templates."""
    return mock.patch.object(parts, "environment", _environment)


def text_of(path: Path) -> str:
    """The fuzzed bytes as text; never empty, which a page leaves out."""
    return path.read_bytes().decode("utf-8", "replace")[:LONGEST] or WORD


def run_page(text: str) -> str:
    """A run's page with `text` wherever text can be."""
    report = fake_report() | {"model": {"name": text, "file": text}, "verdict_reasons": [text], "limits": [text]}
    for key in ("verdict", "verdict_sentence", "sensitivity_before_run", "reproduce", "harmcircuits_version", "question"):
        report[key] = text
    report |= {"settings": {text: text}, "seconds": {text: text}, "n_triples": text}
    for condition in report["conditions"]:
        condition["name"] += text
        condition["generation"]["harmful_rate"] = null(text)
    for cell in report["crossed"]["cells"]:
        cell |= {name: cell[name] + text for name in ("condition", "aim")}  # tasks are the package's own
    report["crossed"]["interactions"][0] |= dict.fromkeys(("first", "second", "one", "other"), text)
    table = pd.DataFrame({text: [text], "category": [text]}, index=pd.Index([text], name=text))
    responses = fake_responses().assign(request=text, response=text)
    tables = {text: table} | crossed_frames(report)
    with _compiled_once():
        return page(report, figures={}, tables=tables, responses=responses, show_responses=True)


def paper_page(text: str) -> str:
    """The same of a page on several claims."""
    row = {"claim": text, "asks": text, "found": text, "sentence": text, "headline": "share"}
    own = {"values": {"share": measured(0.5), "other": null(text)}, "limits": [text], "command": text, "settings": {text: text}}
    report = {
        "claims": [row],
        "model": {"name": text},
        "settings": {f"all {text}": text},
        "cost": {text: text},
        "command": text,
    }
    with _compiled_once():
        return claims_page(report, claims={text: own}, figures={}, tables={text: pd.DataFrame({text: [text], "n": [text]})})


@cache
def _plain(page_of: Any) -> Parsed:
    return Parsed(page_of(WORD))


def read_run(path: Path) -> None:
    text = text_of(path)
    parsed, plain = Parsed(run_page(text)), _plain(run_page)
    check_safe(parsed)
    assert parsed.elements == plain.elements, "other elements than with a harmless text"
    assert parsed.text == plain.text.replace(WORD, text), "other words than those that were written"


def read_paper(path: Path) -> None:
    """Of a sentence the page shows the first part apart, so that words are not compared."""
    text = text_of(path)
    parsed = Parsed(paper_page(text))
    check_safe(parsed)
    assert parsed.elements == _plain(paper_page).elements, "other elements than with a harmless text"
    assert parsed.text.count(text) >= 10, "not written as it is"


def read_figure(path: Path) -> None:
    text = text_of(path)
    figure = go.Figure(go.Bar(x=[text], y=[1], name=text, hovertemplate=text))
    found = parts.drawn(text, figure.update_layout(title=text, xaxis_title=text, meta={"alt": text, "caption": text}))
    assert not set("<>&") & set(found.json), "what could end the script element"
    trace = json.loads(found.json)["data"][0]
    assert trace["name"] == text and trace["x"] == [text], "not written as it is"
    assert found.alt == text and found.caption == text


def read_shape(path: Path) -> None:
    """A report whose values are of other kinds than they should be."""
    report = read_json(path)
    for frame in (summary_frame, rises_frame, retained_frame, effects_frame):
        assert isinstance(frame(report), pd.DataFrame)
    with _compiled_once():
        check_safe(Parsed(page(report, figures={}, tables=crossed_frames(report))))
    if not PRINTED.keys() <= report.keys():
        return
    printed = io.StringIO()
    with redirect_stdout(printed):
        print_result(checked_report(report, where="report.json", kinds=PRINTED), summary_frame(report), Path("out"))
    assert printed.getvalue().replace("\n", "").isprintable()


def texts() -> list[bytes]:
    hostile = (
        "</script><script>x()</script><img src=x onerror=\"x()\">\"' onfocus='x()' {{ 7 * 7 }} <!-- &amp; ]]> javascript:x()"
    )
    others = ("Brot & Käse; \u202eegami", '"><svg/onload=x()>', "<iframe src=//x.example>", "a\0b\r\nc")
    return [text.encode() for text in (hostile, *others)]


def reports() -> list[bytes]:
    short = {key: value for key, value in fake_report().items() if key not in ("nulls", "crossed")}
    return [json.dumps(fake_report()).encode(), json.dumps(short).encode(), b'{"conditions": []}']
