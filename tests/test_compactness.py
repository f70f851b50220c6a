"""Sizes, crossings and areas, against answers that are known without a model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.claims.claim import ClaimError
from harmcircuits.claims.compactness import compactness
from harmcircuits.claims.compactness.curves import Curve
from harmcircuits.claims.compactness.decision import Evidence, collect_evidence, decide, sentence
from harmcircuits.claims.compactness.grid import SPANS, sizes
from harmcircuits.claims.compactness.plan import Cell
from harmcircuits.claims.compactness.summary import Summary, area_weights, differences, log_fraction_to_halve, summarise
from harmcircuits.experiments.settings import ClaimSettings
from harmcircuits.models.protocol import Geometry
from harmcircuits.statistics import Estimate

SMALL = Geometry(n_layers=2, n_heads=4, d_head=8, d_mlp=64)
OPTIONS: dict[str, Any] = {"draws": 200, "seed": 0}


def test_the_default_q_lies_on_the_grid() -> None:
    own = sizes("weights", SMALL, ClaimSettings(), points=6, spans=SPANS, ratio=5)
    assert (own[2].q, own[2].p) == (3e-4, pytest.approx(1.5e-3))
    assert (own[0].q, own[-1].q) == (pytest.approx(1e-5), pytest.approx(3e-2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grains": []}, "heads, neurons, weights"),
        ({"grains": ["layers"]}, "layers"),
        ({"points": 1}, "at least 2 sizes"),
        ({"spans": {"heads": (0.5, 0.1)}}, "span of heads"),
        ({"spans": {"weights": (0.0, 0.1)}}, "span of weights"),
        ({"ratio": 0}, "p / q is above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_computed(options: Any, words: str) -> None:
    with pytest.raises(ClaimError, match=words):
        compactness(object(), **options)  # type: ignore[arg-type]


def test_a_cost_needs_passages() -> None:
    with pytest.raises(ClaimError, match=r"passages=0: .* Give settings with passages"):
        compactness(object(), settings=ClaimSettings(passages=0))  # type: ignore[arg-type]


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


def curve(rule: str, rises: list[float], left: list[float], *, cost: Any = 0.0, n: int = 20) -> Curve:
    """Triples alike but for a little: harmful minus near rises and what is left of harmful writing, at three sizes."""
    wobble = np.linspace(-0.01, 0.01, n)[:, None]
    fractions = np.array([0.001, 0.01, 0.1])
    information = np.stack([np.array(left) + wobble, np.ones((n, 3)) + wobble], 1)
    return Curve(
        grain="heads", rule=rule, at=[0, 1, 2], fractions=fractions, shares=fractions / 10,
        selectivity=np.array(rises) + wobble, information=information, intact=np.ones((n, 2)),
        plain_share=np.zeros(3) + cost,
    )  # fmt: skip


def summary(drawn: Curve) -> Summary:
    return summarise(drawn, OPTIONS, among=drawn.admissible)


def test_the_area_is_the_mean_height_over_the_logarithm_of_the_fraction() -> None:
    assert area_weights([0.01, 0.02, 0.4]).sum() == pytest.approx(1)
    assert summary(curve("one-shot", [0.3, 0.3, 0.3], [1, 1, 1])).area.value == pytest.approx(0.3)
    assert summary(curve("one-shot", [0.0, 0.5, 1.0], [1, 1, 1])).area.value == pytest.approx(0.5)
    assert summary(curve("one-shot", [0.0, 0.0, 1.0], [1, 1, 1])).area.value == pytest.approx(0.25)


def test_the_area_is_over_sizes_that_leave_plain_text_whole() -> None:
    found = summary(curve("one-shot", [0.0, 0.5, 100.0], [1, 1, 1], cost=[0.0, 0.05, 0.06]))
    assert found.area.value == pytest.approx(0.25)
    single = summary(curve("one-shot", [0.0, 0.5, 100.0], [1, 1, 1], cost=[0.0, 0.06, 0.06]))
    assert "needs 2 sizes" in str(single.area.reason) and "has 1 among its 3" in str(single.area.reason)
    bridged = summary(curve("one-shot", [0.0, 50.0, 1.0], [1, 1, 1], cost=[0.0, 0.06, 0.0]))
    assert bridged.area.value == pytest.approx(0.5)


def test_a_summary_says_where_how_much_twins_keep_and_what_is_least() -> None:
    found = summary(curve("one-shot", [0, 0.5, 1], [1.0, 0.5, 0.0]))
    fraction = found.fraction_to_halve
    assert fraction.value == pytest.approx(0.001)
    assert fraction.low is not None and fraction.high is not None and fraction.low <= 0.001 <= fraction.high
    assert found.twin_gap.value == pytest.approx(0.5)
    assert found.lowest_retained.value == pytest.approx(0.0, abs=1e-9)
    assert found.lowest_end is not None and -0.01 < found.lowest_end < 0


def test_what_is_not_reached_is_missing_with_the_reason() -> None:
    never = summary(curve("one-shot", [0, 0, 0], [1.0, 0.9, 0.8]))
    assert never.fraction_to_halve.is_missing
    assert "the lowest retained_harmful at admissible cost is 0.800" in str(never.fraction_to_halve.reason)
    dear = summary(curve("one-shot", [0, 0, 0], [1.0, 0.4, 0.2], cost=0.06))
    assert "every size costs more than 5%" in str(dear.fraction_to_halve.reason) and dear.lowest_end is None
    mute = curve("one-shot", [0, 0, 0], [1.0, 0.4, 0.2])
    mute = replace(mute, intact=np.linspace(-1, 1, 20)[:, None].repeat(2, 1))
    assert "is not shown to depend on the request" in str(summary(mute).fraction_to_halve.reason)


def test_areas_are_compared_over_the_sizes_that_both_have() -> None:
    one, other = curve("one-shot", [0, 0.5, 1], [1, 1, 1]), curve("random", [0, 0.1, 0.2], [1, 1, 1])
    shorter = replace(other, rule="magnitude", at=[0, 1], fractions=other.fractions[:2], selectivity=other.selectivity[:, :2])
    single = replace(other, rule="unsigned", at=[2], fractions=other.fractions[2:], selectivity=other.selectivity[:, 2:])
    frame = differences([one, other, shorter, single], OPTIONS).set_index("rule")
    assert frame["difference"].round(6).tolist()[:2] == [0.4, 0.2]
    assert np.isnan(frame.loc["unsigned", "difference"]) and "have 1 admissible sizes" in frame.loc["unsigned", "reason"]
    assert (frame["p_adjusted"].dropna() >= frame["p"].dropna()).all() and frame.loc["random", "p"] < 0.01


def test_areas_are_compared_where_the_circuit_leaves_plain_text_whole_whatever_the_control_costs() -> None:
    one = curve("one-shot", [0, 0.5, -9], [1, 1, 1], cost=[0.0, 0.0, 0.1])
    other = curve("matched random", [0, 0.1, 9], [1, 1, 1], cost=[0.9, 0.9, 0.0])
    frame = differences([one, other], OPTIONS)
    assert round(frame.iloc[0]["difference"], 6) == 0.2
    (found,) = collect_evidence(["heads"], [one, other], [summary(one)], frame, {})
    assert found.above.value == pytest.approx(0.2) and found.p is not None and found.p < 0.01
    (alone,) = collect_evidence(["heads"], [one], [summary(one)], differences([one], OPTIONS), {})
    assert alone.above.is_missing and alone.p is None


DEPENDS = Estimate(0.4, 0.3, 0.5, 80)


def test_a_grain_of_which_nothing_could_be_selected_is_among_the_evidence() -> None:
    drawn = [curve("one-shot", [0, 0, 0], [1.0, 0.9, 0.8]), curve("matched random", [0, 0, 0], [1, 1, 1])]
    size = sizes("neurons", SMALL, ClaimSettings(), points=2, spans=SPANS, ratio=20)[0]
    unmade = {Cell(grain="neurons", rule="one-shot", size=size): "ask for fewer"}
    found = collect_evidence(
        ["heads", "neurons"], drawn, [summary(one) for one in drawn[:1]], differences(drawn, OPTIONS), unmade
    )
    assert (found[0].admissible, found[0].largest, found[0].exhausted) == ((0.001, 0.01, 0.1), 0.1, True)
    answer, why = decide(DEPENDS, found)
    told = sentence(answer, found, why)
    assert answer == "undecided" and told.endswith("Neurons: no circuit of any size could be selected: ask for fewer.")
    assert decide(DEPENDS, found[:1])[0] == "no" and "above matched random" in told
    assert "cannot be measured" in sentence(*("cannot be measured", found, {"heads": "one", "neurons": "two"}))


GOOD = Evidence(
    grain="heads",
    fraction_to_halve=Estimate(0.004, 0.002, 0.008, 80),
    twin_gap=Estimate(0.3, 0.1, 0.5, 80),
    lowest_end=0.2,
    area=Estimate(0.3, 0.2, 0.4, 80),
    above=Estimate(0.25, 0.1, 0.4, 80),
    p=0.01,
    admissible=(0.01, 0.02, 0.05),
    largest=0.2,
    smallest_share=0.001,
)
MISSING = Estimate.missing("not reached")
NEVER = replace(GOOD, grain="neurons", fraction_to_halve=MISSING, twin_gap=MISSING, lowest_end=0.7)
FLAT = replace(NEVER, grain="weights", lowest_end=0.1, area=Estimate(0.001, -0.01, 0.012, 80))


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
        ({"area": Estimate(0.05, -0.1, 0.2, 80)}, "its area does not exceed 0"),
        ({"p": 0.06}, "adjusted p 0.060"),
        ({"p": None}, "no p value"),
        ({"above": Estimate.missing("matched random could not be selected")}, "could not be selected"),
    ],
)
def test_each_condition_is_needed(change: Any, words: str) -> None:
    found, why = decide(DEPENDS, [replace(GOOD, **change)])
    assert found == "undecided" and words in why["heads"]


TWICE = {"fraction_to_halve": GOOD.fraction_to_halve, "twin_gap": Estimate(0.05, -0.1, 0.2, 80)}
"""Half of harmful writing is gone, and of the twins' as well."""


