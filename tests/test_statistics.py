"""Estimates, AUROC and the bootstrap: known answers, two routes to the same number, coverage, properties."""

from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harmcircuits import statistics as hs
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.statistics import Estimate
from harmcircuits.statistics.aurocs import auroc_of_counts
from harmcircuits.statistics.bootstrap import strata_codes, times_drawn

quick = settings(max_examples=40, deadline=None)
# eighths: exact in binary, so that a strictly increasing map keeps their order and ties
scores = st.lists(st.integers(-80, 80).map(lambda i: i / 8), min_size=1, max_size=12)
labels = st.lists(st.sampled_from("abcdef"), min_size=3, max_size=20)


def rng(seed):
    return np.random.default_rng(seed)


class TestEstimate:
    def test_json_keys_are_the_contract(self):
        assert Estimate(0.1, n=2).to_json() == {"value": 0.1, "low": None, "high": None, "n": 2}
        assert Estimate.missing("why").to_json() == {"value": None, "reason": "why"}

    @pytest.mark.parametrize(
        "fields",
        [
            {"value": np.nan, "n": 9},
            {"value": 0.5, "low": -np.inf, "high": 1.0, "n": 9},
            {"value": None},
            {"value": None, "reason": "r", "n": 3},
            {"value": 0.1, "n": 3, "reason": "r"},
            {"value": 0.1, "n": 0},
            {"value": 0.1, "low": 0.0, "n": 3},
            {"value": 0.1, "low": 0.2, "high": 0.0, "n": 3},
        ],
    )
    def test_refuses_what_is_no_measurement(self, fields):
        with pytest.raises(HarmcircuitsError):
            Estimate(**fields)

    def test_a_share_of_none_and_of_all_has_an_interval(self):
        assert hs.wilson(0, 20).high == pytest.approx(0.161, abs=1e-3) and hs.wilson(20, 20).low < 1
        assert hs.wilson(0, 0).is_missing


class TestAuroc:
    @quick
    @given(scores, scores)
    def test_against_scikit_learn_and_swapped(self, a, b):
        truth = roc_auc_score([1] * len(a) + [0] * len(b), [*a, *b])
        assert hs.auroc(a, b) == pytest.approx(truth, abs=1e-12)
        assert hs.auroc(a, b) == pytest.approx(1 - hs.auroc(b, a), abs=1e-12)

    @quick
    @given(scores, scores, st.sampled_from([np.arctan, np.exp, lambda x: 3 * x - 7, lambda x: x**3]))
    def test_only_the_order_counts(self, a, b, increasing):
        a, b = np.array(a), np.array(b)
        assert hs.auroc(increasing(a), increasing(b)) == hs.auroc(a, b)

    def test_an_empty_side_is_an_error_and_nan_is_nan(self):
        for a, b in (([], [1]), ([1], []), (1.0, [2])):
            with pytest.raises(HarmcircuitsError):
                hs.auroc(a, b)
        assert np.isnan(hs.auroc([1, np.nan], [0]))

    @pytest.mark.parametrize("strata", [None, np.arange(30) % 4])
    def test_draws_by_counts_are_those_of_drawn_scores(self, strata):
        a, b = rng(1).integers(0, 9, 30) / 4, rng(2).integers(0, 8, 30) / 4
        drawn = hs.resamples(30, draws=50, seed=3, strata=strata)
        counts = times_drawn(drawn)
        alone = [hs.auroc(a[row], b[row]) for row in drawn]
        np.testing.assert_allclose(auroc_of_counts(a, b, counts, counts), alone, atol=1e-12)


def aurocs(before, after, draws=400, seed=0):
    """AUROCs of scores [triple, role] before and after, and their paired draws."""
    counts = times_drawn(hs.resamples(len(before), draws=draws, seed=seed))
    drawn = np.stack([auroc_of_counts(*side.T, counts, counts) for side in (before, after)])
    return np.array([hs.auroc(*side.T) for side in (before, after)]), drawn


