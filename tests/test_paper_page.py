"""The page of all claims: everything said is on it, nothing becomes markup, and nothing is fetched."""

import json
import re
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from parsed import Page

from harmcircuits.report import ReportError
from harmcircuits.report.claims import FOLDED, LONGEST, claims_page

HOSTILE = "</script><img src=x onerror=alert(1)><b>&amp;"
ROWS = [
    {
        "claim": "compactness",
        "asks": "Is it small?",
        "found": "yes",
        "sentence": "It is small. So it is.",
        "headline": "fraction",
    },
    {"claim": "generality", "asks": "Is it general?", "found": "cannot be measured", "sentence": "One kind of harm only."},
]
VALUES = {
    "fraction": {"value": 8e-4, "low": 2e-4, "high": 1e-3, "n": 16},
    "area": {"value": None, "reason": "one size is no curve"},
}
DOCUMENT = {
    "values": VALUES,
    "limits": ["Of one model."],
    "command": "harmcircuits compactness",
    "settings": {"seed": 0, "points": 3},
}
REPORT = {
    "model": {"name": "a model"},
    "n": 16,
    "claims": ROWS,
    "settings": {"seed": 0},
    "command": "harmcircuits paper --quick",
}


def drawn(title: str = "Rise") -> go.Figure:
    return go.Figure(go.Scatter(x=[1], y=[1], name=title)).update_layout(title=title, meta={"alt": f"{title}, drawn"})


def page(report: Any = REPORT, claims: Any = None, figures: Any = None, tables: Any = None) -> Page:
    return Page(
        claims_page(
            report,
            claims={"compactness": DOCUMENT} if claims is None else claims,
            figures={"compactness": {"one": drawn(), "two": drawn()}} if figures is None else figures,
            tables={"compactness": pd.DataFrame({"rule": ["a"], "rise": [0.5]})} if tables is None else tables,
        )
    )


def test_everything_that_was_found_is_on_it() -> None:
    words = page().words()
    for said in ("Of 2 claims: 1 holding, 1 not measurable.", "16 test triples", "Is it small?", "It is small.",
                 "Of one model.", "fraction: 8.0e-04 [2.0e-04, 0.001] n = 16", "One kind of harm only.",
                 "not measured: one size is no curve",
                 "harmcircuits paper --quick"):  # fmt: skip
        assert said in words, said
    assert words.count("cannot be measured") == 3, "in the summary, at the claim, and where the words are explained"
    assert words.count("It is small.") == 2 and words.count("So it is.") == 1, "the first of its sentences stands in the table"
    assert "points3" in words and words.count("seed0") == 1, "settings of all claims stand once"


def test_nothing_becomes_markup_or_a_request() -> None:
    rows = [{"claim": "compactness", "asks": HOSTILE, "found": "yes", "sentence": HOSTILE}]
    report = REPORT | {"claims": rows, "model": {"name": HOSTILE, HOSTILE: HOSTILE}, "settings": {HOSTILE: HOSTILE}}
    report |= {"command": HOSTILE}
    claim = {"limits": [HOSTILE], "command": HOSTILE, "settings": {HOSTILE: HOSTILE, "b": [HOSTILE]}}
    claim |= {"values": {HOSTILE: VALUES["fraction"], "b": {"value": None, "reason": HOSTILE}}}
    table = pd.DataFrame({HOSTILE: [HOSTILE]})
    parsed = page(report, {"compactness": claim}, {"compactness": {HOSTILE: drawn(HOSTILE)}}, {"compactness": table})
    assert parsed.tags("img") == parsed.tags("b") == parsed.tags("link") == []
    assert parsed.words().count("onerror=alert(1)") > 10
    data = [text for text in parsed.scripts() if text.startswith("{")]
    assert len(data) == 1 and "<" not in data[0] and HOSTILE in json.dumps(json.loads(data[0])).replace("\\/", "/")
    outside = re.sub(r"(?s)<script.*?</script>", "", claims_page(report, claims={}, figures={}, tables={}))
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", outside)


@pytest.mark.parametrize(("rows", "folded"), [(FOLDED, False), (LONGEST + 5, True)])
def test_long_tables_are_folded_and_cut(rows: int, folded: bool) -> None:
    parsed = page(
        {**REPORT, "claims": ROWS[:1]}, tables={"compactness": pd.DataFrame({"rule": [f"r{n}" for n in range(rows)]})}
    )
    words = parsed.words()
    assert (f"The table behind it: {rows} rows" in words) is folded
    assert ("the first 200 here" in words) is (rows > LONGEST)
    shown = {attrs.get("scope") for attrs in parsed.tags("th")}
    assert "row" in shown and len(re.findall(r"\br\d+\b", words)) == min(rows, LONGEST)


@pytest.mark.parametrize("claims", [None, [{"claim": "compactness"}]])
def test_a_report_of_something_else(claims: Any) -> None:
    with pytest.raises(ReportError, match=r"paper\.json"):
        claims_page({"claims": claims}, claims={}, figures={}, tables={})