def test_no_needs_every_grain() -> None:
    assert decide(DEPENDS, [NEVER, FLAT])[0] == decide(DEPENDS, [NEVER, replace(FLAT, **TWICE)])[0] == "no"
    assert decide(DEPENDS, [NEVER, replace(FLAT, area=Estimate(0.001, -0.01, 0.03, 80))])[0] == "undecided"
    assert decide(DEPENDS, [NEVER, replace(NEVER, lowest_end=0.45)])[0] == "undecided"


def test_no_needs_two_admissible_sizes_of_every_grain() -> None:
    short = replace(NEVER, grain="weights", admissible=(0.01,), area=Estimate.missing("1 of 6"))
    found, why = decide(DEPENDS, [NEVER, short])
    assert found == "undecided" and why["weights"] == "1 of 6", "a curve that was cut off says nothing"
    assert decide(DEPENDS, [NEVER, replace(short, lowest_end=None, admissible=(), largest=None)])[0] == "undecided"
    assert decide(DEPENDS, [short]) == ("cannot be measured", {"weights": "1 of 6"}), "more triples would not help"


def test_no_is_not_said_where_a_half_that_twins_do_not_share_lies_between_sizes() -> None:
    between = replace(NEVER, fraction_to_halve=GOOD.fraction_to_halve, twin_gap=GOOD.twin_gap, p=0.5)
    assert decide(DEPENDS, [between])[0] == "undecided", "the sizes themselves retain more than half"
    thin = replace(FLAT, fraction_to_halve=GOOD.fraction_to_halve, twin_gap=GOOD.twin_gap, p=0.5)
    assert decide(DEPENDS, [thin])[0] == "undecided", "a small mean over sizes, and a large gap at the half"


