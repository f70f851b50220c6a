"""The built documentation, a result in a notebook and a report, at a desk's and a phone's width, on light and dark ground:
nothing that axe objects to, nothing wider than the window, no name in a table broken in two, and a silent console; and a page
that has each of these faults, so that a fault is seen.
"""

import html
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from examined import WIDTHS, by_axe, examined, served
from fake_report import fake_report
from pages import DOCS, ROOT
from parsed import every_figure

from harmcircuits.notebook import notebook_html
from harmcircuits.report import page

pytestmark = by_axe

EVERY = "HARMCIRCUITS_EVERY_PAGE"
"""Set: every page is examined, in the light and in the dark, and not these alone."""
LOOKED_AT = ["index.html", *(f"{name}/" for name in ("get-started", "api", "interactive", "alignment", "paper"))]
BAD = """<!doctype html><html lang="en"><title>bad</title><main><h1>Bad</h1><img src="data:,x">
<table style="width: 1px"><tr><td><code style="word-break: break-word">load_prompts a b</code></table>
<pre style="width: 100px; overflow: auto">{words}</pre><div style="width: 1500px">wide</div></main>
<script>undefined_name()</script></html>"""
RESULT = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>notebook</title>
<main><h1>A result</h1>{fragment}</main></html>"""
LAID_OUT_AGAIN = "ResizeObserver loop completed with undelivered notifications"
"""A browser's notice, and no fault: a frame that has grown with its figure is measured once more."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `make docs` left in site/, if nothing that it is made of is newer; else built, where mkdocs is."""
    folder = ROOT / "site"
    if not _fresh(folder / "index.html"):
        if importlib.util.find_spec("mkdocs") is None:
            pytest.skip("site/ is not there or older than docs/, and there is no mkdocs: make docs")
        folder = tmp_path_factory.mktemp("site")
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    with served(folder) as address:
        yield address


def _fresh(built: Path) -> bool:
    sources = [
        ROOT / "mkdocs.yml",
        *DOCS.rglob("*.*"),
        *(ROOT / "harmcircuits").rglob("*.*"),
    ]
    newest = max(one.stat().st_mtime for one in sources if "__pycache__" not in one.parts)
    return built.exists() and built.stat().st_mtime > newest


def chosen() -> dict[bool, list[str]]:
    """Addresses of the pages that are examined, in the light (False) and in the dark."""
    if not os.environ.get(EVERY):
        return {False: LOOKED_AT, True: ["index.html", "results/", "api/"]}
    pages = [page.relative_to(DOCS) for page in sorted(DOCS.rglob("*.md"))]
    places = [page.parent if page.stem == "index" else page.with_suffix("") for page in pages]
    names = [f"{place.as_posix()}/index.html" for place in places]
    return {False: names, True: names}


@pytest.mark.parametrize(
    ("name", "dark"),
    [(name, dark) for dark, names in chosen().items() for name in names],
)
def test_a_page_of_the_documentation_has_no_fault(site: str, name: str, dark: bool, tmp_path: Path) -> None:
    looks, console = examined(site, name, tmp_path, dark=dark)
    assert [look.width for look in looks] == list(WIDTHS)
    for look in looks:
        assert look.objections == [] and look.wide == 0 and look.dark is dark and look.broken == [], look
    assert console == []


def test_each_fault_of_a_bad_page_is_seen(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD.format(words="word " * 99), "utf-8")
    with served(tmp_path) as address:
        looks, console = examined(address, "bad.html", tmp_path)
    for look in looks:
        assert {rule for rule, _, _ in look.objections} == {"image-alt", "scrollable-region-focusable"}
        assert [rule for rule, _, _ in look.of("critical")] == ["image-alt"]
        assert look.wide > 1500 - look.width - 20 > 0 and look.broken == ["load_prompts"]
    assert len(console) == len(WIDTHS) and all("undefined_name is not defined" in line for line in console)


def test_a_result_in_a_notebook_and_the_page_of_its_figure_have_no_fault(tmp_path: Path) -> None:
    table = pd.DataFrame({f"a long name of a column {at}": [at / 7] for at in range(12)})
    figure = every_figure(fake_report())["rises"]
    fragment = notebook_html("A sentence.", table, figure=lambda: figure, remarks=["A remark."])
    (tmp_path / "result.html").write_text(RESULT.format(fragment=fragment), "utf-8")
    (tmp_path / "figure.html").write_text(open_to_axe(html.unescape(fragment.split('srcdoc="')[1].split('"')[0])), "utf-8")
    with served(tmp_path) as address:
        for name in ("result.html", "figure.html"):
            looks, console = examined(address, name, tmp_path)
            assert [one for look in looks for one in look.of("serious", "critical")] == [], name
            assert [line for line in console if LAID_OUT_AGAIN not in line] == [], name
            assert not any("scroll" in rule for look in looks for rule, _, _ in look.objections)
            assert [look.wide for look in looks] == [0, 0], name


@pytest.mark.parametrize("dark", [False, True])
def test_a_report_has_no_fault(dark: bool, tmp_path: Path) -> None:
    report = fake_report()
    drawn = {"rises": every_figure(report)["rises"]}  # each takes axe seconds
    text = page(report, figures=drawn, tables={"Overlap of circuits": pd.DataFrame({"Jaccard": [0.1]})})
    (tmp_path / "report.html").write_text(open_to_axe(text), "utf-8")
    with served(tmp_path) as address:
        looks, console = examined(address, "report.html", tmp_path, dark=dark)
    assert [(look.wide, look.objections, look.dark) for look in looks] == [(0, [], dark)] * len(WIDTHS) and console == []


def open_to_axe(text: str) -> str:
    """Without the policy that would keep a script of a test out."""
    found = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert found != text
    return found
