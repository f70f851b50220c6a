"""A report on paper: its sections and figures are there, nothing is cut, and no response is."""

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from browser import CHROMIUM, QUIET, in_browser
from fake_report import fake_report
from parsed import Page, every_figure

from harmcircuits.figures import rises
from harmcircuits.report import page, rises_frame
from harmcircuits.report.parts import drawn

CANARY = "ZEBRAFISH"
MOST = 11
"""Pages of the report below, 10 when this was written: with the sizes of the screen it had 12."""


def report_page() -> str:
    report = fake_report()
    responses = pd.DataFrame({"condition": ["intact"], "text": [CANARY]})
    return page(report, figures=every_figure(report), tables={}, responses=responses)


def rules_of(text: str, media: str) -> str:
    """What a page's style says of a medium alone."""
    return "".join(re.findall(rf"@media {media} {{(.*?)\n}}", text, re.S))


@pytest.mark.parametrize(
    ("height", "paper", "long"), [(400, 0.8, False), (1250, 0.64, False), (2000, 0.8, True), (10, 0.8, False)]
)
def test_two_figures_fit_a_page_and_a_long_one_stays_legible(height: int, paper: float, long: bool) -> None:
    figure = rises(rises_frame(fake_report())).update_layout(height=height, margin_t=0)
    own = drawn("rises", figure)
    assert (own.height, own.paper, own.long) == (height, paper, long)


def test_what_only_a_screen_can_do_is_undone_on_paper() -> None:
    own = rules_of(report_page(), "print")
    for said in ("nav, .skip, .modebar { display: none !important; }", ".scroll { overflow: visible; }",
                 ".sticky tbody th, .sticky thead th:first-child { position: static; }", "zoom: var(--paper)"):  # fmt: skip
        assert said in own, said


@in_browser[0]
@in_browser[1]
def test_a_printed_report_has_every_section_and_figure_and_no_response(tmp_path: Path) -> None:
    text = report_page()
    (tmp_path / "report.html").write_text(text, "utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=30000", "--no-pdf-header-footer", "--generate-pdf-document-outline",
               f"--print-to-pdf={tmp_path / 'report.pdf'}", (tmp_path / "report.html").as_uri()]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=600, check=True)
    printed = (tmp_path / "report.pdf").read_bytes()
    titles = {title.decode("latin-1") for title in re.findall(rb"/Title \((.*?)\)\s", printed)}
    headings = {found for path, found in Page(text).texts if path[-1:] in {("h2",), ("h3",)}}
    assert len(headings) > 10 and headings <= titles, headings - titles
    pages = len(re.findall(rb"/Type /Page\b", printed))
    assert 3 < pages <= MOST, f"{pages} pages"
    assert CANARY not in text and CANARY.encode() not in printed
