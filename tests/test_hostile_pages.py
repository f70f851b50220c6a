"""Pages with hostile text in them: no script of it runs, and no request leaves them."""

import html
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest
from fake_report import fake_report, fake_responses, measured
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits import figures
from harmcircuits.components import Circuit
from harmcircuits.examples import Prompt
from harmcircuits.notebook import notebook_html
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.report import page
from harmcircuits.report.claims import claims_page


def hostile(url: str) -> str:
    """Whatever would fetch `url` or run, and what would let it: an end of a script, an attribute, a template."""
    return (
        f'</script><script>fetch("{url}/script")</script><img src="{url}/img" onerror="fetch(\'{url}/onerror\')">'
        f'<link rel="stylesheet" href="{url}/link"><style>@import "{url}/import"; body {{ background: url({url}/css) }}</style>'
        f'<iframe src="{url}/iframe"></iframe><a href="{url}/a" ping="{url}/ping">x</a><base href="{url}/">'
        f"\"' onfocus=\"fetch('{url}/onfocus')\" autofocus {{{{ 7 * 7 }}}} <!-- \u202e"
    )


def drawn(text: str) -> go.Figure:
    figure = go.Figure(go.Bar(x=[text], y=[1], name=text, text=[text], hovertemplate=text))
    return figure.update_layout(title=text, xaxis_title=text, height=300, meta={"alt": text, "caption": text})


def pages(folder: Path, url: str) -> dict[str, str]:
    """What the package writes, with hostile requests, categories, figures and names of models."""
    text = {name: hostile(f"{url}/{name}") for name in ("run", "claims", "notebook", "prompts", "figure")}
    report = fake_report() | {"model": {"name": text["run"]}, "limits": [text["run"]], "reproduce": text["run"]}
    report["conditions"][0]["name"] = text["run"]
    responses = fake_responses().assign(response=text["run"], category=text["run"])
    claim = {
        "claim": text["claims"],
        "asks": text["claims"],
        "found": "undecided",
        "sentence": text["claims"],
        "headline": "share",
    }
    own = {"values": {"share": measured(0.5)}, "limits": [text["claims"]], "command": text["claims"]}
    table = pd.DataFrame({text["claims"]: [text["claims"]]})
    prompts = PromptSet(
        tuple(Prompt(request=text["prompts"], category=text["prompts"], group=f"g{at}") for at in range(2)), text["prompts"]
    )
    figures.save(drawn(text["figure"]), folder / "saved.html")
    return {
        "run": page(
            report,
            figures={text["run"]: drawn(text["run"])},
            tables={text["run"]: table},
            responses=responses,
            show_responses=True,
        ),
        "claims": claims_page(
            {"claims": [claim], "model": {"name": text["claims"]}},
            claims={text["claims"]: own},
            figures={text["claims"]: {text["claims"]: drawn(text["claims"])}},
            tables={text["claims"]: table},
        ),
        "notebook": notebook_html(
            text["notebook"],
            pd.DataFrame({text["notebook"]: [text["notebook"]]}),
            figure=lambda: drawn(text["notebook"]),
            remarks=[text["notebook"]],
        ),
        "prompts": prompts._repr_html_() + Circuit(heads=[(0, 1)])._repr_html_(),
        "figure": (folder / "saved.html").read_text("utf-8"),
    }


@given(st.text(max_size=80))
def test_any_text_of_a_notebook_stays_text(text: str) -> None:
    found = notebook_html(text, pd.DataFrame({"a": [text]}), remarks=[text])
    assert "<script" not in found.lower().replace("&lt;script", "")
    assert found.startswith(f"<p>{html.escape(text)}</p>")


def test_the_frame_of_a_notebooks_figure_can_send_nothing() -> None:
    found = html.unescape(notebook_html("x", figure=lambda: drawn("x")))
    assert 'Content-Security-Policy" content="default-src ' + "'none'; script-src 'unsafe-inline'; style-src" in found
    assert "connect-src" not in found and "http:" not in found.partition('atob("')[0]


CHROMIUM = shutil.which("/usr/bin/chromium") or shutil.which("chromium")
QUIET = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --virtual-time-budget=2000 --dump-dom"""


@pytest.fixture
def seen() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that were asked of it."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium at /usr/bin/chromium or on PATH")
def test_no_request_leaves_a_page_opened_in_a_browser(tmp_path: Path, seen: tuple[str, list[str]]) -> None:
    url, asked = seen
    every = pages(tmp_path, url) | {"open": f"<!doctype html><body>{hostile(f'{url}/open')}"}
    for name, content in every.items():
        (tmp_path / f"{name}.html").write_text(content, encoding="utf-8", errors="replace")
    frames = "".join(f'<iframe src="{name}.html" width="900" height="700"></iframe>' for name in every)
    (tmp_path / "index.html").write_text(f"<!doctype html><meta charset='utf-8'>{frames}", encoding="utf-8")
    command = [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "index.html").as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert {path for path in asked if path.startswith("/open/")} >= {"/open/img", "/open/script"}, "without a wall they leave"
    assert [path for path in asked if not path.startswith("/open/")] == []
