"""Every figure fits its box, says what it shows, keeps text as text, and is saved whole or not at all."""

import html
import html.parser
import importlib.util
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from browser import in_browser, load
from drawn import FULL, MEASURES, RISES, retained_row, rise_rows, traces
from fake_places import fake_circuit, fake_matrices, fake_tokens
from fake_report import around, fake_draws, fake_heads, fake_neurons, fake_points, fake_report
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import figures
from harmcircuits.figures import FigureError, style
from harmcircuits.figures.legend import for_width
from harmcircuits.report import retained_frame, rises_frame

HOSTILE = '<b>bold</b> </script><script>alert(1)</script> "quoted" & more'


@cache
def every_figure() -> dict[str, go.Figure]:
    report = fake_report()
    return {
        "heads": figures.heads_heatmap(fake_heads(), **around(fake_heads()), selected=[(0, 1), (3, 8)]),
        "heads, none selected": figures.heads_heatmap(fake_heads(), **around(fake_heads())),
        "neurons": figures.neurons_by_layer(fake_neurons(), **around(fake_neurons()), selected=[(2, 17), (11, 639)]),
        "neurons, none selected": figures.neurons_by_layer(fake_neurons(), **around(fake_neurons())),
        "tokens": figures.token_attribution(fake_tokens(), before=0.1234),
        "tokens of heads, in words": figures.token_attribution(fake_tokens()[["heads"]], tokens=["a", HOSTILE, "\n"]),
        "effects": figures.token_effects(pd.DataFrame([(HOSTILE, 1, 0, 2)], columns=["token", "effect", "low", "high"])),
        "empty effects": figures.token_effects(pd.DataFrame(columns=["token", "effect", "low", "high"])),
        "empty judge": figures.judge_validation(pd.DataFrame(columns=["measure", "value", "low", "high", "least"])),
        "mask": figures.weights_by_matrix(fake_matrices()),
        "scores of weights": figures.weight_scores_by_matrix(fake_matrices()),
        "circuit": figures.components_by_layer(fake_circuit()),
        "rises": figures.rises(rises_frame(report)),
        "retained": figures.retained(retained_frame(report)),
        "nulls": figures.scatter_null(0.1, fake_draws(), low=0.05, high=0.15),
        "agreement": figures.agreement_scatter(fake_points(), notes={"heads": "Spearman 0.99"}),
        "empty agreement": figures.agreement_scatter(fake_points()[:0]),
        "empty tokens": figures.token_attribution(fake_tokens()[:0]),
        "empty mask": figures.weights_by_matrix(fake_matrices()[:0]),
        "empty scores of weights": figures.weight_scores_by_matrix(fake_matrices()[:0]),
        "empty circuit": figures.components_by_layer(fake_circuit()[:0]),
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
    effects = every_figure()["effects"]
    shown = [
        *(trace.text[0] for trace in traces(rises, "harmful requests")),
        *(trace.hovertext[0] for trace in retained.data if trace.hovertext),
        *(trace.name for trace in retained.data if trace.hovertext),
        *(trace.hovertemplate for trace in traces(null, "null draws")),
        null.layout.title.text,
        effects.data[0].hovertext[0],
        *effects.layout.yaxis.ticktext,
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
    assert page.startswith("<!doctype html>") and 'name="viewport"' in page and "Plotly.react(" in page
    assert "<script>alert(1)</script>" not in page


def test_a_picture_has_no_empty_lines_under_its_legend() -> None:
    drawn = figures.rises(rises_frame(fake_report()))  # three entries: two lines on a phone, one on a page
    plot, bottom = drawn.layout.height - drawn.layout.margin.t - drawn.layout.margin.b, drawn.layout.margin.b
    phone, page = for_width(drawn, 380), for_width(drawn, 1100)
    assert phone.layout.margin.b == bottom
    assert page.layout.margin.b == bottom - 29
    for one in (phone, page):
        assert one.layout.height - one.layout.margin.t - one.layout.margin.b == plot, "the plot itself is as high as before"


def luminance(colour: str) -> float:
    """WCAG's, of a #rrggbb or white."""
    parts = [int(("#FFFFFF" if colour == "white" else colour)[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return sum(
        share * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_dark_colours_can_be_told_from_the_dark_ground() -> None:
    of = lambda colour: style.DARK.get(colour, colour)
    for ground in ("white", style.WARM, style.COOL):
        assert contrast(style.INK, ground) >= 4.5 and contrast(of(style.INK), of(ground)) >= 4.5, ground
    assert contrast(of(style.GREY), style.GROUND) >= 4.5 <= contrast(style.GREY, "white"), "notes under a title"
    marks = (style.ORANGE, style.SKY, style.GREEN, style.YELLOW, style.BLUE, style.VERMILLION, style.PURPLE, style.BLACK)
    assert min(contrast(of(mark), style.GROUND) for mark in marks) >= 3


def colours(node: Any, *, named: bool = False) -> set[str]:
    """Every string under a key that ends in a word for colour."""
    if isinstance(node, str):
        return {node} if named else set()
    if isinstance(node, dict):
        return set().union(
            *(colours(one, named=key.endswith(("color", "colorway", "colorscale"))) for key, one in node.items())
        )
    return set().union(*(colours(one, named=named) for one in node)) if isinstance(node, list | tuple) else set()


def test_a_dark_figure_has_no_light_colour_left_and_says_the_same(drawn: go.Figure) -> None:
    before, dark = drawn.to_json(), figures.dark(drawn)
    assert colours(json.loads(before)) & set(style.DARK)
    assert not colours(json.loads(dark.to_json())) & set(style.DARK)
    light = {partner: colour for colour, partner in style.DARK.items()}
    again = figures.dark(dark.update_layout(meta={"dark": light})).update_layout(meta=drawn.layout.meta)
    assert json.loads(again.to_json()) == json.loads(before), "turned back: nothing else had changed"
    assert drawn.to_json() == before, "the figure itself stays as it was"


def test_words_are_no_colours_and_other_figures_stay_as_they_are() -> None:
    named = go.Figure(go.Bar(x=["white"], y=[1], name=style.INK, text=["white"]), layout={"meta": {"dark": style.DARK}})
    assert figures.dark(named).data[0].to_plotly_json() == named.data[0].to_plotly_json()
    other = go.Figure(go.Bar(x=[1], y=[1], marker_color="white"))
    assert json.loads(figures.dark(other).to_json()) == json.loads(other.to_json())


class TestInABrowser:
    pytestmark = in_browser

    @pytest.mark.parametrize(("ink", "ground"), [("#222", "white"), ("rgb(230 230 230 / 90%)", "rgb(27, 27, 27)")])
    def test_a_figure_takes_the_colours_of_the_page_around_it(self, ink: str, ground: str, tmp_path: Path) -> None:
        drawn = figures.rises(rises_frame(fake_report()))
        text = figures.save(drawn, tmp_path / "figure.html").read_text("utf-8")
        grounds = lambda dom: re.findall(r'<svg class="main-svg"[^>]*style="background: ([^"]*);"', dom)
        ready = lambda dom: bool(grounds(dom) and re.search(r'<svg class="main-svg"[^>]* role="img"', dom))
        dom, log = load(text.replace("<body>", f'<body style="color: {ink}">'), tmp_path, width=1100, done=ready)
        assert grounds(dom) == [ground], (re.findall("<svg[^>]*>", dom), log)
        (high,) = {float(height) for height in re.findall(r'<svg class="main-svg"[^>]* height="([\d.]+)"', dom)}
        assert drawn.layout.height - 40 < high < drawn.layout.height - 15, "a line of the legend less than on a phone"
        assert re.search(r'<svg class="main-svg"[^>]* role="img" aria-label="Rise of L', dom), "told to a screen reader"
        assert not re.search(r'<div[^>]* role="img"[^>]*>', dom), "and plotly's buttons are not hidden in an image"
        assert "CONSOLE" not in log


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
