"""Sign flips and role swaps: every pattern counted, agreement with scipy, error rates, and what breaks them."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import statistics as hs
from harmcircuits.statistics import Estimate, StatisticsError

ALTERNATIVES = ["greater", "less", "two-sided"]


def rng(seed):
    return np.random.default_rng(seed)


def gap(x):
    return (x[..., 0] - x[..., 1]).mean(-1)


class TestSignFlips:
    @pytest.mark.parametrize("alternative", ALTERNATIVES)
    def test_exact_agrees_with_scipy(self, alternative):
        d = rng(1).normal(0.3, 1, 9)
        theirs = scipy.stats.permutation_test(
            (d,), np.mean, permutation_type="samples", alternative=alternative, n_resamples=np.inf
        ).pvalue
        ours = hs.sign_flip_p(d, alternative=alternative)
        assert ours.value == pytest.approx(theirs)
        assert (ours.low, ours.high, ours.n) == (ours.value, ours.value, 512)

    def test_by_hand(self):
        assert hs.sign_flip_p([1.0, 2.0, 3.0], alternative="greater").value == 1 / 8
        assert hs.sign_flip_p([1.0, 2.0, 3.0]).value == 2 / 8
        assert hs.sign_flip_p([1.0, 2.0, 3.0], alternative="less").value == 1.0
        assert hs.sign_flip_p([3.0, -1.0, -2.0], alternative="greater").value == 5 / 8  # means of 0: four patterns reach it by
        assert hs.sign_flip_p([0.3, -0.1, -0.2], alternative="greater").value == 5 / 8  # equality, whatever the rounding

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(-20, 20), min_size=1, max_size=10))
    def test_turning_all_differences_round_turns_the_alternative_round(self, d):
        d = np.array(d) / 10
        assert hs.sign_flip_p(-d, alternative="less").value == hs.sign_flip_p(d, alternative="greater").value
        assert hs.sign_flip_p(-d).value == hs.sign_flip_p(d).value >= 2 ** -len(d)

    def test_random_patterns_come_near_to_all_of_them(self, monkeypatch):
        d = rng(2).normal(0.4, 1, 12)
        exact = hs.sign_flip_p(d)
        monkeypatch.setattr("harmcircuits.statistics.permutations.EXACT", 5)
        drawn = hs.sign_flip_p(d)
        assert drawn.n == 9999
        assert drawn.low <= exact.value <= drawn.high
        assert drawn == hs.sign_flip_p(d) != hs.sign_flip_p(d, seed=1)

    @pytest.mark.parametrize("alternative", ALTERNATIVES)
    def test_it_errs_at_its_level_under_heavy_tails(self, alternative):
        d = rng(3).standard_t(2, size=(400, 15))
        p = [hs.sign_flip_p(row, alternative=alternative, draws=199, seed=i).value for i, row in enumerate(d)]
        assert scipy.stats.kstest(p, "uniform").pvalue > 0.01

    def test_what_cannot_be_tested(self):
        assert hs.sign_flip_p([]) == Estimate.missing("no triples")
        assert hs.sign_flip_p([np.nan, 1.0]).reason == "1 of the values are not finite"
        assert "fewer than 39 draws: 10" in hs.sign_flip_p(np.ones(20), draws=10).reason
        with pytest.raises(StatisticsError, match="'bigger'"):
            hs.sign_flip_p([1.0], alternative="bigger")
        with pytest.raises(StatisticsError, match=r"\[2, 2\]"):
            hs.sign_flip_p(np.ones((2, 2)))


class TestRoleSwaps:
    @pytest.mark.parametrize("n", [8, 30])
    @pytest.mark.parametrize("alternative", ALTERNATIVES)
    def test_of_a_mean_difference_it_is_the_sign_flip(self, n, alternative):
        x = rng(4).normal(size=(n, 2)) + np.array([0.5, 0])
        options = {"alternative": alternative, "draws": 199, "seed": 3}
        assert hs.permutation_p(gap, x, vectorised=True, **options) == hs.sign_flip_p(x[:, 0] - x[:, 1], **options)

    def test_vectorised_in_chunks_equals_one_by_one(self, monkeypatch):
        x, y = rng(5).normal(size=(20, 2, 3)), rng(6).normal(size=(20, 2))
        statistic = lambda a, b: gap(a.mean(-1)) * gap(b)
        one = hs.permutation_p(statistic, x, y, draws=99)
        monkeypatch.setattr("harmcircuits.statistics.permutations._CHUNK", 700)
        assert hs.permutation_p(statistic, x, y, draws=99, vectorised=True) == one

    def test_a_triple_is_swapped_in_all_arrays(self):
        x = rng(7).normal(size=(10, 2))
        same = lambda a, b: -np.abs(a - b).max()  # 0 under every swap where both are swapped alike
        assert hs.permutation_p(same, x, x, alternative="greater").value == 1.0

    def test_aurocs_err_at_their_level_though_roles_share_a_topic(self):
        above = lambda x: hs.auroc(x[..., 0], x[..., 1]) - 0.5
        p = []
        for i in range(300):
            x = rng(i).normal(size=(14, 2)) + rng(1000 + i).normal(0, 2, size=(14, 1))
            p.append(hs.permutation_p(above, x, draws=99, seed=i, vectorised=True).value)
        assert np.mean(np.array(p) <= 0.05) < 0.09
        assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.1)

    def test_an_effect_is_found(self):
        x = rng(8).normal(size=(30, 2)) + np.array([1.5, 0])
        assert hs.permutation_p(gap, x, vectorised=True).value < 0.01
        assert hs.permutation_p(gap, x, alternative="less", vectorised=True).value > 0.9

    @pytest.mark.parametrize("shape", [(5,), (5, 3), ()])
    def test_two_roles_on_axis_1(self, shape):
        with pytest.raises(StatisticsError, match=r"outcomes are \[triple, 2, …\]"):
            hs.permutation_p(gap, np.zeros(shape))

    def test_an_undefined_statistic(self):
        assert hs.permutation_p(lambda x: np.nan, np.zeros((4, 2))).reason == "the observed statistic is undefined"
