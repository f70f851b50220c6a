"""Estimates, AUROC and the bootstrap: known answers, two routes to the same number, coverage, properties."""

import doctest
import importlib
import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import statistics as hs
from harmcircuits.statistics import Estimate, StatisticsError

MODULES = [
    "comparisons",
    "decisions",
    "effects",
    "estimate",
    "intervals",
    "margins",
    "paired_auroc",
    "permutations",
    "power",
    "ranks",
    "resampling",
    "strata",
]
quick = settings(max_examples=40, deadline=None)
# eighths: exact in binary, so that a strictly increasing map keeps their order and ties
scores = st.lists(st.integers(-80, 80).map(lambda i: i / 8), min_size=1, max_size=12)


def rng(seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"harmcircuits.statistics.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


class TestEstimate:
    @pytest.mark.parametrize(
        "estimate",
        [Estimate(0.1, -0.2, 0.3, 24), Estimate(1e-9, n=2), Estimate.missing("no shots")],
    )
    def test_survives_json(self, estimate):
        assert Estimate.from_json(json.loads(json.dumps(estimate.to_json(), allow_nan=False))) == estimate

    def test_json_keys_are_the_contract(self):
        assert Estimate(0.1, n=2).to_json() == {"value": 0.1, "low": None, "high": None, "n": 2}
        assert Estimate.missing("why").to_json() == {"value": None, "reason": "why"}

    @pytest.mark.parametrize("field", ["value", "low", "high"])
    def test_refuses_what_is_not_finite(self, field):
        fields = {"value": 0.5, "low": 0.0, "high": 1.0, "n": 9, field: np.nan}
        with pytest.raises(StatisticsError, match=rf"{field} is .*Estimate\.missing"):
            Estimate(**fields)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"value": None}, "needs a reason"),
            ({"value": None, "reason": "r", "n": 3}, "no interval and n=0"),
            ({"value": 0.1, "n": 3, "reason": "r"}, "takes no reason"),
            ({"value": 0.1, "n": 0}, "n >= 1"),
            ({"value": 0.1, "low": 0.0, "n": 3}, "both ends or neither"),
            ({"value": 0.1, "low": 0.2, "high": 0.0, "n": 3}, "above its high end"),
        ],
    )
    def test_refuses_contradictions(self, fields, message):
        with pytest.raises(StatisticsError, match=message):
            Estimate(**fields)

    def test_excludes(self):
        assert Estimate(0.2, 0.1, 0.3, 9).excludes(0)
        assert not Estimate(0.2, 0.0, 0.3, 9).excludes(0)
        assert not Estimate(0.2, n=2).excludes(0)
        assert not Estimate.missing("r").excludes(0)


class TestAuroc:
    def test_against_all_pairs(self):
        a, b = rng(3).integers(0, 4, 17), rng(4).integers(0, 4, 11)
        pairs = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
        assert hs.auroc(a, b) == pytest.approx(pairs, abs=1e-12)

    def test_vectorised_equals_loop(self):
        a, b = rng(5).integers(0, 9, (3, 4, 20)), rng(6).integers(0, 9, (4, 15))
        expected = [[hs.auroc(a[i, j], b[j]) for j in range(4)] for i in range(3)]
        np.testing.assert_array_equal(hs.auroc(a, b), expected)
        np.testing.assert_array_equal(hs.auroc(a[0].T, b.T, axis=0), expected[0])

    @quick
    @given(scores, scores)
    def test_swapping_the_sides_reflects_it(self, a, b):
        assert hs.auroc(a, b) == pytest.approx(1 - hs.auroc(b, a), abs=1e-12)

    @quick
    @given(scores, scores, st.sampled_from([np.arctan, np.exp, lambda x: 3 * x - 7, lambda x: x**3]))
    def test_only_the_order_counts(self, a, b, increasing):
        a, b = np.array(a), np.array(b)
        assert hs.auroc(increasing(a), increasing(b)) == hs.auroc(a, b)

    @pytest.mark.parametrize(("a", "b", "side"), [([], [1], "positive"), ([1], [], "negative")])
    def test_an_empty_side_is_an_error(self, a, b, side):
        with pytest.raises(ValueError, match=f"the {side} side is empty"):
            hs.auroc(a, b)

    def test_standard_error_is_exact_for_exponential_scores(self):
        # P(X > Y) = θ / (1 + θ) for X of mean θ and Y of mean 1; θ = 3 gives 0.75
        draws = hs.auroc(rng(7).exponential(3.0, (20_000, 30)), rng(8).exponential(1.0, (20_000, 20)))
        assert draws.mean() == pytest.approx(0.75, abs=0.003)
        assert draws.std() == pytest.approx(hs.auroc_se(0.75, 30, 20), rel=0.02)

    def test_standard_error_known_answers(self):
        # Hanley and McNeil 1982: 51 abnormal and 58 normal images, A = 0.893
        assert hs.auroc_se(0.893, 51, 58) == pytest.approx(0.0325, abs=5e-5)
        assert hs.auroc_se(1.0, 10, 10) == 0
        with pytest.raises(StatisticsError, match=r"auroc=1\.2"):
            hs.auroc_se(1.2, 10, 10)