def test_no_is_not_said_of_a_sweep_that_stopped_early() -> None:
    early = replace(NEVER, exhausted=False, admissible=(0.001, 0.003), largest=0.003)
    found, why = decide(DEPENDS, [early])
    assert found == "undecided" and why["neurons"] == "not reached; larger sizes were not measured"
    large = replace(GOOD, fraction_to_halve=Estimate(0.03, 0.02, 1.0, 80))
    assert (
        decide(DEPENDS, [replace(large, exhausted=False)])[0]
        == decide(DEPENDS, [replace(FLAT, exhausted=False)])[0]
        == "undecided"
    )


def test_a_half_that_takes_a_large_part_is_a_no() -> None:
    large = replace(GOOD, fraction_to_halve=Estimate(0.03, 0.02, 1.0, 80))
    found, why = decide(DEPENDS, [NEVER, large])
    assert found == "no" and "it takes at least 2 % of all eligible weights, more than 1 %" in why["heads"]
    assert decide(DEPENDS, [replace(large, fraction_to_halve=Estimate(0.03, 0.009, 1.0, 80))])[0] == "undecided"
    assert decide(DEPENDS, [replace(large, smallest_share=0.02)])[0] == "undecided", "a smaller size might have done it"


def test_text_that_does_not_depend_on_the_request_measures_nothing() -> None:
    assert decide(Estimate(0.1, -0.1, 0.3, 80), [GOOD])[0] == "cannot be measured"
    assert decide(Estimate(0.1, n=2), [GOOD])[0] == "cannot be measured"
