"""The rule on evidence that is made up: each of its four ends, and what stands between them."""

from dataclasses import replace
from typing import Any

import pytest

from harmcircuits.claims.compactness.decision import Evidence, decide
from harmcircuits.claims.compactness.protection import Beside
from harmcircuits.statistics import Estimate

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
        ({"area": Estimate(0.05, -0.1, 0.2, 80)}, "its area does not exceed 0"),
        ({"p": 0.06}, "adjusted p 0.060"),
        ({"p": None}, "no p value"),
        ({"above": Estimate.missing("matched random was not among the controls")}, "was not among the controls"),
    ],
)
def test_each_condition_is_needed(change: Any, words: str) -> None:
    found, why = decide(DEPENDS, [replace(GOOD, **change)])
    assert found == "undecided" and words in why["heads"]


TWICE = {"fraction_to_halve": GOOD.fraction_to_halve, "twin_gap": Estimate(0.05, -0.1, 0.2, 80)}
"""Half of harmful writing is gone, and of the twins' as well."""
NONE_LEFT = replace(
    GOOD, grain="weights", admissible=(0.01,), area=Estimate.missing("1 of 3"), above=Estimate.missing("1 of 3"), p=None
)


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


@pytest.mark.parametrize(
    ("retained", "found"), [((0.46, 0.35, 0.6), "undecided"), ((0.7, 0.4, 0.9), "undecided"), ((0.8, 0.6, 0.9), "no")]
)
def test_no_is_not_said_where_another_protection_may_halve_it(retained: tuple[float, ...], found: str) -> None:
    value, low, high = retained
    other = Beside(rule="p = 20 q", retained=Estimate(value, low, high, 16), cost=0.013)
    weights = replace(NEVER, grain="weights", beside=(other,))
    answer, why = decide(DEPENDS, [weights])
    assert answer == found
    assert ("p = 20 q leaves 0.460 [0.350, 0.600] (n=16) of it at a cost of 1.3 %" in why["weights"]) == (value < 0.5)
    if found == "no":
        assert "(at least 0.600)" in why["weights"], "the lowest of all that was tried"


def test_a_half_that_takes_a_large_part_is_a_no() -> None:
    large = replace(GOOD, fraction_to_halve=Estimate(0.03, 0.02, 1.0, 80))
    found, why = decide(DEPENDS, [NEVER, large])
    assert found == "no" and "it takes at least 2 % of all eligible weights, more than 1 %" in why["heads"]
    assert decide(DEPENDS, [replace(large, fraction_to_halve=Estimate(0.03, 0.009, 1.0, 80))])[0] == "undecided"
    assert decide(DEPENDS, [replace(large, smallest_share=0.02)])[0] == "undecided", "a smaller size might have done it"


def test_a_no_names_the_largest_size() -> None:
    _, why = decide(DEPENDS, [NEVER, replace(FLAT, admissible=(0.001, 0.003), largest=0.003)])
    assert "up to 5 % of all neurons, while the largest that was measured, 20 %, costs too much" in why["neurons"]
    assert "near twins fall as much" in why["weights"]
    assert why["weights"].endswith("over 2 sizes of admissible cost, up to 0.3 % of all weights, the largest that was measured")


def test_text_that_does_not_depend_on_the_request_measures_nothing() -> None:
    assert decide(Estimate(0.1, -0.1, 0.3, 80), [GOOD])[0] == "cannot be measured"
    assert decide(Estimate(0.1, n=2), [GOOD])[0] == "cannot be measured"


def test_yes_needs_two_admissible_sizes_too() -> None:
    found, why = decide(DEPENDS, [NEVER, NONE_LEFT])
    assert found == "undecided" and why["weights"] == "1 of 3"
    assert decide(DEPENDS, [GOOD, NONE_LEFT])[0] == "yes", "another grain has what it needs"
