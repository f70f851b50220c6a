"""Decisions, effects and power: error rates under the null, known answers, and closed forms."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from harmcircuits import statistics as hs
from harmcircuits.statistics import Estimate, StatisticsError


def rng(seed):
    return np.random.default_rng(seed)


def equivalence(observed, draws, *, n, **options):
    """Of bootstrap draws of a difference."""
    return hs.equivalent_within(hs.from_draws(observed, draws, n=n, level=0.9), **options)


def bootstrapped(difference, *arrays, margin=0.05, **options):
    """Of a statistic of per-triple arrays."""
    return hs.equivalent_within(hs.bootstrap(difference, *arrays, level=0.9, **options), margin=margin)


class TestDecisions:
    def test_p_value_counts(self):
        null = np.arange(99.0)
        assert hs.p_value(98.0, null).value == 0.02
        assert hs.p_value(99.0, null).value == 0.01
        assert hs.p_value(-1.0, null).value == 1.0
        assert hs.p_value(98.0, null).n == 99

    def test_p_value_needs_39_draws(self):
        assert hs.p_value(1.0, np.zeros(38)) == Estimate.missing("fewer than 39 draws: 38")
        assert hs.p_value(1.0, np.zeros(39)).value == 1 / 40
        assert hs.p_value(np.nan, np.zeros(39)).is_missing

    def test_the_interval_of_a_p_value_is_that_of_the_tail_counted(self):
        null = np.arange(99.0)
        for observed, count in ((98.0, 1), (50.0, 49), (-5.0, 99), (200.0, 0)):
            exact = scipy.stats.binomtest(count, 99).proportion_ci(method="exact")
            found = hs.p_value(observed, null)
            assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
            assert found.low <= found.value <= found.high

    def test_p_values_are_uniform_under_the_null(self):
        values = rng(1).normal(size=(600, 400))
        p = [hs.p_value(row[0], row[1:]).value for row in values]
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
        wide = equivalence(0.0, np.linspace(-0.2, 0.2, 401), n=24)
        assert (wide.equivalent, wide.testable) == (False, False)
        assert wide.words == "equivalence within ± 0.05 not testable, n = 24"
        narrow = equivalence(0.049, np.linspace(0.03, 0.07, 401), n=24)
        assert (narrow.equivalent, narrow.testable) == (False, True)
        assert narrow.words == "not shown to be equivalent within ± 0.05"
        assert equivalence(0.0, np.zeros(99), n=24).words == "equivalent within ± 0.05"
        unknown = bootstrapped(np.mean, [np.nan, 0.0, 0.0])
        assert not unknown.testable
        assert "not testable (undefined on the data" in unknown.words

    def test_equivalence_of_identical_and_shifted(self):
        a = rng(4).normal(0.7, 0.1, 80)
        change = lambda x, y: (x - y).mean(-1)
        same = bootstrapped(change, a, a)
        assert (same.equivalent, same.lower) == (True, False)
        noise = rng(5).normal(0, 0.05, 80)
        fell = bootstrapped(change, a - 0.2 + noise, a)
        assert (fell.equivalent, fell.lower) == (False, True)
        rose = bootstrapped(change, a + 0.2 + noise, a)
        assert (rose.equivalent, rose.lower) == (False, False)
        slight = bootstrapped(change, a - 0.02, a)
        assert (slight.equivalent, slight.lower) == (True, True)

    def test_equivalence_from_draws_is_the_same_and_at_90_percent(self):
        a, b = rng(6).normal(size=(2, 50))
        change = lambda x, y: (x - y).mean(-1)
        draws = hs.bootstrap_draws(change, a, b, draws=500, vectorised=True)
        default = bootstrapped(change, a, b, margin=0.4, draws=500, vectorised=True)
        assert default == equivalence((a - b).mean(), draws, n=50, margin=0.4)

    def test_equivalence_errs_at_the_margin_at_most_at_its_level(self):
        # true difference exactly −margin: equivalence may be declared in 5 % of samples
        samples = rng(7).normal(-0.05, 0.15, (400, 60))
        wrong = [bootstrapped(lambda x: x.mean(-1), x, draws=400, vectorised=True) for x in samples]
        assert np.mean([w.equivalent for w in wrong]) < 0.09


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


class TestPower:
    @pytest.mark.parametrize("n", [4, 24, 96])
    def test_detectable_against_noncentral_t(self, n):
        shift = hs.detectable(2.0, n) * np.sqrt(n) / 2.0
        critical = scipy.stats.t.ppf(0.975, n - 1)
        assert scipy.stats.nct.sf(critical, n - 1, shift) == pytest.approx(0.8, abs=1e-3)

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

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: hs.n_for_equivalence(1.0, 1e-9), "more than 10⁹"),
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
