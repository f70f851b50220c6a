"""Sizes, crossings, areas and the decision, against answers that are known without a model; and the figures."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import floats, traces
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.claims.claim import ClaimError
from harmcircuits.claims.compactness import compactness, cost
from harmcircuits.claims.compactness.curves import Curve
from harmcircuits.claims.compactness.decision import Evidence, decide
from harmcircuits.claims.compactness.grid import SPANS, protections, sizes
from harmcircuits.claims.compactness.summary import area_weights, differences, log_fraction_to_halve, summarise
from harmcircuits.experiments.settings import Settings
from harmcircuits.figures import FigureError
from harmcircuits.figures.compactness import compactness_retained, compactness_rises
from harmcircuits.models.protocol import Geometry
from harmcircuits.statistics import Estimate

SMALL = Geometry(n_layers=2, n_heads=4, d_head=8, d_mlp=64)
OPTIONS: dict[str, Any] = {"draws": 200, "seed": 0}


# sizes


@given(points=st.integers(2, 12), heads=st.integers(1, 40), d_mlp=st.integers(1, 4000))
def test_sizes_grow_within_their_span(points: int, heads: int, d_mlp: int) -> None:
    shape = Geometry(n_layers=3, n_heads=heads, d_head=8, d_mlp=d_mlp)
    totals = {"heads": 3 * heads, "neurons": 3 * d_mlp}
    for grain, total in totals.items():
        counts = [one.count for one in sizes(grain, shape, Settings(), points=points, spans=SPANS, ratio=20)]  # type: ignore[arg-type]
        assert counts == sorted(set(counts)) and 1 <= len(counts) <= points
        assert counts[0] == 1 or grain == "neurons"
        assert 1 <= counts[-1] <= max(1, round(SPANS[grain][1] * total))  # type: ignore[index]


def test_the_default_mask_lies_on_the_grid_and_its_protection_is_swept() -> None:
    own = sizes("weights", SMALL, Settings(), points=6, spans=SPANS, ratio=20)
    assert (own[3].q, own[3].p) == (3e-4, pytest.approx(6e-3))
    assert (own[0].q, own[-1].q) == (pytest.approx(1e-5), pytest.approx(3e-3))
    swept = protections(own, (1, 5, 20, 100))
    assert {ratio: round(size.p, 6) for ratio, size in swept.items()} == {1: 0.0003, 5: 0.0015, 100: 0.03}
    assert {size.q for size in swept.values()} == {3e-4}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grains": []}, "heads, neurons, weights"),
        ({"grains": ["layers"]}, "layers"),
        ({"points": 1}, "at least 2 sizes"),
        ({"spans": {"heads": (0.5, 0.1)}}, "span of heads"),
        ({"spans": {"weights": (0.0, 0.1)}}, "span of weights"),
        ({"ratio": 0}, "p / q is above 0"),
        ({"controls": ["magic"]}, "control 'magic' is unknown: choose of matched random"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_computed(options: Any, words: str) -> None:
    for run in (lambda: compactness(object(), **options), lambda: cost(**options)):  # type: ignore[arg-type]
        with pytest.raises(ClaimError, match=words):
            run()


def test_a_cost_needs_passages() -> None:
    with pytest.raises(ClaimError, match=r"passages=0: .* Give settings with passages"):
        compactness(object(), settings=Settings(passages=0))  # type: ignore[arg-type]


def test_the_number_of_conditions_counts_sizes_rules_and_protections() -> None:
    assert cost(points=6) == 2 * (6 * 9 - 1) + 6 * 7 + 3
    assert cost(points=3, controls=[], rescore=False) == 3 * 3 + 3
    assert cost(points=3, controls=["matched random"], grains=["heads", "weights"]) == 3 * 3 - 1 + 3 + 3


# where harmful writing is halved


def halved(retained: list[float], cost: list[float] | None = None, fractions: tuple[float, ...] = (0.001, 0.01, 0.1)) -> float:
    at = log_fraction_to_halve(np.log(fractions), np.array(retained), np.array(cost or [0.0] * len(retained)))
    return float(np.exp(at))


def test_the_half_is_found_between_grid_points_on_a_logarithmic_axis() -> None:
    assert halved([1.0, 0.75, 0.25]) == pytest.approx(10**-1.5)
    assert halved([1.0, 0.5, 0.0]) == pytest.approx(0.01)
    assert halved([0.4, 0.3, 0.2]) == pytest.approx(0.001), "the first size is the smallest that was measured"
    assert halved([1.0, 0.0, 1.0]) == pytest.approx(10**-2.5), "the first of two crossings"
    assert halved([0.9, 0.8, 0.6]) == np.inf
    assert halved([0.4], fractions=(0.02,)) == pytest.approx(0.02) and halved([0.6], fractions=(0.02,)) == np.inf


def test_only_an_admissible_cost_counts() -> None:
    assert halved([1.0, 0.75, 0.25], [0.0, 0.0, 0.2]) == np.inf, "at the half it costs 0.1"
    assert halved([1.0, 0.0, 0.0], [0.0, 0.2, 0.0]) == pytest.approx(0.01 * 10**0.75), "later it is cheap again"
    assert halved([1.0, 0.5, 0.5], [0.3, 0.1, 0.05]) == pytest.approx(0.1)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.lists(st.floats(0, 0.1), min_size=3, max_size=3))
def test_the_half_agrees_with_a_fine_search(retained: list[float], cost: list[float]) -> None:
    log_f = np.log([0.001, 0.01, 0.1])
    fine = np.linspace(log_f[0], log_f[-1], 4001)
    found = log_fraction_to_halve(log_f, np.array(retained), np.array(cost))
    good = fine[(np.interp(fine, log_f, retained) <= 0.5) & (np.interp(fine, log_f, cost) <= 0.05)]
    if len(good):
        assert found <= good[0] + 1e-9
    if np.isfinite(found):
        assert np.interp(found, log_f, retained) <= 0.5 + 1e-9 and np.interp(found, log_f, cost) <= 0.05 + 1e-9


def curve(rule: str, rises: list[float], left: list[float], *, kind: str = "circuit", cost: float = 0.0, n: int = 20) -> Curve:
    """Triples alike but for a little: harmful minus near rises and what is left of harmful writing, at three sizes."""
    wobble = np.linspace(-0.01, 0.01, n)[:, None]
    fractions = np.array([0.001, 0.01, 0.1])
    information = np.stack([np.array(left) + wobble, np.ones((n, 3)) + wobble], 1)
    return Curve(
        grain="heads", rule=rule, kind=kind, at=[0, 1, 2], fractions=fractions, shares=fractions / 10,  # type: ignore[arg-type]
        selectivity=np.array(rises) + wobble, information=information, intact=np.ones((n, 2)), plain_share=np.full(3, cost),
    )  # fmt: skip


def test_the_area_is_the_mean_height_over_the_logarithm_of_the_fraction() -> None:
    assert area_weights([0.01, 0.02, 0.4]).sum() == pytest.approx(1)
    assert summarise(curve("one-shot", [0.3, 0.3, 0.3], [1, 1, 1]), OPTIONS).area.value == pytest.approx(0.3)
    assert summarise(curve("one-shot", [0.0, 0.5, 1.0], [1, 1, 1]), OPTIONS).area.value == pytest.approx(0.5)
    assert summarise(curve("one-shot", [0.0, 0.0, 1.0], [1, 1, 1]), OPTIONS).area.value == pytest.approx(0.25)


def test_a_summary_says_where_how_much_twins_keep_and_what_is_least() -> None:
    found = summarise(curve("one-shot", [0, 0.5, 1], [1.0, 0.5, 0.0]), OPTIONS)
    fraction = found.fraction_to_halve
    assert fraction.value == pytest.approx(0.001) and found.components_to_halve == pytest.approx(0.01)
    assert fraction.low is not None and fraction.high is not None and fraction.low <= 0.001 <= fraction.high
    assert found.twin_gap.value == pytest.approx(0.5)
    assert found.lowest_retained.value == pytest.approx(0.0, abs=1e-9)
    assert found.lowest_end is not None and -0.01 < found.lowest_end < 0


def test_what_is_not_reached_is_missing_with_the_reason() -> None:
    never = summarise(curve("one-shot", [0, 0, 0], [1.0, 0.9, 0.8]), OPTIONS)
    assert never.fraction_to_halve.is_missing and never.components_to_halve is None
    assert "the lowest retained_harmful at admissible cost is 0.800" in str(never.fraction_to_halve.reason)
    dear = summarise(curve("one-shot", [0, 0, 0], [1.0, 0.4, 0.2], cost=0.06), OPTIONS)
    assert "every size costs more than 5%" in str(dear.fraction_to_halve.reason) and dear.lowest_end is None
    mute = curve("one-shot", [0, 0, 0], [1.0, 0.4, 0.2])
    mute = replace(mute, intact=np.linspace(-1, 1, 20)[:, None].repeat(2, 1))
    assert "is not shown to depend on the request" in str(summarise(mute, OPTIONS).fraction_to_halve.reason)


def test_areas_are_compared_over_the_sizes_that_both_have() -> None:
    one, other = curve("one-shot", [0, 0.5, 1], [1, 1, 1]), curve("random", [0, 0.1, 0.2], [1, 1, 1], kind="control")
    shorter = replace(other, rule="magnitude", at=[0, 1], fractions=other.fractions[:2], selectivity=other.selectivity[:, :2])
    single = replace(other, rule="unsigned", at=[2], fractions=other.fractions[2:], selectivity=other.selectivity[:, 2:])
    frame = differences([one, other, shorter, single], OPTIONS).set_index("rule")
    assert frame["difference"].round(6).tolist()[:2] == [0.4, 0.2]
    assert np.isnan(frame.loc["unsigned", "difference"]) and "fewer than two sizes" in frame.loc["unsigned", "reason"]
    assert (frame["p_adjusted"].dropna() >= frame["p"].dropna()).all() and frame.loc["random", "p"] < 0.01


# the decision


GOOD = Evidence(
    grain="heads",
    fraction_to_halve=Estimate(0.004, 0.002, 0.008, 80),
    twin_gap=Estimate(0.3, 0.1, 0.5, 80),
    lowest_end=0.2,
    area=Estimate(0.3, 0.2, 0.4, 80),
    above=Estimate(0.25, 0.1, 0.4, 80),
    p=0.01,
)
NEVER = replace(GOOD, grain="neurons", fraction_to_halve=Estimate.missing("not reached"), lowest_end=0.7)
FLAT = replace(NEVER, grain="weights", lowest_end=0.1, area=Estimate(0.001, -0.01, 0.012, 80))
DEPENDS = Estimate(0.4, 0.3, 0.5, 80)


def test_one_grain_that_meets_every_condition_is_enough() -> None:
    found, why = decide(DEPENDS, [NEVER, GOOD, FLAT])
    assert found == "yes" and why["heads"] == "all conditions hold" and why["neurons"] == "not reached"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fraction_to_halve": Estimate(0.004, 0.002, 0.02, 80)}, "may be 0.02, above 0.01"),
        ({"fraction_to_halve": Estimate(0.004, n=2)}, "has no upper end"),
        ({"twin_gap": Estimate(0.3, -0.1, 0.5, 80)}, "twins are not shown to keep more"),
        ({"above": Estimate(-0.25, -0.4, -0.1, 80)}, "does not exceed"),
        ({"p": 0.06}, "adjusted p 0.060"),
        ({"p": None}, "no p value"),
        ({"above": Estimate.missing("matched random was not among the controls")}, "was not among the controls"),
    ],
)
def test_each_condition_is_needed(change: Any, words: str) -> None:
    found, why = decide(DEPENDS, [replace(GOOD, **change)])
    assert found == "undecided" and words in why["heads"]


def test_no_needs_every_grain() -> None:
    assert decide(DEPENDS, [NEVER, FLAT])[0] == "no"
    assert decide(DEPENDS, [NEVER, replace(FLAT, area=Estimate(0.001, -0.01, 0.03, 80))])[0] == "undecided"
    assert decide(DEPENDS, [NEVER, replace(NEVER, lowest_end=0.45)])[0] == "undecided"
    assert decide(DEPENDS, [replace(NEVER, lowest_end=None)])[0] == "undecided", "no admissible size says nothing"


def test_text_that_does_not_depend_on_the_request_measures_nothing() -> None:
    assert decide(Estimate(0.1, -0.1, 0.3, 80), [GOOD])[0] == "cannot be measured"
    assert decide(Estimate(0.1, n=2), [GOOD])[0] == "cannot be measured"


# figures


def frame() -> pd.DataFrame:
    rows = []
    for grain in ("heads", "neurons"):
        for rule, kind in (("one-shot", "circuit"), ("greedy", "circuit"), ("random", "control"), ("p = 1 q", "protection")):
            for at, fraction in enumerate((0.1, 0.01)):  # out of order
                row = {"grain": grain, "rule": rule, "kind": kind, "fraction": fraction, "share": fraction / 8}
                for name in ("harmful_nll_rise", "near_nll_rise", "retained_harmful", "retained_twin"):
                    row |= {name: 1.0 - at / 2, f"{name}_low": 0.75 - at / 2, f"{name}_high": 1.25 - at / 2}
                rows.append(row)
    return pd.DataFrame(rows)


def test_rises_are_drawn_over_the_fraction_controls_grey() -> None:
    figure = compactness_rises(frame(), grain="heads")
    above, below = traces(figure, "1: one-shot", "markers")
    assert floats(above.x) == [0.01, 0.1] and floats(above.y) == [0.5, 1.0]
    assert above.line.color != below.line.color and (above.yaxis, below.yaxis) == ("y", "y2")
    assert {trace.line.color for trace in traces(figure, "3: random", "markers")} == {"#767676"}
    assert not [trace for trace in figure.data if trace.name and "p = 1" in trace.name]
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 4 and all(0.25 <= value <= 1.25 for band in bands for value in band.y)
    assert (
        figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
        and figure.layout.yaxis.range == figure.layout.yaxis2.range
    )
    assert "1: one-shot, at 1.00e-01: harmful +1.000" in figure.layout.meta["alt"] and figure.layout.meta["caption"]


def test_what_is_retained_is_drawn_over_the_weights_touched() -> None:
    figure = compactness_retained(frame())
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(names) == [
        f"{grain}, {role}" for grain in ("heads", "neurons") for role in ("harmful requests", "near twins")
    ]
    assert floats(traces(figure, "heads, near twins", "markers")[0].x) == [0.01 / 8, 0.1 / 8]
    assert "Nothing was measured" in compactness_retained(frame()[:0]).layout.meta["alt"]


def test_figures_name_what_is_missing_or_unknown() -> None:
    with pytest.raises(FigureError, match=r"missing: \['share'\]"):
        compactness_retained(frame().drop(columns="share"))
    with pytest.raises(FigureError, match=r"kind \['magic'\] unknown"):
        compactness_rises(frame().assign(kind="magic"), grain="heads")
    with pytest.raises(FigureError, match="nothing of 'weights' to draw: grains are heads, neurons"):
        compactness_rises(frame(), grain="weights")
