"""Every figure fits its box, says what it shows, keeps text as text, and is saved whole or not at all."""

import html
import html.parser
import importlib.util
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from drawn import FULL, MEASURES, RISES, retained_row, rise_rows, traces
from fake_report import fake_curve, fake_draws, fake_heads, fake_neurons, fake_points, fake_report
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import figures
from harmcircuits.figures import FigureError, style
from harmcircuits.report import retained_frame, rises_frame

HOSTILE = '<b>bold</b> </script><script>alert(1)</script> "quoted" & more'


@cache
def every_figure() -> dict[str, go.Figure]:
    report = fake_report()
    return {
        "heads": figures.heads_heatmap(fake_heads(), selected=[(0, 1), (3, 8)]),
        "heads, none selected": figures.heads_heatmap(fake_heads()),
        "neurons": figures.neurons_by_layer(fake_neurons(), selected=[(2, 17), (11, 639)]),
        "neurons, none selected": figures.neurons_by_layer(fake_neurons()),
        "rises": figures.rises(rises_frame(report)),
        "retained": figures.retained(retained_frame(report)),
        "nulls": figures.scatter_null(0.1, fake_draws(), low=0.05, high=0.15),
        "agreement": figures.agreement_scatter(fake_points(), notes={"heads": "Spearman 0.99"}),
        "reliability": figures.reliability_curve(fake_curve()),
        "empty agreement": figures.agreement_scatter(fake_points()[:0]),
        "empty reliability": figures.reliability_curve(fake_curve()[:0]),
        "empty rises": figures.rises(pd.DataFrame(columns=RISES)),
        "empty retained": figures.retained(pd.DataFrame(columns=["condition", "kind", *MEASURES])),
        "empty nulls": figures.scatter_null(0.1, pd.DataFrame(columns=["null", "value"])),
    }


@pytest.fixture(scope="module", params=list(every_figure()))
def drawn(request: pytest.FixtureRequest) -> go.Figure:
    return every_figure()[request.param]


def test_every_figure_fits_its_box_and_says_what_it_shows(drawn: go.Figure) -> None:
    layout = drawn.layout
    assert layout.width is None and layout.template.layout.autosize is True
    assert all(len(line) <= style.TITLE_WIDTH for line in layout.title.text.split("<br>"))
    assert layout.title.text.endswith("?")
    assert layout.meta["caption"] and layout.meta["alt"]
    assert layout.xaxis.title.text
    assert layout.height > layout.margin.t + layout.margin.b > 0


def test_no_figure_offers_to_upload_itself(drawn: go.Figure) -> None:
    assert "sendChartToCloud" in drawn.layout.template.layout.modebar.remove


# Text and files


@given(st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_text_survives_plotlys_reading_of_markup(value: str) -> None:
    safe = style.text(value)
    assert "<" not in safe and html.unescape(safe) == value


def test_a_hostile_name_stays_text_in_every_figure() -> None:
    rises = figures.rises(rise_rows((HOSTILE, "circuit", "harmful", 0.5, 0.25, 0.75)))
    retained = figures.retained(retained_row(**FULL, condition=HOSTILE))
    null = figures.scatter_null(0.1, pd.DataFrame({"null": [HOSTILE], "value": [0.0]}), title=HOSTILE)
    shown = [
        *(trace.text[0] for trace in traces(rises, "harmful requests")),
        *(trace.hovertext[0] for trace in retained.data if trace.hovertext),
        *(trace.name for trace in retained.data if trace.hovertext),
        *(trace.hovertemplate for trace in traces(null, "null draws")),
        null.layout.title.text,
        *(label.text for label in [*rises.layout.annotations, *null.layout.annotations]),
    ]
    assert len(shown) >= 9
    assert not any("<script" in text or "<b>bold" in text for text in shown)
    assert any("&lt;script&gt;" in text for text in shown)


class Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_a_saved_page_fetches_nothing_and_holds_its_figure(tmp_path: Path) -> None:
    path = figures.save(figures.rises(rise_rows((HOSTILE, "circuit", "near", 0.5, 0.25, 0.75))), tmp_path / "new" / "a.html")
    page = path.read_text(encoding="utf-8")
    links = Links()
    links.feed(page)
    assert links.found == []
    assert page.startswith("<!doctype html>") and 'name="viewport"' in page and "Plotly.newPlot" in page
    assert "<script>alert(1)</script>" not in page


def test_json_is_read_back_as_the_same_figure(tmp_path: Path) -> None:
    figure = figures.heads_heatmap(fake_heads(), selected=[(0, 1)])
    assert plotly.io.read_json(figures.save(figure, tmp_path / "a.json")) == figure


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FigureError, match=r"a\.jpg: unknown ending '\.jpg'; use \.html, \.json, \.png or \.svg"):
        figures.save(go.Figure(), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_an_image_without_kaleido_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(FigureError, match=r"pip install 'harmcircuits\[images\]'"):
        figures.save(go.Figure(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("kaleido") is None, reason="kaleido is not installed: harmcircuits[images]")
@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<svg")])
def test_images_are_what_they_say(tmp_path: Path, ending: str, magic: bytes) -> None:
    path = figures.save(figures.heads_heatmap(fake_heads()), tmp_path / f"a.{ending}")
    assert path.read_bytes().startswith(magic)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = figures.save(go.Figure(), tmp_path / "a.json")
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        figures.save(figures.heads_heatmap(fake_heads()), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
