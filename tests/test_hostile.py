"""Files and texts from elsewhere: read or refused with an error of ours, never run, and never markup on a page."""

import ast
from pathlib import Path

import pandas as pd
import pytest
from browser import Page, in_browser, load
from fake_report import fake_run
from shell import call

import harmcircuits
from harmcircuits import cli
from harmcircuits.errors import HarmcircuitsError, one_line
from harmcircuits.report import Section, page
from harmcircuits.results import notebook_html

# Errors and code


def test_an_error_moves_no_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise HarmcircuitsError("first\n\x1b[2Jsecond")

    monkeypatch.setattr(cli, "load", fail)
    result = call("dissociate", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "error: first\n\\x1b[2Jsecond" in result.output and "\x1b[2J" not in result.output
    assert one_line("a\n\x1b]0;b") == r"a\n\x1b]0;b"


def test_the_package_reads_no_pickle_and_runs_no_foreign_code() -> None:
    forbidden = {"torch.load", "torch.save", "np.load", "pd.read_pickle", "eval", "exec", "os.system"}
    for path in Path(harmcircuits.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                assert not names & {"pickle", "dill", "joblib", "shelve", "marshal"}, path
            elif isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in forbidden, path
                for keyword in node.keywords:
                    if keyword.arg in ("trust_remote_code", "allow_pickle", "shell"):
                        assert ast.unparse(keyword.value) == "False", path


# Pages

PAYLOAD = "document.documentElement.dataset.attacked='yes'"
HOSTILE = f"</script><script>{PAYLOAD}</script><img src=x onerror=\"{PAYLOAD}\">\"' onfocus='{PAYLOAD}' {{{{ 7 * 7 }}}} <!--"


def run_page() -> str:
    """A run with hostile text wherever text can be."""
    return fake_run(HOSTILE, HOSTILE).page()


def paper_page() -> str:
    section = Section(
        name=HOSTILE, question=HOSTILE, answer=HOSTILE, sentences=[HOSTILE], limits=[HOSTILE], method=HOSTILE, command=HOSTILE,
        tables={HOSTILE: pd.DataFrame({HOSTILE: [HOSTILE]})}, model={HOSTILE: HOSTILE}, settings={HOSTILE: [HOSTILE]},
    )  # fmt: skip
    return page([section, fake_run(HOSTILE, HOSTILE).section()], model=HOSTILE)


def notebook_page() -> str:
    fragment = notebook_html(HOSTILE, pd.DataFrame({HOSTILE: [HOSTILE]}))
    return f"<!doctype html><html><head></head><body>{fragment}</body></html>"


PAGES = {"run": run_page, "paper": paper_page, "notebook": notebook_page}


@pytest.mark.parametrize("name", PAGES)
def test_hostile_text_stays_text(name: str) -> None:
    parsed = Page(PAGES[name]())
    assert not {"img", "iframe", "link", "object", "embed", "base", "form"} & {tag for tag, _ in parsed.elements}
    for _, attrs in parsed.elements:
        assert not any(attribute.startswith("on") for attribute in attrs)
        assert all(str(attrs[one]).startswith("#") for one in ("src", "href", "action") if one in attrs), "it leaves the page"
    assert not [script for script in parsed.scripts() if script.startswith(PAYLOAD)]
    assert parsed.words().count(HOSTILE) >= 3, "shown as written"


@pytest.mark.parametrize("name", ["attacked", *PAGES])
class TestInABrowser:
    pytestmark = in_browser

    def test_no_hostile_text_runs(self, name: str, tmp_path: Path) -> None:
        text = PAGES[name]() if name in PAGES else f"<!doctype html><html><head></head><body>{HOSTILE}"
        dom, log = load(text, tmp_path)
        assert ("data-attacked" in dom[: dom.index("<head")]) == (name == "attacked"), "it runs where nothing stops it"
        assert name != "run" or "CONSOLE" not in log, "no error, and no script that the policy had to stop"
