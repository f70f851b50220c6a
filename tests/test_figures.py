"""Every figure draws what it is given, with its intervals, escapes text, and names what it cannot draw."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
import torch
from browser import in_browser, load
from fake_report import fake_run
from hypothesis import given, settings
from hypothesis import strategies as st

import harmcircuits as hc
from harmcircuits import figures
from harmcircuits.attribution.scores import Attribution
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.claims.alignment import Alignment
from harmcircuits.claims.claim import Claim
from harmcircuits.claims.compactness import Compactness
from harmcircuits.claims.distinct import Distinct
from harmcircuits.claims.generality import Generality
from harmcircuits.claims.misalignment import Misalignment
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.effect_table import dissociation_plane
from harmcircuits.figures import style
from harmcircuits.inspection import AttentionPattern
from harmcircuits.statistics import Estimate

HOSTILE = '<b>bold</b> </script><script>alert(1)</script> "quoted" & more'
NAN = float("nan")
WORDS = {"title": "Which?", "caption": "What is drawn.", "x_title": "x"}


def frame(columns: str, *rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def floats(values: Any) -> list[float]:
    return np.asarray(values, dtype=float).tolist()


def ends(values: Any, bars: Any) -> list[tuple[float, float]]:
    """Where error bars begin and end."""
    values, up, down = (np.asarray(side, dtype=float) for side in (values, bars.array, bars.arrayminus))
    return [*zip((values - down).tolist(), (values + up).tolist(), strict=True)]


# Primitives


def test_curves_are_lines_with_intervals_and_controls_are_points_alone() -> None:
    data = frame(
        "x series value low high facet chosen",
        (1, "harmful", 0.25, 0.125, 0.5, "heads", False), (2, "harmful", 0.5, 0.25, 0.75, "heads", True),
        (1, "random", 0.125, NAN, NAN, "heads", False), (4, "harmful", 1.0, 1.25, 1.5, "neurons", False),
    )  # fmt: skip
    drawn = figures.curves(data, y_title="ΔL", log_x=True, threshold=0.5, **WORDS)
    harmful, random, neurons, _ = drawn.data
    assert (floats(harmful.x), floats(harmful.y)) == ([1, 2], [0.25, 0.5])
    assert (harmful.mode, random.mode) == ("lines+markers", "markers")
    assert ends(harmful.y, harmful.error_y) == [(0.125, 0.5), (0.25, 0.75)] and list(harmful.marker.size) == [7, 13]
    assert ends(neurons.y, neurons.error_y) == [(1.25, 1.5)], "an interval need not hold its estimate"
    assert (neurons.xaxis, drawn.layout.xaxis2.type, drawn.layout.shapes[0].y0) == ("x2", "log", 0.5)


def test_a_forest_has_a_row_a_label_and_a_mark_a_series() -> None:
    first = ("a", "x", 0.5, 0.25, 0.75), ("a", "y", 0.25, 0.0, 0.5)
    data = frame("label series value low high", *first, ("b", "x", -0.25, NAN, NAN))
    drawn = figures.forest(data, **WORDS)
    x, y = drawn.data
    assert (floats(x.x), floats(x.y)) == ([0.5, -0.25], [0, 1]) and floats(y.x) == [0.25]
    assert ends(x.x, x.error_x)[0] == (0.25, 0.75) and x.hovertext[1] == "b, x: -0.250"
    assert [note.text for note in drawn.layout.annotations] == ["<b>a</b>", "<b>b</b>"]


def test_a_matrix_writes_values_and_intervals_and_frames_cells() -> None:
    data = frame("row column value low high framed", ("a", "a", 0.5, 0.25, 0.75, True), ("a", "b", -0.25, NAN, NAN, False),
                 ("b", "b", NAN, NAN, NAN, True))  # fmt: skip
    drawn = figures.matrix(data, bar="ΔL", **WORDS)
    (heat,) = drawn.data
    np.testing.assert_array_equal(np.array(heat.z, dtype=float), [[0.5, -0.25], [NAN, NAN]])
    assert [list(line) for line in heat.text] == [["<b>+0.50</b><br>+0.25 to<br>+0.75", "<b>-0.25</b>"], ["", ""]]
    assert [(shape.x0 + shape.x1, shape.y0 + shape.y1) for shape in drawn.layout.shapes] == [(0, 0), (2, 2)]
    wide = figures.matrix(data.assign(column=range(3)).astype({"column": str}), bar="", **WORDS)
    assert wide.layout.meta["least_width"] == 230, "narrower boxes scroll"


def test_heads_carry_marks_of_what_is_sure_selected_and_protected() -> None:
    scores = np.array([[0.5, -0.5, 0.25], [NAN, 0.125, 0.0]])
    low = np.array([[0.25, -0.75, -0.25], [NAN, NAN, -0.5]])
    heat, sure, selected, protected = figures.heads(scores, low=low, high=low + 0.5, selected=[(0, 1)], protected=[(1, 2)]).data
    np.testing.assert_array_equal(heat.z, scores)
    assert (heat.zmin, heat.zmax, heat.hovertext[0][2]) == (-0.5, 0.5, "layer 0, head 2: +0.2500")
    assert [trace.name for trace in (sure, selected, protected)] == ["interval excludes 0 (2)", "selected (1)", "protected (1)"]
    assert (floats(sure.x), floats(selected.x), floats(protected.y)) == ([0, 1], [1], [1])


def test_points_lie_at_both_values_with_both_intervals() -> None:
    data = frame("x x_low x_high value low high series name label", (0.5, 0.25, 0.75, -0.25, -0.5, 0.0, "circuit", "a", "a"))
    drawn = figures.scatter(data, y_title="y", **WORDS)
    (point,) = drawn.data
    assert ends(point.x, point.error_x) == [(0.25, 0.75)] and ends(point.y, point.error_y) == [(-0.5, 0.0)]
    assert point.text == ("a",) and len(drawn.layout.shapes) == 2
    assert drawn.layout.xaxis.range[0] < 0.0 and drawn.layout.xaxis.range[1] > 0.75, "labels and intervals lie inside"


# Results and claims draw themselves


def drawn_by(claim: type[Claim], **tables: pd.DataFrame) -> go.Figure:
    finding = SimpleNamespace(contrast="matched", tables=tables, estimate=lambda name, part: Estimate(0.5, 0.25, 0.75, 9))
    return next(iter(claim.figures(finding).values()))  # type: ignore[arg-type]


def claims(name: str = "a") -> dict[str, go.Figure]:
    """The figure of each claim; tables as the claim makes them."""
    effects = frame("component aim protection measured value low high", ("heads", "harmful", "", "harmful", 0.5, 0.25, 0.75),
                    ("heads", name, None, name, -0.25, -0.5, 0.125))  # fmt: skip
    cells = [("heads", one, other, "harmful", 0.5, 0.25, 0.75) for one in (name, "random") for other in (name, "b")]
    sizes = frame("component share control condition role loss_increase low high",
                  ("heads", 0.01, "", name, "harmful", 0.5, 0.25, 0.75), ("heads", 0.01, "", name, "near", 0.25, 0.0, 0.5),
                  ("heads", 0.01, "random", "r", "harmful", 0.125, 0.0, 0.25),
                  ("heads", 0.01, "random", "r", "near", 9, 9, 9))  # fmt: skip
    measures = ("area", "area_beyond_random")
    areas = [("matched", "heads", label, measure, 0.25, 0.125, 0.5) for label in (name, "b") for measure in measures]
    arms = frame("arm subject measure value low high", (name, "sport", "rise", 0.5, 0.25, 0.75),
                 (name, "other subjects", "rise", 0.25, 0.0, 0.5), (name, "sport", "after learning", 9, 9, 9))  # fmt: skip
    return {
        "distinct": drawn_by(Distinct, effects=effects),
        "generality": drawn_by(Generality, matrix=frame("component selected tested role loss_increase low high", *cells)),
        "compactness": drawn_by(Compactness, sizes=sizes),
        "alignment": drawn_by(Alignment, checkpoints=frame("contrast component checkpoint measure value low high", *areas)),
        "misalignment": drawn_by(Misalignment, arms=arms),
    }


def test_claims_draw_their_tables() -> None:
    drawn = claims()
    assert [bool(shape) for shape in drawn["distinct"].layout.shapes] == [True, True], "targets are framed"
    assert np.array(drawn["generality"].data[0].z, dtype=float).tolist() == [[0.5, 0.5]] * 2
    curves = {trace.name: (floats(trace.x), floats(trace.y)) for trace in drawn["compactness"].data}
    assert curves == {"harmful": ([0.01], [0.5]), "matched benign": ([0.01], [0.25]), "random": ([0.01], [0.125])}
    assert [trace.name for trace in drawn["alignment"].data] == ["harmful", "beyond random"]
    assert {trace.name: floats(trace.x) for trace in drawn["misalignment"].data} == {
        "the subject of the lessons": [0.5], "other subjects": [0.25],
    }  # fmt: skip


def test_the_experiment_draws_its_effects() -> None:
    drawn = fake_run().figures()
    circuit, control = drawn["plane"].data
    assert (floats(circuit.x), floats(circuit.y), circuit.text) == ([0.555], [0.333], ("heads",))
    assert (floats(control.x), control.text, control.name) == ([0.0222], ("",), "random")
    polarity = {trace.name: floats(trace.x) for trace in drawn["polarity"].data}
    assert polarity == {"balanced": [0.333] * 2, "one-sided": [0.444] * 2}
    (heat,) = drawn["effects"].data
    assert np.array(heat.z, dtype=float).tolist() == [[1.0] * 5], "shares of the column's largest; no random ones"
    harmful, near = drawn["sweep"].data
    assert (list(harmful.x), floats(near.y), list(harmful.marker.size)) == ([3, 9], [3 / 18, 0.5], [7, 13])


def results() -> dict[str, go.Figure]:
    generator = torch.Generator().manual_seed(0)
    A = Attribution(*(torch.randn(8, 3, n, generator=generator) for n in (4, 7)))
    matrices = {f"blocks.{layer}.mlp.{name}": torch.full((2, 3), layer + 1.0) for layer in range(2) for name in ("in", "out")}
    pattern = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    return {
        "attribution": A.figure(circuit=hc.Circuit("L0H1")),
        "circuit": hc.Circuit(heads=[(0, 1), (0, 3), (2, 0)], neurons=[(3, 5), (3, 17)]).figure(),
        "weights": WeightAttribution(matrices, matrices, 8).figure(),
        "mask": hc.WeightMask(indices={"blocks.0.mlp.in": [1, 2]}, shapes=dict.fromkeys(matrices, (2, 3))).figure(),
        "attention": AttentionPattern("L0H1", pattern, ("<b>", "a"), 1).figure(),
    }


def test_results_draw_themselves() -> None:
    drawn = results()
    heads, neurons = (trace for trace in drawn["circuit"].data if len(trace.x))
    assert (floats(heads.x), floats(heads.y), heads.hovertext[0]) == ([0, 2], [2, 1], "layer 0: 2 heads (1, 3)")
    assert (floats(neurons.x), floats(neurons.y)) == ([3], [2])
    np.testing.assert_allclose(np.array(drawn["weights"].data[0].z, dtype=float), [[100 / 6] * 2, [100 / 3] * 2])
    np.testing.assert_allclose(np.array(drawn["mask"].data[0].z, dtype=float), [[1e6 / 3, 0], [0, 0]])
    np.testing.assert_array_equal(drawn["attention"].data[0].z, [[1.0, NAN], [0.25, 0.75]])
    assert drawn["attention"].layout.xaxis.ticktext == ("0: &lt;b&gt;", "1: ·"), "words of the response are hidden"


def test_every_figure_fits_its_box_and_says_what_it_shows() -> None:
    empty = dissociation_plane(fake_run().effects[:0])
    for name, drawn in {**fake_run().figures(), **claims(), **results(), "empty": empty}.items():
        layout = drawn.layout
        assert layout.width is None and layout.template.layout.autosize is True, name
        assert all(len(line) <= style.TITLE_WIDTH for line in layout.title.text.split("<br>")), name
        assert layout.meta["caption"] and layout.meta["alt"], name
        assert "sendChartToCloud" in layout.template.layout.modebar.remove, "nothing is uploaded"


@given(st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_text_survives_plotlys_reading_of_markup(value: str) -> None:
    safe = style.text(value)
    assert "<" not in safe and html.unescape(safe) == value


def test_a_hostile_name_stays_text_in_every_figure() -> None:
    for name, drawn in {**fake_run(HOSTILE).figures(), **claims(HOSTILE)}.items():
        shown = drawn.to_plotly_json()
        shown["layout"].pop("meta")  # the page escapes these
        for trace in shown["data"]:
            trace.pop("legendgroup", None)
        assert "<script" not in str(shown) and "<b>bold" not in str(shown), name
        assert "&lt;script&gt;" in str(shown) or name in ("sweep", "compactness"), name


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.heads(np.zeros((2, 3)), selected=[(2, 0)]), r"head \(2, 0\) lies outside the scores"),
        (lambda: figures.matrix(frame("row column value", ("a", "b", 1), ("a", "b", 2)), bar="", **WORDS), "has two lines"),
        (lambda: figures.forest(frame("label value", ("a", 1)), **WORDS), r"missing: \['series', 'low', 'high'\]"),
        (lambda: figures.save(go.Figure(), "a.jpg"), r"a\.jpg: unknown ending '\.jpg'; use \.html, \.json, \.png or \.svg"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw: Callable[[], go.Figure], message: str) -> None:
    with pytest.raises(HarmcircuitsError, match=message):
        draw()


# Files


def test_a_saved_page_fetches_nothing_and_holds_its_figure(tmp_path: Path) -> None:
    path = figures.save(dissociation_plane(fake_run(HOSTILE).effects), tmp_path / "new" / "a.html")
    page = path.read_text(encoding="utf-8").split("<script>", 1)[0]
    assert not re.search(r"(src|href|srcset|action)=", page)
    assert page.startswith("<!doctype html>") and 'name="viewport"' in page and "alert(1)</script>" not in page


@pytest.mark.parametrize("ending", ["json", "png", "svg"])
def test_a_file_is_what_its_ending_says(tmp_path: Path, ending: str) -> None:
    drawn = figures.heads(np.zeros((2, 3)))
    if ending != "json":
        pytest.importorskip("kaleido", reason="kaleido is not installed: harmcircuits[images]")
    path = figures.save(drawn, tmp_path / f"a.{ending}")
    if ending == "json":
        assert plotly.io.read_json(path) == drawn
    else:
        assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<svg"}[ending])


@in_browser[0]
@in_browser[1]
def test_a_figure_takes_the_colours_of_the_page_around_it(tmp_path: Path) -> None:
    drawn = dissociation_plane(fake_run().effects)
    text = figures.save(drawn, tmp_path / "figure.html").read_text("utf-8")
    grounds = lambda dom: re.findall(r'<svg class="main-svg"[^>]*style="background: ([^"]*);"', dom)
    ready = lambda dom: bool(grounds(dom) and re.search(r'<svg class="main-svg"[^>]* role="img"', dom))
    dom, log = load(text.replace("<body>", '<body style="color: rgb(230 230 230)">'), tmp_path, width=1100, done=ready)
    assert grounds(dom) == ["rgb(27, 27, 27)"], (re.findall("<svg[^>]*>", dom), log)
    assert re.search(r'<svg class="main-svg"[^>]* role="img" aria-label="heads', dom), "told to a screen reader"
    assert "CONSOLE" not in log and json.loads(str(drawn.to_json()))["layout"]["meta"]["dark"]["white"] == "#1B1B1B"