class TestChangeOfAuroc:
    def test_far_from_1_it_is_the_interval_of_the_draws_and_turns_round(self):
        before, after = rng(5).normal(size=(40, 2)) + np.array([1, 0]), rng(6).normal(size=(40, 2)) + np.array([0.5, 0])
        areas, drawn = aurocs(before, after)
        change, back = hs.change_of_aurocs(areas, drawn, n=40), hs.change_of_aurocs(areas[::-1], drawn[::-1], n=40)
        assert change == hs.from_draws(areas[1] - areas[0], drawn[1] - drawn[0], n=40)
        assert (back.value, back.low, back.high) == pytest.approx((-change.value, -change.high, -change.low), abs=0.01)

    def test_a_change_of_nothing_is_a_point_and_of_saturated_scores_is_not(self):
        noisy = rng(7).normal(size=(30, 2)) + np.array([1, 0])
        assert hs.change_of_aurocs(*aurocs(noisy, 2 * noisy + 1), n=30) == Estimate(0.0, 0.0, 0.0, 30)
        apart = noisy + np.array([100, 0])
        change = hs.change_of_aurocs(*aurocs(apart, apart), n=30)
        assert (change.value, change.low, change.high) == pytest.approx((0, -1 / 60, 1 / 60))
        assert hs.one_auroc(*(part[:1] for part in aurocs(apart, apart)), n=30).low == pytest.approx(0.025 ** (1 / 15))

    def test_near_1_it_holds_the_truth_where_draws_alone_do_not(self):
        """From 0.99 to 0.98 over 12 triples."""
        truth = np.array([0.99, 0.98])
        gaps, held = np.sqrt(2) * scipy.stats.norm.ppf(truth), {"change": 0, "retained": 0, "draws": 0}
        for seed in range(200):
            base, own = rng(seed).normal(size=(2, 12, 2))
            after = 0.5 * base + np.sqrt(0.75) * own
            areas, drawn = aurocs(base + np.array([gaps[0], 0]), after + np.array([gaps[1], 0]), seed=seed)
            retained = hs.retained_signal(areas, drawn, n=12)
            held["change"] += not hs.change_of_aurocs(areas, drawn, n=12).excludes(-0.01)
            held["retained"] += not retained.excludes(0.48 / 0.49)
            held["draws"] += not hs.from_draws(areas[1] - areas[0], drawn[1] - drawn[0], n=12).excludes(-0.01)
        assert min(held["change"], held["retained"]) >= 180 > held["draws"], held

    def test_a_share_of_no_signal_is_missing(self):
        before = np.array([[1.0, 0.0], [2.0, 3.0], [4.0, 3.5], [0.0, 1.0]])
        assert hs.retained_signal(*aurocs(before, before + np.array([9, 0])), n=4).is_missing


