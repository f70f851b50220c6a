"""Every figure draws what it is given, escapes text, refuses what it cannot draw, and is saved whole or not at all."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from browser import in_browser, load
from drawn import floats, lines, one, traces
from fake_report import fake_neurons, fake_points, fake_run
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import figures
from harmcircuits.figures import FigureError, style

HOSTILE = '<b>bold</b> </script><script>alert(1)</script> "quoted" & more'
NAN = float("nan")
MATRICES = pd.DataFrame(
    {
        "layer": [0, 0, 1, 1], "kind": ["attn.q", "mlp.in"] * 2, "rows": [10, 40] * 2, "columns": 100, "size": [1000, 4000] * 2,
        "weights": [1, 0, 100, 8], "signed_sum": [0.5, -0.25, 0.0, 0.125], "signed_magnitude": [1.0, 2.0, 1.0, 4.0],
        "share": [0.125, 0.25, 0.125, 0.5], "positive": [0.5, 0.25, 0.5, 0.75],
    }
)  # fmt: skip
LOST = pd.DataFrame(
    [
        ("harmful", "", "harmful", 0.5, 0.25, 0.75),
        ("harmful", "", "facts", -0.25, -0.5, 0.125),
        ("facts", "unprotected", "harmful", None, None, None),
        ("facts", "unprotected", "facts", 0.125, None, None),
    ],
    columns=["aim", "protection", "measured", "value", "low", "high"],
)


def arms(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["arm", "asked", "value", "low", "high"])


def areas() -> pd.DataFrame:
    rows = [
        ("heads", name, measure, step * at, step * at - 0.125, step * at + 0.125)
        for at, name in enumerate(("base <b>", "SFT", "DPO"))
        for measure, step in (("area", 0.25), ("area_beyond_benign", 0.125))
    ]
    return pd.DataFrame(rows, columns=["component", "checkpoint", "measure", "value", "low", "high"])


# What is drawn


def test_heads_are_cells_with_their_interval_and_marks() -> None:
    scores = np.array([[0.5, -0.5, 0.25], [np.nan, 0.125, 0.0]])
    low = np.array([[0.25, -0.75, -0.25], [np.nan, np.nan, -0.5]])
    drawn = figures.heads_heatmap(scores, low=low, high=low + 0.5, selected=[(0, 1)])
    np.testing.assert_array_equal(drawn.data[0].z, scores)
    assert (drawn.data[0].zmin, drawn.data[0].zmax) == (-0.5, 0.5)
    sure, chosen = one(traces(drawn, "interval excludes 0 (2)")), one(traces(drawn, "selected (1)"))
    assert [(round(y), x) for y, x in zip(sure.y, sure.x, strict=True)] == [(0, 0), (0, 1)]
    assert (list(chosen.x), list(chosen.y)) == ([1], [0])
    assert drawn.data[0].text[0][2] == "L0H2: +0.2500 nats/token<br>95 % interval -0.2500 to 0.2500"


def test_neurons_drawn_are_the_largest_and_the_selected() -> None:
    scores, low = np.array([[0.5, 0.25], [-0.5, 0.125]]), np.array([[0.25, -0.25], [-0.75, 0.0625]])
    drawn = figures.neurons_by_layer(scores, low=low, high=low + 0.5, selected=[(0, 0), (0, 1)], top=3)
    others, chosen = (one(traces(drawn, name)) for name in ("not selected", "selected (2)"))
    assert chosen.customdata.tolist() == [[0, 0, 0.25, 0.75], [0, 1, -0.25, 0.25]] and floats(others.y) == [-0.5]
    assert list(chosen.marker.symbol) == ["circle", "circle-open"], "hollow where the interval includes 0"
    assert [y for _, y in lines(drawn, "intervals")] == [[0.25, 0.75], [-0.25, 0.25]]
    assert floats(drawn.data[-1].y) == [2, 0], "counted by layer"
    assert len(figures.neurons_by_layer(fake_neurons(layers=30, d_mlp=1536)).data[0].y) == 1500


def test_components_are_points_and_counts() -> None:
    rows = [(0, "heads", 2, (1, 3)), (2, "heads", 1, (0,)), (3, "neurons", 2, (5, 17))]
    heads, neurons = figures.components_by_layer(pd.DataFrame(rows, columns=["layer", "kind", "components", "indices"])).data
    assert list(zip(heads.x, heads.y, heads.text, strict=True)) == [(0, 1, "L0H1"), (0, 3, "L0H3"), (2, 0, "L2H0")]
    assert (list(neurons.x), list(neurons.y), neurons.hovertext) == ([3], [2], ("layer 3: 2 neurons<br>5, 17",))


def test_tokens_are_numbered_bars_and_words_only_where_given() -> None:
    frame = pd.DataFrame({"heads": [0.25, -0.5, 0.0], "neurons": [0.125, 0.25, -0.125]})
    drawn = figures.token_attribution(frame, before=0.0625)
    heads, neurons = drawn.data
    assert floats(heads.x) == floats(neurons.x) == [1, 2, 3]
    assert floats(heads.y) == [0.25, -0.5, 0] and floats(neurons.y) == [0.125, 0.25, -0.125]
    assert heads.hovertext[1] == "token 2: heads -0.5000, neurons +0.2500, together -0.2500 nats/token"
    assert "before the response: +0.0625 nats" in drawn.layout.title.subtitle.text
    words = figures.token_attribution(frame[["neurons"]], tokens=[" a</script><b>", "\n", "x" * 40])
    assert words.layout.yaxis.ticktext == ("a&lt;/script&gt;&lt;b&gt;", "␣", "x" * 13 + "…")


def test_weights_are_shares_of_each_matrix() -> None:
    (heat,) = figures.weights_by_matrix(MATRICES).data
    np.testing.assert_allclose(heat.z, [[1000, 0], [100_000, 2000]])
    assert heat.hovertext[0][0] == "layer 0, attn.q: 1 of 1,000 weights (1,000 per million)"
    (heat,) = figures.weight_scores_by_matrix(MATRICES).data
    np.testing.assert_allclose(heat.z, [[12.5, 25], [12.5, 50]])
    assert heat.hovertext[1][1].startswith("layer 1, mlp.in: 50.00 % of Σ|A|, 1.25 times as much")


def test_attention_is_a_cell_a_pair() -> None:
    pattern = np.array([[1.0, 0.0], [0.25, 0.75]])
    drawn = figures.attention_heatmap(pattern, ["a", "<b>"], n_context=1)
    np.testing.assert_array_equal(drawn.data[0].z, [[1.0, NAN], [0.25, 0.75]])
    assert drawn.layout.xaxis.ticktext == ("a", "&lt;b&gt;")


def test_the_plane_has_a_point_a_condition_and_names_circuits_alone() -> None:
    drawn = figures.dissociation_plane(fake_run().effects)
    circuit, control = one(traces(drawn, "circuit", "markers+text")), one(traces(drawn, "random", "markers+text"))
    assert (floats(circuit.x), floats(circuit.y), circuit.text) == ([0.555], [0.333], ("heads",))
    assert (floats(control.x), control.text) == ([0.0222], ("",))
    assert lines(drawn, "circuit") == [([0.505, 0.605], [0.333, 0.333]), ([0.555, 0.555], [0.283, 0.383])]


def test_polarity_draws_both_questions_of_circuits_alone() -> None:
    drawn = figures.polarity(fake_run().effects)
    marks = {trace.name: floats(trace.x) for trace in drawn.data if trace.mode == "markers"}
    assert marks == {"balanced": [0.333, 0.333], "one-sided": [0.444, 0.444]}


def test_effect_sizes_are_shares_of_the_largest_of_their_column_and_random_controls_are_left_out() -> None:
    drawn = figures.effect_sizes(fake_run().effects)
    (heat,) = drawn.data
    np.testing.assert_array_equal(np.array(heat.z, dtype=float), np.ones((1, 5)))
    assert "+0.55" in str(heat.text[0][0]) or "+0.56" in str(heat.text[0][0])


def test_the_sweep_rings_what_is_chosen() -> None:
    harmful, near = figures.size_sweep(fake_run().sweep).data
    assert (list(harmful.x), floats(near.y), list(harmful.marker.size)) == ([3, 9], [3 / 18, 0.5], [7, 13])


def test_what_is_lost_fills_cells_and_frames_the_target() -> None:
    drawn = figures.loss_matrix(LOST)
    (heat,) = drawn.data
    np.testing.assert_array_equal(np.array(heat.z, dtype=float), [[0.5, -0.25], [np.nan, 0.125]])
    assert [list(line) for line in heat.text] == [
        ["<b>0.50</b><br>0.25 to<br>0.75", "<b>-0.25</b><br>-0.50 to<br>0.12"],
        ["<b>n/a</b>", "<b>0.12</b>"],
    ]
    assert [(shape.x0 + shape.x1, shape.y0 + shape.y1) for shape in drawn.layout.shapes] == [(0, 0), (2, 2)]


def test_arms_have_a_mark_for_each_value() -> None:
    frame = arms(
        ("bad", "sport", 0.5, 0.25, 0.75), ("bad", "other subjects", 0.25, 0.0, 0.5), (HOSTILE, "sport", -0.25, None, None)
    )
    drawn = figures.misalignment_arms(frame)
    marks = {trace.name: floats(trace.x) for trace in drawn.data if trace.mode == "markers"}
    assert marks == {"the subject of the lessons": [0.5, -0.25], "other subjects": [0.25]}
    assert lines(drawn, "other subjects")[0][0] == [0.0, 0.5]


def test_each_measure_of_checkpoints_has_its_line_with_an_interval_at_each() -> None:
    drawn = figures.checkpoint_areas(areas())
    assert floats(one(traces(drawn, "harmful")).y) == [0.0, 0.25, 0.5]
    assert floats(one(traces(drawn, "beyond benign")).y) == [0.0, 0.125, 0.25]
    assert [ends for _, ends in lines(drawn, "harmful")] == [[-0.125, 0.125], [0.125, 0.375], [0.375, 0.625]]
    assert drawn.layout.xaxis.ticktext == ("base &lt;b&gt;", "SFT", "DPO")


def test_agreement_points_lie_at_their_scores_the_first_upwards() -> None:
    rows = [("heads", 3, 7, 0.5, 0.25), ("heads", 0, 1, -0.125, 0.125), ("neurons", 2, 9, 0.75, 1.0), ("neurons", 2, 3, NAN, 1)]
    frame = pd.DataFrame(rows, columns=["kind", "layer", "index", "first", "second"])
    drawn = figures.agreement_scatter(frame, names=("first order", "exact"))
    same, neurons = traces(drawn, "same sign")
    differ = traces(drawn, "signs differ")[0]
    assert (floats(same.x), floats(same.y)) == ([0.25], [0.5]) and (floats(differ.x), floats(differ.y)) == ([0.125], [-0.125])
    assert floats(neurons.x) == [1.0] and neurons.xaxis == "x2", "what has no score is left out"
    assert same.text[0] == "L3H7: first order +0.5000, exact +0.2500 nats/token"
    drawn = figures.agreement_scatter(fake_points(), top=100)
    assert sum(len(trace.x) for trace in drawn.data if trace.mode == "markers") == 200
    assert "not shown: 8 heads, 7,580 neurons" in drawn.layout.title.subtitle.text.replace("<br>", " ")


# What every figure keeps


def every_figure() -> dict[str, go.Figure]:
    effects = fake_run().effects
    return {
        **fake_run().figures(),
        "lost": figures.loss_matrix(LOST),
        "neurons": figures.neurons_by_layer(fake_neurons()),
        "agreement": figures.agreement_scatter(fake_points()),
        "empty agreement": figures.agreement_scatter(fake_points()[:0]),
        "empty mask": figures.weights_by_matrix(MATRICES[:0]),
        "empty plane": figures.dissociation_plane(effects[:0]),
        "empty polarity": figures.polarity(effects[:0]),
        "empty effects": figures.effect_sizes(effects[:0]),
        "empty lost": figures.loss_matrix(LOST[:0]),
    }


def test_every_figure_fits_its_box_and_says_what_it_shows() -> None:
    for name, drawn in every_figure().items():
        layout = drawn.layout
        assert layout.width is None and layout.template.layout.autosize is True, name
        assert all(len(line) <= style.TITLE_WIDTH for line in layout.title.text.split("<br>")), name
        assert layout.meta["caption"] and layout.meta["alt"] and layout.xaxis.title.text, name
        assert "sendChartToCloud" in layout.template.layout.modebar.remove, "nothing is uploaded"


@given(st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_text_survives_plotlys_reading_of_markup(value: str) -> None:
    safe = style.text(value)
    assert "<" not in safe and html.unescape(safe) == value


def test_a_hostile_name_stays_text_in_every_figure() -> None:
    drawn = [
        *fake_run(HOSTILE).figures().values(),
        figures.loss_matrix(LOST.assign(aim=HOSTILE)[:2]),
        figures.misalignment_arms(arms((HOSTILE, HOSTILE, 0.5, 0.25, 0.75))),
    ]
    for figure in drawn:
        shown = figure.to_plotly_json()
        shown["layout"].pop("meta")  # the page escapes these
        assert "<script" not in str(shown) and "<b>bold" not in str(shown)
    assert all("&lt;script&gt;" in str(figure.to_plotly_json()) for figure in (drawn[0], drawn[1], drawn[-2]))


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: figures.heads_heatmap(np.zeros((2, 3)), selected=[(2, 0)]), r"\(2, 0\) lies outside the scores' shape"),
        (lambda: figures.heads_heatmap(np.zeros(3)), r"shape \(3,\)"),
        (lambda: figures.neurons_by_layer(np.zeros((2, 3)), low=np.zeros((2, 3))), "low and high have the shapes"),
        (lambda: figures.loss_matrix(pd.concat([LOST, LOST[3:]])), "'facts unprotected' has two rows for 'facts'"),
        (lambda: figures.weights_by_matrix(pd.concat([MATRICES, MATRICES[3:]])), "two rows; keep one a matrix"),
        (lambda: figures.token_attribution(pd.DataFrame({"heads": [1.0]}), tokens=["a", "b"]), "2 texts for 1 tokens"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw: Callable[[], go.Figure], told: str) -> None:
    with pytest.raises(FigureError, match=told):
        draw()


# Files


def test_a_saved_page_fetches_nothing_and_holds_its_figure(tmp_path: Path) -> None:
    path = figures.save(figures.dissociation_plane(fake_run(HOSTILE).effects), tmp_path / "new" / "a.html")
    page = path.read_text(encoding="utf-8").split("<script>", 1)[0]
    assert not re.search(r"(src|href|srcset|action)=", page)
    assert page.startswith("<!doctype html>") and 'name="viewport"' in page and "alert(1)</script>" not in page


@pytest.mark.parametrize("ending", ["json", "png", "svg"])
def test_a_file_is_what_its_ending_says(tmp_path: Path, ending: str) -> None:
    drawn = figures.heads_heatmap(np.zeros((2, 3)))
    if ending != "json":
        pytest.importorskip("kaleido", reason="kaleido is not installed: harmcircuits[images]")
    path = figures.save(drawn, tmp_path / f"a.{ending}")
    if ending == "json":
        assert plotly.io.read_json(path) == drawn
    else:
        assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<svg"}[ending])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FigureError, match=r"a\.jpg: unknown ending '\.jpg'; use \.html, \.json, \.png or \.svg"):
        figures.save(go.Figure(), tmp_path / "a.jpg")
    path = figures.save(go.Figure(), tmp_path / "a.json")
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        figures.save(figures.heads_heatmap(np.zeros((2, 3))), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@in_browser[0]
@in_browser[1]
def test_a_figure_takes_the_colours_of_the_page_around_it(tmp_path: Path) -> None:
    drawn = figures.dissociation_plane(fake_run().effects)
    text = figures.save(drawn, tmp_path / "figure.html").read_text("utf-8")
    grounds = lambda dom: re.findall(r'<svg class="main-svg"[^>]*style="background: ([^"]*);"', dom)
    ready = lambda dom: bool(grounds(dom) and re.search(r'<svg class="main-svg"[^>]* role="img"', dom))
    dom, log = load(text.replace("<body>", '<body style="color: rgb(230 230 230)">'), tmp_path, width=1100, done=ready)
    assert grounds(dom) == ["rgb(27, 27, 27)"], (re.findall("<svg[^>]*>", dom), log)
    assert re.search(r'<svg class="main-svg"[^>]* role="img" aria-label="heads', dom), "told to a screen reader"
    assert "CONSOLE" not in log and json.loads(str(drawn.to_json()))["layout"]["meta"]["dark"]["white"] == "#1B1B1B"