class TestBootstrap:
    def test_resamples_are_seeded_indices(self):
        draws = hs.resamples(7, draws=500, seed=3)
        assert draws.shape == (500, 7)
        assert set(np.unique(draws)) == set(range(7))
        np.testing.assert_array_equal(draws, hs.resamples(7, draws=500, seed=3))
        assert (draws != hs.resamples(7, draws=500, seed=4)).any()

    def test_percentile_agrees_with_scipy_on_the_same_draws(self):
        x = rng(1).exponential(size=40)
        theirs = scipy.stats.bootstrap(
            (x,), np.mean, n_resamples=1000, method="percentile", random_state=np.random.default_rng(5)
        ).confidence_interval
        drawn = hs.bootstrap_draws(np.mean, x, draws=1000, seed=5)
        ours = hs.from_draws(x.mean(), drawn, n=40, method="percentile")
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs), rel=1e-6)
        assert (ours.value, ours.n) == (pytest.approx(x.mean()), 40)

    def test_vectorised_equals_loop(self):
        a, b = rng(3).normal(1, 1, 25), rng(4).normal(0, 1, 25)
        assert hs.bootstrap(hs.auroc, a, b, draws=200) == hs.bootstrap(hs.auroc, a, b, draws=200, vectorised=True)

    def test_vectorised_in_chunks_equals_whole(self, monkeypatch):
        x = rng(5).normal(size=(12, 3))
        statistic = lambda v: v.mean((-1, -2))
        whole = hs.bootstrap_draws(statistic, x, draws=50, vectorised=True)
        monkeypatch.setattr("harmcircuits.statistics.resampling._CHUNK", 12 * 3 * 7)
        np.testing.assert_array_equal(hs.bootstrap_draws(statistic, x, draws=50, vectorised=True), whole)

    def test_a_draw_takes_whole_triples(self):
        x = np.arange(20.0)
        together = hs.bootstrap_draws(lambda a, b: np.abs(a - b[:, 0] / 2).max(), x, np.stack([2 * x, x], 1), draws=50)
        np.testing.assert_array_equal(together, 0.0)

    def test_same_seed_pairs_the_statistics(self):
        a, b = rng(6).normal(size=30), rng(7).normal(size=30)
        separate = [hs.bootstrap_draws(np.mean, x, draws=100, seed=9) for x in (a, b)]
        np.testing.assert_allclose(hs.bootstrap_draws(np.mean, a - b, draws=100, seed=9), separate[0] - separate[1])

    def test_paired_is_narrower_than_unpaired(self):
        topic = rng(8).normal(0, 3, 60)  # a triple's topic moves both alike
        a, b = topic + rng(9).normal(0.5, 0.3, 60), topic + rng(10).normal(0, 0.3, 60)
        estimate = hs.paired_difference(a, b)
        unpaired = np.sqrt(a.var() / 60 + b.var() / 60) * 2 * 1.96
        assert estimate.excludes(0)
        assert estimate.high - estimate.low < unpaired / 3
        assert estimate.value == pytest.approx((a - b).mean())

    def test_constant_values_have_a_point_interval(self):
        assert hs.bootstrap(np.mean, np.full(6, 2.0)) == Estimate(2.0, 2.0, 2.0, 6)

    @pytest.mark.parametrize("n", [1, 2])
    def test_no_interval_below_three_triples(self, n):
        assert hs.mean_estimate(np.arange(1.0, n + 1)) == Estimate((n + 1) / 2, n=n)

    def test_undefined_on_the_data_counts_the_values(self):
        reason = hs.mean_estimate([1.0, np.nan, 2.0, np.inf]).reason
        assert reason == "undefined on the data: 2 of its input values are not finite"

    def test_few_undefined_draws_are_dropped_and_many_refused(self):
        x = np.arange(1.0, 41.0)
        lacks = lambda k: lambda v: v.mean() if (v <= k).any() else np.nan  # undefined with probability (1 − k/40)^40
        drawn = hs.bootstrap_draws(lacks(5), x)
        undefined = np.isnan(drawn)
        rare = hs.from_draws(x.mean(), drawn, n=40, method="percentile")
        assert 0 < undefined.mean() < 0.05
        expected = np.quantile(hs.bootstrap_draws(np.mean, x)[~undefined], [0.025, 0.975])
        assert (rare.low, rare.high) == pytest.approx(tuple(expected))
        often = hs.bootstrap(lacks(1), x)
        assert often.is_missing
        assert "of 2000 bootstrap draws, more than 5%" in often.reason

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: hs.bootstrap(np.mean), "none"),
            (lambda: hs.bootstrap(np.mean, 3.0), "same triples"),
            (lambda: hs.paired_difference([1, 2, 3], [1, 2]), r"\[3\], \[2\]"),
            (lambda: hs.bootstrap(lambda x: x, [1.0, 2.0, 3.0]), r"one number a draw, not an array of shape \[3\]"),
            (lambda: hs.bootstrap(np.mean, [1.0, 2.0, 3.0], vectorised=True), r"shape \[\]"),
            (lambda: hs.mean_estimate([1.0, 2.0, 3.0], draws=38), "at least 39 bootstrap draws, not 38"),
            (lambda: hs.mean_estimate([1.0, 2.0, 3.0], level=95), "between 0 and 1"),
            (lambda: hs.resamples(0), "n=0"),
        ],
    )
    def test_errors_name_the_cause(self, call, message):
        with pytest.raises(StatisticsError, match=message):
            call()

    def test_coverage_of_the_mean(self):
        samples = rng(11).gamma(4.0, size=(300, 60))  # mean 4, mildly skewed
        inside = [not hs.mean_estimate(x, seed=i).excludes(4.0) for i, x in enumerate(samples)]
        assert 0.90 <= np.mean(inside) <= 0.98

    def test_coverage_of_a_paired_auroc_change(self):
        # harmful − benign moves from 1 to 0.5 standard deviations √2: both AUROCs known, triples share a topic
        truth = np.diff(scipy.stats.norm.cdf([1 / np.sqrt(2), 0.5 / np.sqrt(2)])).item()
        change = lambda h, b, h0, b0: hs.auroc(h, b) - hs.auroc(h0, b0)
        inside = []
        for i in range(150):
            draw = rng(i)
            h0, b0 = draw.normal(1, 1, 60), draw.normal(0, 1, 60)
            h, b = h0 - 0.5, b0
            inside.append(not hs.bootstrap(change, h, b, h0, b0, draws=400, seed=i, vectorised=True).excludes(truth))
        assert 0.88 <= np.mean(inside) <= 0.99


def test_an_interval_of_another_level_says_so():
    values = np.arange(20.0)
    narrow, usual = (hs.mean_estimate(values, draws=800, level=level) for level in (0.8, 0.95))
    assert narrow.level == 0.8 and " at 80 % (n=20)" in str(narrow) and narrow.to_json()["level"] == 0.8
    assert Estimate.from_json(narrow.to_json()) == narrow and Estimate.from_json(usual.to_json()) == usual
    assert "level" not in usual.to_json() and "%" not in str(usual)