class TestBootstrap:
    @quick
    @given(labels)
    def test_every_draw_has_the_composition_of_the_sample(self, strata):
        codes = strata_codes(strata, len(strata))
        drawn = codes[hs.resamples(len(strata), draws=20, strata=strata)]
        np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.sort(codes), (20, 1)))
        assert np.bincount(codes).min() >= min(3, len(strata)), "no stratum of a few is left"

    def test_the_same_seed_gives_the_same_draws(self):
        strata = ["a", "b"] * 5
        np.testing.assert_array_equal(hs.resamples(10, seed=3, strata=strata), hs.resamples(10, seed=3, strata=strata))
        assert (hs.resamples(10, seed=3) != hs.resamples(10, seed=4)).any()

    def test_it_is_the_t_interval_of_a_mean(self):
        x = rng(5).normal(size=20)
        t = scipy.stats.t.interval(0.95, 19, x.mean(), x.std(ddof=1) / 20**0.5)
        interval = hs.mean_estimate(x, draws=100_000)
        assert (interval.low, interval.high) == pytest.approx(tuple(t), abs=0.03)

    @pytest.mark.parametrize(("draws", "strata"), product([399, 9_999], [None, np.arange(24) % 8]))
    def test_the_tail_counts_the_strata_and_few_draws_do_not_shorten_it(self, draws, strata):
        uniform = np.arange(1, draws + 1) / (draws + 1)  # where so many uniform draws lie on average
        free = 23 if strata is None else 16
        tail = scipy.stats.norm.cdf(-np.sqrt(24 / free) * scipy.stats.t.ppf(0.975, free))
        interval = hs.from_draws(0.5, uniform, n=24, strata=strata)
        assert (interval.low, interval.high) == pytest.approx((tail, 1 - tail), abs=1e-9)

    def test_coverage_within_strata_of_three(self):
        """24 units of 8 strata: draws within strata spread too little, and their percentiles are that much too short."""
        strata, held, percentile = np.arange(24) % 8, 0, 0
        for seed in range(300):
            x = rng(seed).standard_t(5, size=24) + strata
            drawn = x[hs.resamples(24, draws=200, seed=seed, strata=strata)].mean(-1)
            held += not hs.from_draws(x.mean(), drawn, n=24, strata=strata).excludes(3.5)
            low, high = np.quantile(drawn, [0.025, 0.975])
            percentile += low <= 3.5 <= high
        assert 0.91 <= held / 300 <= 0.98 and percentile / 300 < 0.90

    def test_many_means_at_once_are_each_mean_alone(self):
        values = rng(0).normal(size=(9, 4))
        values[:, 1], values[0, 2] = 2.0, np.nan
        drawn = hs.resamples(9, draws=99, seed=3)
        for mean, column in zip(hs.mean_estimates(values, draws=99, seed=3), values.T, strict=True):
            alone = hs.from_draws(column.mean(), column[drawn].mean(-1), n=9)
            assert mean.is_missing == alone.is_missing
            if not mean.is_missing:
                assert (mean.value, mean.low, mean.high) == pytest.approx((alone.value, alone.low, alone.high), abs=1e-12)
        assert hs.mean_estimates(np.ones((2, 1))) == [Estimate(1.0, n=2)], "two units have no interval"
        assert hs.mean_estimates(np.ones((0, 1)))[0].is_missing

    def test_undefined_draws(self):
        draws = np.linspace(0, 1, 200)
        assert hs.from_draws(0.5, np.append(draws, np.nan), n=20).low is not None
        assert "undefined" in hs.from_draws(0.5, np.append(draws, np.full(20, np.nan)), n=20).reason
        assert hs.from_draws(np.nan, draws, n=20).is_missing

    def test_bad_input(self):
        for call in (
            lambda: hs.resamples(0),
            lambda: hs.resamples(5, strata=["a"]),
            lambda: hs.from_draws(0.5, np.zeros(20), n=20),
        ):
            with pytest.raises(HarmcircuitsError):
                call()


# Runs and questions


def two_level_mean(values, **options):
    return hs.two_level(lambda x: x.mean((1, 2)), values, **options)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Three runs and 40 questions: effects of runs, of questions, of both together; 95 % of 200 intervals would be 190."""
    random = np.random.default_rng(0)
    for runs, asked, both in ((0.3, 1.0, 1.0), (0.0, 1.0, 0.5), (1.0, 0.0, 0.1)):
        held = 0
        for seed in range(200):
            values = random.normal(0, runs, (3, 1)) + random.normal(0, asked, (1, 40)) + random.normal(0, both, (3, 40))
            found = two_level_mean(values, draws=200, seed=seed)
            held += found.low <= 0 <= found.high
        assert held >= 174, (runs, asked, both, held)


def test_runs_that_differ_widen_the_interval() -> None:
    asked = np.random.default_rng(1).normal(0, 1, (1, 30))
    alike, apart = asked + np.zeros((3, 1)), asked + np.array([[-1.0], [0.0], [1.0]])
    narrow, wide = two_level_mean(alike), two_level_mean(apart)
    assert narrow.value == pytest.approx(wide.value) and wide.high - wide.low > 2 * (narrow.high - narrow.low)
    one_level = hs.mean_estimate(asked[0])
    assert narrow.high - narrow.low == pytest.approx(one_level.high - one_level.low, rel=0.15), "runs that are one are one"


def test_statistics_of_one_set_are_paired() -> None:
    values = np.random.default_rng(2).normal(1, 1, (4, 12))
    found = hs.two_level(lambda x, y: x.mean((1, 2)) / y.mean((1, 2)), 2 * values, values)
    assert found.value == found.low == found.high == pytest.approx(2)


def test_what_has_no_interval() -> None:
    assert two_level_mean(np.ones((2, 9))) == Estimate(1.0, n=9)
    assert two_level_mean(np.ones((3, 9))) == Estimate(1.0, 1.0, 1.0, 9)
    assert two_level_mean(np.full((3, 9), np.nan)).reason == "undefined on the data"
    assert two_level_mean(np.ones((3, 0))).reason == "no runs or no questions"
