"""The same tokens, two readouts: hand-made numbers, properties, and the rule that decides, each of its steps."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harmcircuits.claims.claim import ClaimError, Found
from harmcircuits.claims.dissociated import GRAINS, Evidence, cost, decide, same_tokens
from harmcircuits.claims.dissociated.aims import checked
from harmcircuits.claims.dissociated.rule import sensitive
from harmcircuits.claims.dissociated.tokens import coupling, fall, own_options, upper_half
from harmcircuits.experiments.settings import Settings
from harmcircuits.statistics import Estimate, equivalent_within

N = 40
RISE = np.linspace(0.0, 1.0, N)[np.random.default_rng(0).permutation(N)]
HOW: dict[str, Any] = {"margin": 0.05, "draws": 400, "seed": 0}


def scores(harmful: np.ndarray | float, near: np.ndarray | float) -> np.ndarray:
    return np.stack([np.broadcast_to(np.asarray(one, dtype=float), N) for one in (harmful, near)], 1)


def pairs_in_order(found: np.ndarray) -> float:
    """AUROC by counting pairs."""
    pairs = list(product(found[:, 0], found[:, 1]))
    return sum((h > n) + 0.5 * (h == n) for h, n in pairs) / len(pairs)


BEFORE = scores(1.0 + np.sin(np.arange(N)), np.cos(np.arange(N)) - 0.5)


class TestNumbers:
    def test_one_mechanism_lowers_recognition_where_writing_falls(self) -> None:
        after = BEFORE - scores(3 * RISE, 0.0)
        found, upper = same_tokens(RISE, BEFORE, after, **HOW), np.median(RISE) <= RISE
        np.testing.assert_array_equal(found.upper, upper)
        assert found.intact.value == pytest.approx(pairs_in_order(BEFORE[upper]))
        assert found.ablated.value == pytest.approx(pairs_in_order(after[upper]))
        assert found.change.value == pytest.approx(pairs_in_order(after[upper]) - pairs_in_order(BEFORE[upper]))
        assert found.change_all.value == pytest.approx(pairs_in_order(after) - pairs_in_order(BEFORE))
        assert found.rise.value == pytest.approx(RISE[upper].mean())
        assert found.coupling.value == pytest.approx(1.0)
        assert found.kept.lower_by_margin and not found.kept.equivalent
        assert (found.change.n, found.change_all.n) == (N // 2, N)

    def test_a_mechanism_of_its_own_leaves_the_same_tokens_recognised(self) -> None:
        found = same_tokens(RISE, BEFORE, BEFORE, **HOW)
        assert (found.change.value, found.change.low, found.change.high) == (0, 0, 0)
        assert found.kept.equivalent and not found.kept.lower
        assert found.coupling.is_missing and "the same on all triples" in str(found.coupling.reason)

    def test_a_fall_that_has_nothing_to_do_with_the_rise_is_not_coupled(self) -> None:
        noise = np.random.default_rng(1).normal(size=N)
        found = same_tokens(RISE, BEFORE, BEFORE - scores(noise, 0.0), **HOW).coupling
        assert found.low is not None and found.high is not None and found.low < 0 < found.high

    def test_a_fall_in_the_lower_half_alone_is_no_fall_of_what_cannot_be_written(self) -> None:
        found = same_tokens(RISE, BEFORE, BEFORE - scores(np.where(RISE < 0.5, 5.0, 0.0), 0.0), **HOW)
        assert found.change.value == 0 and found.change_all.value is not None and found.change_all.value < -0.2
        assert found.coupling.value is not None and found.coupling.value < -0.5

    def test_a_stricter_level_gives_a_wider_interval_for_the_equivalence_alone(self) -> None:
        after = BEFORE + 0.2 * np.random.default_rng(2).normal(size=BEFORE.shape)
        usual, strict = (same_tokens(RISE, BEFORE, after, level=level, **HOW) for level in (0.95, 0.9875))
        width = lambda found: found.high - found.low
        assert width(strict.kept.difference) > width(usual.kept.difference) > 0
        assert usual.change == strict.change
        assert strict.change.low <= usual.kept.difference.low, "95 % outside 90 %"

    def test_without_enough_triples_there_is_no_interval(self) -> None:
        found = same_tokens(RISE[:2], BEFORE[:2], BEFORE[:2], **HOW)
        assert found.change.low is None and not found.kept.equivalent

    def test_strata_are_those_of_the_half(self) -> None:
        assert own_options(np.array([True, False, True]), ["a", "b", "c"], {"seed": 1}) == {"seed": 1, "strata": ["a", "c"]}
        assert own_options(np.array([True]), None, {}) == {"strata": None}


class TestProperties:
    @given(arrays(float, st.integers(1, 30), elements=st.floats(-2, 2)))
    def test_the_upper_half_is_a_half_and_above_the_other(self, rise: np.ndarray) -> None:
        upper = upper_half(rise)
        assert upper.sum() == (len(rise) + 1) // 2
        assert rise[upper].min() >= rise[~upper].max(initial=-np.inf)

    @settings(max_examples=15)
    @given(st.integers(0, 99), st.floats(0.5, 3))
    def test_only_ranks_of_the_scores_matter_to_the_change(self, seed: int, steep: float) -> None:
        after = BEFORE + np.random.default_rng(seed).normal(size=BEFORE.shape)
        one = same_tokens(RISE, BEFORE, after, margin=0.05, draws=60)
        other = same_tokens(RISE, np.tanh(steep * BEFORE), np.tanh(steep * after), margin=0.05, draws=60)
        assert one.change == other.change

    @given(st.integers(0, 99))
    def test_coupling_turns_round_with_the_fall_and_shifts_change_nothing(self, seed: int) -> None:
        after = BEFORE + np.random.default_rng(seed).normal(size=BEFORE.shape)
        there, back = (coupling(RISE, fall(*pair), draws=60) for pair in ((BEFORE, after), (after, BEFORE)))
        assert there.value == pytest.approx(-(back.value or 0.0))
        np.testing.assert_allclose(fall(BEFORE, after + 3.0), fall(BEFORE, after), atol=1e-12)


def near(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half, N)


NONE = Estimate.missing("not read")
YES = Evidence(
    grain="heads",
    intact=near(0.9),
    intact_upper=near(0.88),
    rise=near(0.6),
    information=near(1.2),
    retained=near(0.3),
    selectivity=near(0.3),
    beyond=near(0.28),
    p=Estimate(0.001, n=999),
    change=near(-0.01),
    kept=equivalent_within(near(-0.01)),
    beside_random=near(0.0),
    assay=near(-0.2),
)
FALLEN = {"change": near(-0.2), "kept": equivalent_within(near(-0.2)), "beside_random": near(-0.19)}
CASES: dict[str, tuple[dict[str, Any], Found, str]] = {
    "as it should be": ({}, "yes", "equivalent within"),
    "recognition falls with it": (FALLEN, "no", "further than under the matched random"),
    "so it does under the random circuit": ({**FALLEN, "beside_random": near(0.0)}, "undecided", "not shown to fall further"),
    "no random circuit beside it": ({**FALLEN, "beside_random": NONE}, "undecided", "not shown to fall further"),
    "no circuit": ({"unbuilt": "too few heads", "kept": None}, "cannot be measured", "too few heads"),
    "at chance": ({"intact": near(0.505)}, "cannot be measured", "AUROC 0.505"),
    "no error in eight": ({"intact_upper": Estimate(1.0, 0.398, 1.0, 8)}, "yes", "equivalent within"),
    "no error in five, p = 1/32": ({"intact_upper": Estimate(1.0, 0.158, 1.0, 5)}, "cannot be measured", "not shown to tell"),
    "nearly none in eight": ({"intact_upper": Estimate(0.98, 0.45, 1.0, 8)}, "cannot be measured", "not shown to tell"),
    "below chance": ({"intact": near(0.3)}, "cannot be measured", "AUROC 0.300"),
    "at chance in the upper half": ({"intact_upper": near(0.5)}, "cannot be measured", "upper half"),
    "too few triples": ({"intact": Estimate(0.9, n=2)}, "undecided", "no interval"),
    "writing does not fall": ({"selectivity": near(0.0)}, "undecided", "selectivity is 0.000"),
    "twin writing falls more": ({"selectivity": near(-0.3)}, "undecided", "selectivity is -0.300"),
    "no more than at random": ({"beyond": near(0.005)}, "undecided", "excess over the matched random"),
    "no p": ({"p": NONE}, "undecided", "one-sided p"),
    "p too large": ({"p": Estimate(0.06, n=999)}, "undecided", "one-sided p 0.060"),
    "hardly a rise": ({"rise": near(0.09)}, "undecided", "still written"),
    "a rise that is not sure": ({"rise": near(0.6, 0.51)}, "undecided", "not surely by more than 0.1"),
    "a rise without an interval": ({"rise": Estimate(0.6, n=2)}, "undecided", "still written"),
    "more than half is left": ({"retained": near(0.8)}, "undecided", "harm is still written: where L rises most, 0.800"),
    "perhaps more than half": ({"retained": near(0.45, 0.1)}, "undecided", "`harmcircuits compactness` says which size"),
    "half at most": ({"retained": near(0.48, 0.02)}, "yes", "equivalent within"),
    "so that no fall is shared": ({**FALLEN, "retained": near(0.8)}, "undecided", "still written"),
    "what is retained is unknown": ({"retained": NONE}, "undecided", "still written"),
    "text that ignores the request": ({"information": near(0.005)}, "cannot be measured", "depend on the request"),
    "information without an interval": ({"information": Estimate(1.2, n=2)}, "undecided", "information has no interval"),
    "broken": ({"broken": "the rise on far twins is large"}, "undecided", "broken"),
    "no change": ({"kept": None}, "undecided", "no interval"),
    "too wide": ({"kept": equivalent_within(near(0.0, 0.06))}, "undecided", "not testable"),
    "a gain beyond the margin": ({"kept": equivalent_within(near(0.1))}, "undecided", "not shown to be equivalent"),
    "the assay does not fall": ({"assay": near(0.0)}, "undecided", "not sensitive"),
    "nor by the margin": ({"assay": near(-0.04)}, "undecided", "not sensitive"),
    "nor surely": ({"assay": near(-0.1, 0.11)}, "undecided", "not sensitive"),
    "no assay": ({"assay": NONE}, "undecided", "not sensitive"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rule(case: str) -> None:
    changes, found, word = CASES[case]
    decision = decide(replace(YES, **changes))
    assert (decision.grain, decision.found) == ("heads", found)
    assert word in decision.why


def test_a_broken_model_is_neither_dissociated_nor_shared() -> None:
    assert decide(replace(YES, **FALLEN, broken="it writes noise")).found == "undecided"


def test_a_fall_of_exactly_the_margin_is_sensitive() -> None:
    assert sensitive(replace(YES, assay=near(-0.05)))


def test_the_first_of_the_grains_asked_for_comes_first() -> None:
    assert checked(["weights", "heads"], 0) == ("weights", "heads")
    assert checked(GRAINS, 0)[0] == "heads and neurons"


class TestCost:
    def test_four_or_five_a_grain(self) -> None:
        assert [cost(grains=GRAINS[:n], explained=24) for n in (1, 4)] == [5, 20]
        assert [cost(grains=GRAINS[:n], explained=2) for n in (1, 4)] == [4, 16]
        assert cost(settings=Settings(weight_q=0)) == 15

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"grains": []}, "some of 'heads and neurons'"),
            ({"grains": ["layers"]}, "layers"),
            ({"grains": ["heads", "heads"]}, "each once"),
            ({"explained": -1}, "at least 0, not -1"),
            ({"explained": True}, "not True"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ClaimError, match=words):
            cost(**options)
