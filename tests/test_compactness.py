"""Sizes, crossings and areas, against answers that are known without a model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.claims.claim import ClaimError
from harmcircuits.claims.compactness import compactness
from harmcircuits.claims.compactness.areas import above_reference, admissible_sizes, area_weights, differences
from harmcircuits.claims.compactness.curves import Curve
from harmcircuits.claims.compactness.decision import decide
from harmcircuits.claims.compactness.evidence import gathered, sentence, values
from harmcircuits.claims.compactness.grid import SPANS, protections, sizes
from harmcircuits.claims.compactness.plan import Cell
from harmcircuits.claims.compactness.summary import Summary, log_fraction_to_halve, summarise
from harmcircuits.experiments.settings import Settings
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


def test_the_default_q_lies_on_the_grid_and_its_protection_is_swept() -> None:
    own = sizes("weights", SMALL, Settings(), points=6, spans=SPANS, ratio=5)
    assert (own[2].q, own[2].p) == (3e-4, pytest.approx(1.5e-3))
    assert (own[0].q, own[-1].q) == (pytest.approx(1e-5), pytest.approx(3e-2))
    swept = protections(own, (1, 5, 20, 100), q=3e-4)
    assert {ratio: round(size.p, 6) for ratio, size in swept.items()} == {1: 0.0003, 20: 0.006, 100: 0.03}
    assert {size.q for size in swept.values()} == {3e-4}
    assert {size.q for size in protections(own, (1, 20), q=0.5).values()} == {own[3].q}, "the middle one"


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
    with pytest.raises(ClaimError, match=words):
        compactness(object(), **options)  # type: ignore[arg-type]


def test_a_cost_needs_passages() -> None:
    with pytest.raises(ClaimError, match=r"passages=0: .* Give settings with passages"):
        compactness(object(), settings=Settings(passages=0))  # type: ignore[arg-type]


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


def curve(rule: str, rises: list[float], left: list[float], *, kind: str = "circuit", cost: Any = 0.0, n: int = 20) -> Curve:
    """Triples alike but for a little: harmful minus near rises and what is left of harmful writing, at three sizes."""
    wobble = np.linspace(-0.01, 0.01, n)[:, None]
    fractions = np.array([0.001, 0.01, 0.1])
    information = np.stack([np.array(left) + wobble, np.ones((n, 3)) + wobble], 1)
    return Curve(
        grain="heads", rule=rule, kind=kind, at=[0, 1, 2], fractions=fractions, shares=fractions / 10,  # type: ignore[arg-type]
        selectivity=np.array(rises) + wobble, information=information, intact=np.ones((n, 2)),
        plain_share=np.zeros(3) + cost,
    )  # fmt: skip


def summary(drawn: Curve) -> Summary:
    return summarise(drawn, OPTIONS, among=admissible_sizes([drawn]).get("heads", []))


def test_the_area_is_the_mean_height_over_the_logarithm_of_the_fraction() -> None:
    assert area_weights([0.01, 0.02, 0.4]).sum() == pytest.approx(1)
    assert summary(curve("one-shot", [0.3, 0.3, 0.3], [1, 1, 1])).area.value == pytest.approx(0.3)
    assert summary(curve("one-shot", [0.0, 0.5, 1.0], [1, 1, 1])).area.value == pytest.approx(0.5)
    assert summary(curve("one-shot", [0.0, 0.0, 1.0], [1, 1, 1])).area.value == pytest.approx(0.25)


def test_the_area_is_over_sizes_that_leave_plain_text_whole() -> None:
    found = summary(curve("one-shot", [0.0, 0.5, 100.0], [1, 1, 1], cost=[0.0, 0.05, 0.06]))
    assert found.area.value == pytest.approx(0.25) and found.area_all.value == pytest.approx(25.25)
    assert (found.sizes, found.admissible) == (3, 2)
    single = summary(curve("one-shot", [0.0, 0.5, 100.0], [1, 1, 1], cost=[0.0, 0.06, 0.06]))
    assert "needs 2 sizes" in str(single.area.reason) and "has 1 among its 3" in str(single.area.reason)
    assert single.area_all.value == pytest.approx(25.25)
    bridged = summary(curve("one-shot", [0.0, 50.0, 1.0], [1, 1, 1], cost=[0.0, 0.06, 0.0]))
    assert bridged.area.value == pytest.approx(0.5)


def test_a_summary_says_where_how_much_twins_keep_and_what_is_least() -> None:
    found = summary(curve("one-shot", [0, 0.5, 1], [1.0, 0.5, 0.0]))
    fraction = found.fraction_to_halve
    assert fraction.value == pytest.approx(0.001) and found.components_to_halve == pytest.approx(0.01)
    assert fraction.low is not None and fraction.high is not None and fraction.low <= 0.001 <= fraction.high
    assert found.twin_gap.value == pytest.approx(0.5)
    assert found.lowest_retained.value == pytest.approx(0.0, abs=1e-9)
    assert found.lowest_end is not None and -0.01 < found.lowest_end < 0


def test_what_is_not_reached_is_missing_with_the_reason() -> None:
    never = summary(curve("one-shot", [0, 0, 0], [1.0, 0.9, 0.8]))
    assert never.fraction_to_halve.is_missing and never.components_to_halve is None
    assert "the lowest retained_harmful at admissible cost is 0.800" in str(never.fraction_to_halve.reason)
    dear = summary(curve("one-shot", [0, 0, 0], [1.0, 0.4, 0.2], cost=0.06))
    assert "every size costs more than 5%" in str(dear.fraction_to_halve.reason) and dear.lowest_end is None
    mute = curve("one-shot", [0, 0, 0], [1.0, 0.4, 0.2])
    mute = replace(mute, intact=np.linspace(-1, 1, 20)[:, None].repeat(2, 1))
    assert "is not shown to depend on the request" in str(summary(mute).fraction_to_halve.reason)


def test_areas_are_compared_over_the_sizes_that_both_have() -> None:
    one, other = curve("one-shot", [0, 0.5, 1], [1, 1, 1]), curve("random", [0, 0.1, 0.2], [1, 1, 1], kind="control")
    shorter = replace(other, rule="magnitude", at=[0, 1], fractions=other.fractions[:2], selectivity=other.selectivity[:, :2])
    single = replace(other, rule="unsigned", at=[2], fractions=other.fractions[2:], selectivity=other.selectivity[:, 2:])
    frame = differences([one, other, shorter, single], OPTIONS).set_index("rule")
    assert frame["difference"].round(6).tolist()[:2] == frame["difference_all"].round(6).tolist()[:2] == [0.4, 0.2]
    assert np.isnan(frame.loc["unsigned", "difference"]) and "have 1 admissible sizes" in frame.loc["unsigned", "reason"]
    assert (frame["p_adjusted"].dropna() >= frame["p"].dropna()).all() and frame.loc["random", "p"] < 0.01
    assert frame["sizes"].tolist() == [3, 2, 1]


def test_areas_are_compared_where_the_circuit_leaves_plain_text_whole_whatever_the_control_costs() -> None:
    one = curve("one-shot", [0, 0.5, -9], [1, 1, 1], cost=[0.0, 0.0, 0.1])
    other = curve("matched random", [0, 0.1, 9], [1, 1, 1], kind="control", cost=[0.9, 0.9, 0.0])
    frame = differences([one, other], OPTIONS)
    row = frame.iloc[0]
    assert (row["sizes"], round(row["difference"], 6)) == (2, 0.2) and row["difference_all"] < -4
    above, p = above_reference(frame, "heads")
    assert above.value == pytest.approx(0.2) and p is not None and p < 0.01
    assert "was not among the controls" in str(above_reference(frame, "weights")[0].reason)


# from curves to evidence


DEPENDS = Estimate(0.4, 0.3, 0.5, 80)


def test_a_grain_of_which_nothing_could_be_selected_is_among_the_evidence() -> None:
    drawn = [curve("one-shot", [0, 0, 0], [1.0, 0.9, 0.8]), curve("matched random", [0, 0, 0], [1, 1, 1], kind="control")]
    size = sizes("neurons", SMALL, Settings(), points=2, spans=SPANS, ratio=20)[0]
    unmade = {Cell(grain="neurons", rule="one-shot", size=size, kind="circuit"): "ask for fewer"}
    found = gathered(["heads", "neurons"], drawn, [summary(one) for one in drawn[:1]], differences(drawn, OPTIONS), unmade, {})
    assert (found[0].admissible, found[0].largest, found[0].exhausted) == ((0.001, 0.01, 0.1), 0.1, True)
    answer, why = decide(DEPENDS, found)
    told = sentence(answer, found, why)
    assert answer == "undecided" and told.endswith("Neurons: no circuit of any size could be selected: ask for fewer.")
    assert decide(DEPENDS, found[:1])[0] == "no" and "above matched random" in told
    assert "necessity_area_heads" in values(DEPENDS, [summary(drawn[0])], found)
    assert "cannot be measured" in sentence(*("cannot be measured", found, {"heads": "one", "neurons": "two"}))
