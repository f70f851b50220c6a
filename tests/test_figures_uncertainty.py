"""No figure shows a measured number without its uncertainty: each public one is drawn here, or says why it has none."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from fake_places import fake_circuit, fake_matrices, fake_tokens
from fake_report import around, fake_draws, fake_heads, fake_neurons, fake_points, fake_report

from harmcircuits import figures, report
from harmcircuits.figures import (
    alignment,
    distinct,
    effects,
    generality,
    judged,
    misalignment,
)


def numbers(columns: list[str], **known: Any) -> pd.DataFrame:
    """One row; a number is 0.5, its interval from 0.25 to 0.75."""
    ends = {"low": 0.25, "high": 0.75}
    return pd.DataFrame([{name: known.get(name, ends.get(name.rpartition("_")[2], 0.5)) for name in columns}])


def sweep() -> pd.DataFrame:
    measures = ("harmful_nll_rise", "near_nll_rise", "retained_harmful", "retained_twin", "plain_share")
    columns = [f"{name}{end}" for name in measures for end in ("", "_low", "_high")]
    return numbers(["grain", "rule", "fraction", "share", *columns], grain="heads", rule="one-shot")


DRAWN: dict[str, Callable[[], go.Figure]] = {
    "alignment_separability": lambda: figures.alignment_separability(
        numbers(alignment._AREAS, ladder="ladder", stage="base", reading="own", grain="heads")
    ),
    "compactness_retained": lambda: figures.compactness_retained(sweep()),
    "compactness_rises": lambda: figures.compactness_rises(sweep(), grain="heads"),
    "compactness_utility": lambda: figures.compactness_utility(sweep(), grain="heads"),
    "crossed_effects": lambda: figures.crossed_effects(report.effects_frame(fake_report())),
    "distinct_effects": lambda: figures.distinct_effects(report.effects_frame(fake_report())),
    "distinct_overlaps": lambda: figures.distinct_overlaps(numbers(distinct._COLUMNS, one="a", other="b")),
    "heads_heatmap": lambda: figures.heads_heatmap(fake_heads(), **around(fake_heads())),
    "judge_validation": lambda: figures.judge_validation(numbers(judged._COLUMNS, measure="accuracy")),
    "misalignment_arms": lambda: figures.misalignment_arms(
        numbers(misalignment._ARMS, advice="bad", pruned="nothing", asked="own domain", read="last stage")
    ),
    "neurons_by_layer": lambda: figures.neurons_by_layer(fake_neurons(), **around(fake_neurons())),
    "overlap_matrix": lambda: figures.overlap_matrix(numbers(generality._OVERLAP, one="a", other="b")),
    "power_curve": lambda: figures.power_curve(numbers(["test", "triples", "effect", "value", "low", "high"], test="t")),
    "retained": lambda: figures.retained(report.retained_frame(fake_report())),
    "rises": lambda: figures.rises(report.rises_frame(fake_report())),
    "scatter_null": lambda: figures.scatter_null(0.1, fake_draws(), low=0.05, high=0.15),
    "shared_forest": lambda: figures.shared_forest(numbers(generality._SHARED, scores="harmful", reason="")),
    "token_effects": lambda: figures.token_effects(numbers(effects._COLUMNS, token="a")),
    "transfer_matrix": lambda: figures.transfer_matrix(
        numbers([*generality._TRANSFER, *generality._RISES], selected="a", tested="b")
    ),
}
WITHOUT: dict[str, tuple[Callable[[], go.Figure], str]] = {
    "agreement_scatter": (lambda: figures.agreement_scatter(fake_points()), "No interval of a single component is drawn"),
    "attention_heatmap": (
        lambda: figures.attention_heatmap(np.array([[1.0, 0.0], [0.5, 0.5]]), ["a", "b"], n_context=1),
        "no interval, since this is one text",
    ),
    "token_attribution": (lambda: figures.token_attribution(fake_tokens()), "no interval is drawn, since this is one text"),
    "weights_by_matrix": (lambda: figures.weights_by_matrix(fake_matrices()), "A count: no interval."),
    "weight_scores_by_matrix": (lambda: figures.weight_scores_by_matrix(fake_matrices()), "no interval"),
    "components_by_layer": (lambda: figures.components_by_layer(fake_circuit()), "A count: no interval."),
}
"""Nothing that was sampled, or no examples that were kept; the caption says so."""
NO_FIGURES = {"FigureError", "dark", "save"}
CELL = re.compile(r"[-+]?\d\.\d+ to<br>[-+]?\d|null [-+]\d\.\d+<br>to|chance \d")


def shows_uncertainty(drawn: go.Figure) -> bool:
    """A line or a band that is an interval, marks for those that exclude 0, or cells that hold one or the chance level."""
    traces = [trace for trace in drawn.data if isinstance(trace, go.Scatter)]
    lines = [t for t in traces if t.mode == "lines" and t.hoverinfo == "skip" and t.legendgroup and not t.name]
    finite = any(
        np.isfinite(np.array([value for value in t.y if value is not None], dtype=float)).any() for t in lines if len(t.y)
    )
    marks = any("interval excludes 0" in (trace.name or "") for trace in traces)
    own = [trace for trace in drawn.data if (trace.text is not None and trace.hoverinfo == "skip") or trace.type == "heatmap"]
    words = [str(one) for trace in own if trace.text is not None for line in trace.text for one in np.ravel(line)]
    words += [note.text for note in drawn.layout.annotations]
    return finite or marks or any(CELL.search(text) for text in words)


def test_every_public_figure_is_asked() -> None:
    assert {*DRAWN, *WITHOUT} == {*figures.__all__} - NO_FIGURES


@pytest.mark.parametrize("name", DRAWN)
def test_no_number_is_drawn_without_its_uncertainty(name: str) -> None:
    assert shows_uncertainty(DRAWN[name]())


@pytest.mark.parametrize("name", WITHOUT)
def test_a_figure_without_says_why(name: str) -> None:
    draw, why = WITHOUT[name]
    assert not shows_uncertainty(draw()) and why in draw().layout.meta["caption"]


@pytest.mark.parametrize(
    "drawn",
    [
        figures.heads_heatmap(fake_heads()),
        figures.neurons_by_layer(fake_neurons()),
        figures.token_effects(numbers(effects._COLUMNS, token="a", low=np.nan, high=np.nan)),
    ],
    ids=["heads", "neurons", "effects"],
)
def test_where_nothing_was_given_the_caption_says_so(drawn: go.Figure) -> None:
    assert not shows_uncertainty(drawn)
    assert re.search("[Nn]o interval|was not kept|were not kept", drawn.layout.meta["caption"])
