"""Methods of interval, strata, ratios and AUROCs: two routes to the same number, known answers, coverage."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import statistics as hs
from harmcircuits.statistics import Estimate

quick = settings(max_examples=30, deadline=None)
labels = st.lists(st.sampled_from("abcdef"), min_size=3, max_size=20)


def rng(seed):
    return np.random.default_rng(seed)


def test_many_means_at_once_have_the_same_intervals():
    values = rng(0).normal(size=(9, 4))
    values[:, 1], values[0, 2] = 2.0, np.nan
    for one, own in zip(hs.mean_estimates(values, draws=99, seed=3), values.T, strict=True):
        alone = hs.mean_estimate(own, draws=99, seed=3)
        assert one.is_missing == alone.is_missing
        if not one.is_missing:
            assert (one.value, one.low, one.high) == pytest.approx((alone.value, alone.low, alone.high), abs=1e-12)
    assert hs.mean_estimates(np.ones((2, 1))) == [Estimate(1.0, n=2)]
    assert hs.mean_estimates(np.ones((0, 1)))[0].is_missing


class TestStrata:
    @quick
    @given(labels)
    def test_every_draw_has_the_composition_of_the_sample(self, strata):
        codes = hs.strata_codes(strata, len(strata))
        drawn = codes[hs.resamples(len(strata), draws=20, strata=strata)]
        np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.sort(codes), (20, 1)))

    @quick
    @given(labels)
    def test_no_stratum_of_a_few_is_left_and_larger_ones_stay_apart(self, strata):
        codes = hs.strata_codes(strata, len(strata))
        assert np.bincount(codes).min() >= min(3, len(strata))
        large = [
            {str(codes[i]) for i, own in enumerate(strata) if own == name} for name in set(strata) if strata.count(name) > 2
        ]
        assert all(len(group) == 1 for group in large)
        assert len(set.union(set(), *large)) == len(large)

    def test_same_seed_same_draws_and_one_stratum_is_none(self):
        strata = ["a", "b"] * 5
        np.testing.assert_array_equal(hs.resamples(10, seed=3, strata=strata), hs.resamples(10, seed=3, strata=strata))
        assert (hs.resamples(10, seed=3, strata=strata) != hs.resamples(10, seed=4, strata=strata)).any()
        np.testing.assert_array_equal(hs.resamples(10, seed=3, strata=["a"] * 10), hs.resamples(10, seed=3))

    def test_strata_reach_every_statistic(self):
        strata = np.repeat(["a", "b"], 20)
        by = np.repeat([0.0, 9.0], 20)
        a, b = by + rng(1).uniform(1, 2, 40), by / 2 + rng(2).uniform(1, 2, 40)
        for estimate in (
            hs.mean_estimate,
            lambda x, **o: hs.paired_difference(a, b, **o),
            lambda x, **o: hs.ratio_of_means(a, b, **o),
        ):
            within, alike = estimate(a, strata=strata), estimate(a)
            assert within.value == alike.value
            assert within.high - within.low < alike.high - alike.low
        change = lambda x, y: (x - y).mean(-1)
        found = hs.bootstrap(change, a, b, strata=strata, vectorised=True)
        draws = hs.bootstrap_draws(change, a, b, strata=strata, vectorised=True)
        assert found == hs.from_draws((a - b).mean(), draws, n=40, strata=strata)


class TestMethods:
    def test_expanded_is_the_t_interval_of_a_mean(self):
        x = rng(5).normal(size=20)
        t = scipy.stats.t.interval(0.95, 19, x.mean(), x.std(ddof=1) / 20**0.5)
        ours = hs.mean_estimate(x, draws=200_000)
        assert (ours.low, ours.high) == pytest.approx(tuple(t), abs=0.03)
        drawn = hs.bootstrap_draws(lambda v: v.mean(-1), x, draws=200_000, vectorised=True)
        plain = hs.from_draws(x.mean(), drawn, n=20, method="percentile")
        assert plain.high - plain.low < 0.95 * (ours.high - ours.low)

    @pytest.mark.parametrize("count", [399, 9_999])
    def test_expanded_counts_the_strata_and_few_draws_do_not_shorten_it(self, count):
        strata = np.arange(24) % 8
        draws = np.arange(1, count + 1) / (count + 1)  # where so many uniform draws lie on average
        tail = scipy.stats.norm.cdf(-np.sqrt(24 / 16) * scipy.stats.t.ppf(0.975, 16))
        found = hs.from_draws(0.5, draws, n=24, strata=strata)
        assert (found.low, found.high) == pytest.approx((tail, 1 - tail), abs=1e-9)

    def test_coverage_within_strata_of_three(self):
        """24 triples of 8 categories: a draw within categories spreads too little, and "percentile" is that much too short."""
        strata = np.arange(24) % 8
        held = {"expanded": 0, "percentile": 0}
        for i in range(300):
            x = rng(i).standard_t(5, size=24) + strata
            for method in held:
                drawn = hs.bootstrap_draws(lambda v: v.mean(-1), x, strata=strata, draws=200, seed=i, vectorised=True)
                found = hs.from_draws(x.mean(), drawn, n=24, strata=strata, method=method)
                held[method] += not found.excludes(3.5)
        assert 0.91 <= held["expanded"] / 300 <= 0.98
        assert held["percentile"] / 300 < 0.90


class TestAurocs:
    @pytest.mark.parametrize("strata", [None, np.arange(30) % 4])
    def test_draws_by_counts_are_those_by_ranks(self, strata, monkeypatch):
        a, b = rng(1).integers(0, 9, 30) / 4, rng(2).integers(0, 8, 30) / 4
        ranked = hs.bootstrap_draws(hs.auroc, a, b, draws=200, seed=3, strata=strata, vectorised=True)
        np.testing.assert_array_equal(hs.auroc_draws(a, b, draws=200, seed=3, strata=strata), ranked)
        assert hs.auroc_estimate(a, b, seed=3, strata=strata) == hs.bootstrap(hs.auroc, a, b, seed=3, strata=strata)
        monkeypatch.setattr("harmcircuits.statistics.paired_auroc._MATRIX", 10)
        np.testing.assert_array_equal(hs.auroc_draws(a, b, draws=200, seed=3, strata=strata), ranked)

    def test_saturated_it_is_bounded(self):
        low, high = np.arange(20.0), np.arange(20.0) + 100
        assert hs.auroc_estimate(high, low) == Estimate(1.0, 0.025 ** (1 / 10), 1.0, 20)
        assert hs.auroc_estimate(low, high) == Estimate(0.0, 0.0, 1 - 0.025 ** (1 / 10), 20)
        assert hs.auroc_estimate([2.0, 3.0], [0.0, 1.0]) == Estimate(1.0, n=2)

    def test_a_change_is_the_difference_of_two_and_turns_round(self):
        before, after = rng(5).normal(size=(40, 2)) + np.array([1, 0]), rng(6).normal(size=(40, 2)) + np.array([0.5, 0])
        found, back = hs.auroc_change(before, after), hs.auroc_change(after, before)
        assert found.value == hs.auroc(*after.T) - hs.auroc(*before.T)
        assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
        drawn = [hs.auroc_draws(*side.T) for side in (before, after)]
        plain = hs.from_draws(found.value, drawn[1] - drawn[0], n=40)
        assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.15)  # far from 1 it is much the same

    def test_a_change_of_nothing_is_a_point_and_of_saturated_scores_is_not(self):
        scores = rng(7).normal(size=(30, 2)) + np.array([1, 0])
        assert hs.auroc_change(scores, 2 * scores + 1) == Estimate(0.0, 0.0, 0.0, 30)
        apart = scores + np.array([100, 0])
        saturated = hs.auroc_change(apart, apart)
        assert (saturated.value, saturated.low, saturated.high) == pytest.approx((0, -1 / 60, 1 / 60))
        assert not hs.equivalent_within(hs.auroc_change(apart[:5], apart[:5], level=0.9)).equivalent

    def test_near_the_ceiling_it_errs_less_than_draws_alone(self):
        """From 0.984 to 0.934 over 24 triples: "equivalent" would be wrong."""
        gaps = np.sqrt(2) * scipy.stats.norm.ppf([0.984, 0.934])
        wrong = {"change": 0, "draws": 0}
        for i in range(300):
            before = rng(i).normal(size=(24, 2))
            after = 0.85 * before + np.sqrt(1 - 0.85**2) * rng(1000 + i).normal(size=(24, 2))
            before, after = before + np.array([gaps[0], 0]), after + np.array([gaps[1], 0])
            change = hs.auroc_change(before, after, draws=200, seed=i, level=0.9)
            wrong["change"] += hs.equivalent_within(change).equivalent
            drawn = [hs.auroc_draws(*side.T, draws=200, seed=i) for side in (before, after)]
            wrong["draws"] += hs.equivalent_within(hs.from_draws(change.value, drawn[1] - drawn[0], n=24, level=0.9)).equivalent
        assert wrong["change"] / 300 <= 0.06
        assert wrong["draws"] > wrong["change"]


class TestRatio:
    def test_of_means(self):
        b = rng(1).uniform(1, 2, 50)
        exact = hs.ratio_of_means(0.3 * b, b)
        assert (exact.value, exact.low, exact.high) == pytest.approx((0.3, 0.3, 0.3))
        noisy = hs.ratio_of_means(0.3 * b + rng(2).normal(0, 0.1, 50), b)
        assert noisy.low < 0.3 < noisy.high

    def test_general_ratio_matches_its_draws(self):
        h, b, h0, b0 = rng(3).normal(0, 1, (4, 80)) + np.array([[0.8], [0.0], [1.5], [0.0]])
        above = lambda h, b, h0, b0: hs.auroc(h, b) - 0.5
        below = lambda h, b, h0, b0: hs.auroc(h0, b0) - 0.5
        retained = hs.ratio(above, below, h, b, h0, b0, vectorised=True)
        draws = [hs.bootstrap_draws(s, h, b, h0, b0, vectorised=True) for s in (above, below)]
        assert retained == hs.from_draws(retained.value, draws[0] / draws[1], n=80)

    def test_denominator_about_zero(self):
        reason = hs.ratio_of_means(np.ones(20), np.linspace(-1, 1.1, 20)).reason
        assert reason.startswith("the denominator's 95% interval [-")
        assert reason.endswith("includes 0")
