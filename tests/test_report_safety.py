"""Nothing in a report can become markup, a script or a request."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from browser import in_browser, load
from fake_report import fake_report, fake_responses, measured, null
from hypothesis import given, settings
from hypothesis import strategies as st
from parsed import Page, every_figure, plain

from harmcircuits import figures
from harmcircuits.report import crossed_frames, effects_frame, page

PAYLOAD = "document.documentElement.dataset.attacked='yes'"
HOSTILE = f"</script><script>{PAYLOAD}</script><img src=x onerror=\"{PAYLOAD}\">\"' onfocus='{PAYLOAD}' {{{{ 7 * 7 }}}} <!--"


@pytest.fixture(scope="module")
def full_html() -> str:
    report = fake_report()
    table = pd.DataFrame({"circuit": ["heads", "neurons"], "Jaccard": [0.123456, None]})
    return page(report, figures=every_figure(report), tables={"Overlap of circuits": table}, responses=fake_responses())


@pytest.fixture(scope="module")
def full(full_html: str) -> Page:
    return Page(full_html)


# Nothing runs, nothing is fetched


def test_nothing_on_the_page_points_outside_it(full_html: str, full: Page) -> None:
    for tag, attrs in full.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in ("src", "href", "action", "srcset"):
                assert value is not None and value.startswith("#")
    css = full_html[full_html.index("<style>") : full_html.index("</style>")]
    assert "url(" not in css and "@import" not in css


def policy_of(parsed: Page) -> str:
    (policy,) = [attrs["content"] for attrs in parsed.tags("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    return policy or ""


def test_the_policy_allows_just_the_pages_own_scripts(full: Page) -> None:
    own = [text for text in full.scripts() if not text.startswith("{")]
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in own]
    assert len(own) == 2
    assert policy_of(full).split("; ")[:2] == ["default-src 'none'", f"script-src {' '.join(hashes)}"]


def test_eval_is_allowed_for_webgl_alone() -> None:
    drawn = {"svg": go.Scatter(x=[1], y=[1]), "webgl": go.Scattergl(x=[1], y=[1])}
    allowed = {name: "'unsafe-eval'" in policy_of(plain({"conditions": []}, figures={name: go.Figure(trace)}))
               for name, trace in drawn.items()}  # fmt: skip
    assert allowed == {"svg": False, "webgl": True}


def hostile_report() -> dict[str, Any]:
    """A report with hostile text wherever text can be, keys of mappings included."""
    report = fake_report()
    for key in ("verdict", "verdict_sentence", "sensitivity_before_run", "reproduce", "harmcircuits_version"):
        report[key] = HOSTILE
    report |= {"model": {"name": HOSTILE, HOSTILE: HOSTILE}, "verdict_reasons": [HOSTILE], "limits": [HOSTILE]}
    report["settings"] = {HOSTILE: HOSTILE, "list": [HOSTILE]}
    report["intact"]["generation"][HOSTILE] = measured(0.5)
    for condition in report["conditions"]:
        condition["name"] += HOSTILE
        condition["generation"]["harmful_rate"] = {"value": None, "reason": HOSTILE}
    for cell in report["crossed"]["cells"]:
        cell |= {"condition": cell["condition"] + HOSTILE, "task": cell["task"] + HOSTILE, "aim": cell["aim"] + HOSTILE}
        cell["effect"] = cell["effect"] if cell["effect"]["value"] else null(HOSTILE)
    report["crossed"]["interactions"][0] |= dict.fromkeys(("first", "second", "one", "other"), HOSTILE)
    report["seconds"] = {HOSTILE: HOSTILE}
    return report


def hostile_html() -> str:
    report = hostile_report()
    drawn = every_figure(report) | {HOSTILE: go.Figure(go.Scatter(x=[1], y=[1], name=HOSTILE), layout={"title": HOSTILE})}
    drawn[HOSTILE].update_layout(meta={"caption": HOSTILE, "alt": HOSTILE})
    drawn["crossed"] = figures.crossed_effects(effects_frame(report))
    table = pd.DataFrame({HOSTILE: [HOSTILE], "category": [HOSTILE]}, index=pd.Index([HOSTILE], name=HOSTILE))
    responses = fake_responses().assign(response=HOSTILE)
    return page(
        report, figures=drawn, tables={HOSTILE: table} | crossed_frames(report), responses=responses, show_responses=True
    )


def test_hostile_text_stays_text() -> None:
    clean = fake_report()
    parsed = Page(hostile_html())
    assert parsed.open == []
    allowed = {tag for tag, _ in Page(page(clean, figures=every_figure(clean), tables=crossed_frames(clean),
                                           responses=fake_responses(), show_responses=True)).elements}  # fmt: skip
    assert {tag for tag, _ in parsed.elements} <= allowed and "img" not in allowed
    assert not any(name.startswith("on") for _, attrs in parsed.elements for name in attrs)
    assert len([text for text in parsed.scripts() if not text.startswith("{")]) == 2
    assert parsed.words().count(HOSTILE) > 20 and "{{ 7 * 7 }}" in parsed.words(), "shown as written"


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_any_name_reads_as_it_was_written(name: str) -> None:
    report = {"model": "fake", "verdict": "shared", "conditions": [{"name": name, "kind": "circuit"}]}
    parsed = Page(page(report, figures={}, tables={}))
    assert any(name in text for path, text in parsed.texts if path[-1:] == ("h3",))


# In a browser


def attacked(dom: str) -> bool:
    return "data-attacked" in dom[: dom.index("<head")]


class TestInABrowser:
    pytestmark = in_browser

    def test_the_payload_works_where_nothing_stops_it(self, tmp_path: Path) -> None:
        dom, _ = load(f"<!doctype html><html><head></head><body>{HOSTILE}", tmp_path)
        assert attacked(dom), "without this the next test could not fail"

    def test_no_hostile_text_runs_and_every_figure_is_drawn(self, tmp_path: Path) -> None:
        drawn = lambda dom: ['class="main-svg"' in box for box in dom.split('data-figure="')[1:]]
        dom, log = load(hostile_html(), tmp_path, done=lambda dom: all(drawn(dom)))
        assert not attacked(dom)
        assert drawn(dom) == [True] * 7
        assert "CONSOLE" not in log, "no error, and no script that the policy had to stop"

    def test_the_policy_stops_what_escaping_would_have_missed(self, tmp_path: Path) -> None:
        text = page(fake_report(), figures={}, tables={})
        dom, log = load(text.replace("</main>", HOSTILE + "--></main>"), tmp_path)
        assert not attacked(dom)
        assert "Content Security Policy" in log

    def test_a_narrow_window_scrolls_tables_and_not_the_page(self, full_html: str, tmp_path: Path) -> None:
        measure = "document.body.dataset.wide = document.documentElement.scrollWidth - window.innerWidth"
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", full_html)
        dom, _ = load(
            text.replace("</body>", f"<script>window.addEventListener('load', () => {{ {measure} }})</script></body>"), tmp_path
        )
        (wide,) = re.findall(r'data-wide="(-?\d+)"', dom)
        assert int(wide) <= 0
