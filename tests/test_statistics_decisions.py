"""Decisions, effects and power: error rates under the null, known answers, and closed forms."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import statistics as hs
from harmcircuits.statistics import Estimate, StatisticsError


def rng(seed):
    return np.random.default_rng(seed)


class TestDecisions:
    def test_p_value_counts(self):
        null = np.arange(99.0)
        assert hs.p_value(98.0, null).value == 0.02
        assert hs.p_value(-1.0, null, alternative="less").value == 0.01
        assert hs.p_value(97.0, null, alternative="two-sided").value == 0.06
        assert hs.p_value(49.0, null, alternative="two-sided").value == 1.0
        assert hs.p_value(98.0, null).n == 99

    def test_p_value_ties_up_to_rounding_and_undefined_draws(self):
        null = np.zeros(99)
        null[0] = np.nextafter(0.3, 0)  # the same number by another route
        assert hs.p_value(0.3, null).value == 0.02
        null[1] = np.nan
        assert hs.p_value(0.3, null).value == 0.03

    def test_p_value_needs_39_draws(self):
        assert hs.p_value(1.0, np.zeros(38)) == Estimate.missing("fewer than 39 draws: 38")
        assert hs.p_value(1.0, np.zeros(39)).value == 1 / 40
        assert hs.p_value(1.0, np.zeros(39), alternative="two-sided").value == 0.05
        assert hs.p_value(np.nan, np.zeros(39)).is_missing
        with pytest.raises(StatisticsError, match="'larger'"):
            hs.p_value(1.0, np.zeros(39), alternative="larger")

    def test_the_interval_of_a_p_value_is_that_of_the_tail_counted(self):
        null = np.arange(99.0)
        for observed, count in ((98.0, 1), (50.0, 49), (-5.0, 99), (200.0, 0)):
            exact = scipy.stats.binomtest(count, 99).proportion_ci(method="exact")
            found = hs.p_value(observed, null)
            assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
            assert found.low <= found.value <= found.high
        one, both = hs.p_value(95.0, null), hs.p_value(95.0, null, alternative="two-sided")
        assert (both.value, both.low, both.high) == pytest.approx((2 * one.value, 2 * one.low, 2 * one.high))
        assert hs.p_value(49.0, null, alternative="two-sided").high == 1.0

    def test_the_interval_of_a_p_value_holds_that_of_endless_draws(self):
        """The observed value lies where 4 % of the null does: more draws, a shorter interval, around the same 0.04."""
        observed = scipy.stats.norm.isf(0.04)
        for draws, width in ((99, 0.12), (999, 0.04)):
            found = [hs.p_value(observed, rng(i).normal(size=draws)) for i in range(200)]
            assert np.mean([one.low <= 0.04 <= one.high for one in found]) >= 0.93
            assert np.mean([one.high - one.low for one in found]) < width

    @pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
    def test_p_values_are_uniform_under_the_null(self, alternative):
        values = rng(1).normal(size=(600, 400))
        p = [hs.p_value(row[0], row[1:], alternative=alternative).value for row in values]
        assert scipy.stats.kstest(p, "uniform").pvalue > 0.01

    def test_p_values_of_swapped_aims_are_uniform_under_the_null(self):
        # what an aim does to a triple shows in both tasks: the null must keep a triple's tasks together
        drops = rng(2).normal(size=(400, 2, 2, 20)) + rng(3).normal(0, 2, size=(400, 2, 1, 20))
        p = [hs.p_value(hs.aim_by_task(d), hs.aim_by_task_null(d, draws=199, seed=i)).value for i, d in enumerate(drops)]
        assert scipy.stats.kstest(p, "uniform").pvalue > 0.01

    def test_fdr(self):
        p = np.array([0.001, 0.04, 0.03, 0.9])
        expected = scipy.stats.false_discovery_control(p)
        np.testing.assert_array_equal(hs.fdr(p), expected)
        np.testing.assert_array_equal(hs.fdr([0.001, None, 0.04, 0.03, np.nan, 0.9])[[0, 2, 3, 5]], expected)
        assert np.isnan(hs.fdr([None])).all()

    def test_fdr_of_named_p_values_keeps_names_and_what_was_not_tested(self):
        named = {
            "a": 0.001,
            "b": None,
            "c": hs.Estimate(0.04, n=99),
            "d": float("nan"),
            "e": Estimate.missing("no draws"),
            "f": 0.03,
        }
        adjusted = hs.fdr_named(named)
        expected = scipy.stats.false_discovery_control([0.001, 0.04, 0.03])
        assert adjusted == {"a": expected[0], "b": None, "c": expected[1], "d": None, "e": None, "f": expected[2]}
        assert list(adjusted) == list(named)
        assert hs.fdr_named({}) == {}
        frame = pd.DataFrame({"p": [0.001, None, 0.04, 0.03]}, index=["w", "x", "y", "z"])
        column = hs.fdr_named(frame["p"])
        assert list(column.index) == ["w", "x", "y", "z"] and column.name == "p"
        np.testing.assert_array_equal(column[["w", "y", "z"]], expected)
        assert np.isnan(column["x"])

    def test_equivalence_that_so_few_triples_could_not_show_is_not_testable(self):
        wide = hs.equivalence(0.0, np.linspace(-0.2, 0.2, 401), n=24)
        assert (wide.equivalent, wide.testable) == (False, False)
        assert wide.n_needed > 24
        assert wide.words.startswith("equivalence within ± 0.05 not testable, n = 24 (about ")
        narrow = hs.equivalence(0.049, np.linspace(0.03, 0.07, 401), n=24)
        assert (narrow.equivalent, narrow.testable) == (False, True)
        assert narrow.words == "not shown to be equivalent within ± 0.05"
        assert hs.equivalence(0.0, np.zeros(99), n=24).words == "equivalent within ± 0.05"
        assert hs.equivalence(0.0, np.zeros(99), n=24).n_needed is None
        unknown = hs.bootstrap_equivalence(np.mean, [np.nan, 0.0, 0.0])
        assert not unknown.testable and unknown.n_needed is None
        assert "not testable (undefined on the data" in unknown.words
        assert wide.to_json()["testable"] is False and wide.to_json()["n_needed"] == wide.n_needed

    def test_testable_is_whether_no_difference_would_have_been_shown(self):
        """The same draws around 0 are shown to be equivalent exactly where it is testable, for spreads about the margin."""
        for spread in np.linspace(0.01, 0.06, 21):
            draws = scipy.stats.norm.ppf((np.arange(999) + 0.5) / 999) * spread
            shifted = hs.equivalence(-0.3, draws - 0.3, n=60)
            assert shifted.testable == hs.equivalence(0.0, draws, n=60).equivalent

    def test_the_number_needed_shows_no_difference_in_four_of_five_samples(self):
        x = rng(8).normal(0, 0.5, 40)
        needed = hs.bootstrap_equivalence(lambda v: v.mean(-1), x, margin=0.15, vectorised=True).n_needed
        assert needed == pytest.approx(hs.n_for_equivalence(x.std(ddof=1), 0.15), rel=0.1)

    def test_equivalence_of_identical_and_shifted(self):
        a = rng(4).normal(0.7, 0.1, 80)
        change = lambda x, y: (x - y).mean(-1)
        same = hs.bootstrap_equivalence(change, a, a)
        assert (same.equivalent, same.non_inferior, same.lower, same.lower_by_margin) == (True, True, False, False)
        noise = rng(5).normal(0, 0.05, 80)
        fell = hs.bootstrap_equivalence(change, a - 0.2 + noise, a)
        assert (fell.equivalent, fell.non_inferior, fell.lower, fell.lower_by_margin) == (False, False, True, True)
        rose = hs.bootstrap_equivalence(change, a + 0.2 + noise, a)
        assert (rose.equivalent, rose.non_inferior, rose.lower, rose.lower_by_margin) == (False, True, False, False)
        slight = hs.bootstrap_equivalence(change, a - 0.02, a)
        assert (slight.equivalent, slight.lower, slight.lower_by_margin) == (True, True, False)

    def test_equivalence_from_draws_is_the_same_and_at_90_percent(self):
        a, b = rng(6).normal(size=(2, 50))
        change = lambda x, y: (x - y).mean(-1)
        draws = hs.bootstrap_draws(change, a, b, draws=500, vectorised=True)
        default = hs.bootstrap_equivalence(change, a, b, margin=0.4, draws=500, vectorised=True)
        assert default == hs.equivalence((a - b).mean(), draws, n=50, margin=0.4)
        whole = hs.bootstrap_equivalence(change, a, b, margin=0.4, draws=500, vectorised=True, method="percentile")
        ends = (whole.difference.low, whole.difference.high)
        assert ends == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))

    def test_equivalence_errs_at_the_margin_at_most_at_its_level(self):
        # true difference exactly −margin: equivalence may be declared in 5 % of samples
        samples = rng(7).normal(-0.05, 0.15, (400, 60))
        wrong = [hs.bootstrap_equivalence(lambda x: x.mean(-1), x, draws=400, vectorised=True) for x in samples]
        assert np.mean([w.equivalent for w in wrong]) < 0.09
        assert np.mean([not w.non_inferior for w in wrong]) > 0.9

    def test_equivalence_without_interval_shows_nothing(self):
        for arrays in ([0.0, 0.0], [np.nan, 0.0, 0.0]):
            result = hs.bootstrap_equivalence(np.mean, arrays)
            assert not (result.equivalent or result.non_inferior or result.lower or result.lower_by_margin)
        assert result.to_json()["difference"]["value"] is None
        json.dumps(result.to_json(), allow_nan=False)

    def test_equivalence_errors(self):
        with pytest.raises(StatisticsError, match="margin is positive, not 0"):
            hs.equivalence(0.0, np.zeros(99), n=9, margin=0)
        with pytest.raises(StatisticsError, match=r"0\.4"):
            hs.equivalence(0.0, np.zeros(99), n=9, level=0.4)


class TestEffects:
    def test_standardised_effect_is_the_t_statistic_over_root_n(self):
        x = rng(1).normal(0.4, 1, (5, 30))
        np.testing.assert_allclose(hs.standardised_effect(x), scipy.stats.ttest_1samp(x, 0, axis=1).statistic / 30**0.5)
        np.testing.assert_allclose(hs.standardised_effect(x.T, axis=0), hs.standardised_effect(x))

    def test_no_spread_is_undefined(self):
        assert np.isnan(hs.standardised_effect(np.full(7, 0.1)))
        assert hs.standardised_effect(np.zeros(7)) == 0
        assert np.isnan(hs.aim_by_task(np.full((2, 2, 7), 0.1)))
        with pytest.raises(StatisticsError, match="not 1"):
            hs.standardised_effect([1.0])

    def test_the_interval_of_a_rare_change_reaches_0(self) -> None:
        found = hs.bootstrap(hs.standardised_effect, np.array([-1.0] * 3 + [0.0] * 13), vectorised=True, seed=0)
        assert found.low is not None and found.high is not None
        assert found.low < -0.47 < found.high and found.high > -0.27, "a draw of two changes has d = −0.37, one −0.25, none 0"

    def test_interaction_by_hand(self):
        drops = np.array([[[4.0, 6.0, 8.0], [1.0, 2.0, 6.0]], [[1.0, 1.0, 4.0], [5.0, 6.0, 10.0]]])
        writing, recognition = (np.sqrt((drops[0, t].var(ddof=1) + drops[1, t].var(ddof=1)) / 2) for t in (0, 1))
        aimed_at_writing = 6 / writing - 3 / recognition
        aimed_at_recognition = 2 / writing - 7 / recognition
        assert hs.aim_by_task(drops) == pytest.approx(aimed_at_writing - aimed_at_recognition)

    def test_interaction_properties(self):
        drops = rng(2).normal(size=(2, 2, 20))
        value = hs.aim_by_task(drops)
        assert hs.aim_by_task(drops[::-1]) == pytest.approx(-value)  # the aims change places
        assert hs.aim_by_task(drops[:, ::-1]) == pytest.approx(-value)  # the tasks do
        units = np.array([1000.0, 0.01])[:, None]
        assert hs.aim_by_task(drops * units) == pytest.approx(value)  # each task in its own unit
        assert hs.aim_by_task(drops + units) == pytest.approx(value)  # what both aims do to a task
        same = np.stack([drops[0], drops[0]])
        assert hs.aim_by_task(same) == pytest.approx(0, abs=1e-12)

    def test_interaction_is_bootstrapped_and_found(self):
        drops = rng(3).normal(size=(2, 2, 40)) + np.eye(2)[:, :, None]  # each aim lowers its own task by one sd
        over_triples = lambda d: hs.aim_by_task(np.moveaxis(d, -3, -1))
        by_triple = np.moveaxis(drops, -1, 0)
        estimate = hs.bootstrap(over_triples, by_triple, draws=300, vectorised=True)
        looped = hs.bootstrap(over_triples, by_triple, draws=300)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((looped.value, looped.low, looped.high))
        assert estimate.low < 2 < estimate.high
        assert estimate.excludes(0)
        assert hs.p_value(hs.aim_by_task(drops), hs.aim_by_task_null(drops)).value == 0.001

    def test_interaction_wants_two_by_two(self):
        with pytest.raises(StatisticsError, match=r"\[20, 2, 2\]"):
            hs.aim_by_task(np.zeros((20, 2, 2)))


class TestPower:
    @pytest.mark.parametrize(
        ("effect", "two_sided", "n"), [(0.2, True, 199), (0.5, True, 34), (0.8, True, 15), (0.5, False, 27)]
    )
    def test_n_of_a_paired_t_test(self, effect, two_sided, n):
        # the usual tables at power 0.8, alpha 0.05
        assert hs.n_needed(1.0, effect, two_sided=two_sided) == n
        assert hs.n_needed(3.0, -3.0 * effect, two_sided=two_sided) == n

    @pytest.mark.parametrize("n", [4, 24, 96])
    @pytest.mark.parametrize("two_sided", [True, False])
    def test_detectable_against_noncentral_t(self, n, two_sided):
        shift = hs.detectable(2.0, n, two_sided=two_sided) * np.sqrt(n) / 2.0
        critical = scipy.stats.t.ppf(0.975 if two_sided else 0.95, n - 1)
        assert scipy.stats.nct.sf(critical, n - 1, shift) == pytest.approx(0.8, abs=1e-3)

    def test_detectable_closed_form_for_many_triples(self):
        z = scipy.stats.norm.ppf([0.975, 0.9])
        assert hs.detectable(0.5, 10_000, power=0.9) == pytest.approx(z.sum() * 0.5 / 100, rel=1e-3)

    @settings(max_examples=10, deadline=None)
    @given(st.integers(3, 400), st.floats(0.1, 10))
    def test_n_and_detectable_are_inverse(self, n, sd):
        effect = hs.detectable(sd, n)
        assert hs.n_needed(sd, effect * 1.0001) <= n
        assert hs.n_needed(sd, effect * 0.9999) >= n

    def test_n_for_equivalence_closed_form(self):
        z = scipy.stats.norm.ppf([0.95, 0.9])
        assert hs.n_for_equivalence(1.0, 0.05) == pytest.approx((z.sum() / 0.05) ** 2, rel=2e-3)

    @pytest.mark.parametrize("difference", [0.0, 0.15])
    def test_n_for_equivalence_by_simulation(self, difference):
        n = hs.n_for_equivalence(1.0, 0.6, difference=difference)
        x = rng(1).normal(difference, 1.0, (20_000, n))
        reach = scipy.stats.t.ppf(0.95, n - 1) * x.std(1, ddof=1) / np.sqrt(n)
        assert (np.abs(x.mean(1)) + reach < 0.6).mean() == pytest.approx(0.81, abs=0.02)

    def test_detectable_auroc(self):
        z = scipy.stats.norm.ppf([0.975, 0.8]).sum()
        assert hs.detectable_auroc(50, correlation=0) == pytest.approx(z * 2**0.5 * hs.auroc_se(0.7, 50, 50))
        assert hs.detectable_auroc(50, correlation=0.5) == pytest.approx(z * hs.auroc_se(0.7, 50, 50))
        assert hs.detectable_auroc(200) < hs.detectable_auroc(50)

    def test_no_spread(self):
        assert hs.detectable(0.0, 10) == 0
        assert hs.n_needed(0.0, 0.1) == 2
        assert hs.n_for_equivalence(0.0, 0.1) == 2

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: hs.n_needed(1.0, 0.0), "effect of 0"),
            (lambda: hs.n_needed(1.0, 1e-9), "more than 10⁹"),
            (lambda: hs.n_for_equivalence(1.0, 0.05, difference=-0.05), "-0.05 is not within"),
            (lambda: hs.detectable(1.0, 1), "not 1"),
            (lambda: hs.detectable(-1.0, 10), "-1.0"),
            (lambda: hs.detectable(1.0, 10, power=0.01), "power=0.01"),
            (lambda: hs.detectable_auroc(10, correlation=1), "not 1"),
        ],
    )
    def test_errors_name_the_cause(self, call, message):
        with pytest.raises(StatisticsError, match=message):
            call()
