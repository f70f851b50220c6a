"""Sign flips: every pattern counted, agreement with scipy, error rates, and what breaks them."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harmcircuits import statistics as hs
from harmcircuits.statistics import Estimate, StatisticsError


def rng(seed):
    return np.random.default_rng(seed)


class TestSignFlips:
    def test_exact_agrees_with_scipy(self):
        d = rng(1).normal(0.3, 1, 9)
        theirs = scipy.stats.permutation_test(
            (d,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
        ).pvalue
        ours = hs.sign_flip_p(d)
        assert ours.value == pytest.approx(theirs)
        assert (ours.low, ours.high, ours.n) == (ours.value, ours.value, 512)

    def test_by_hand(self):
        assert hs.sign_flip_p([1.0, 2.0, 3.0]).value == 2 / 8
        assert hs.sign_flip_p([3.0, -1.0, -2.0]).value == 1.0
        assert hs.sign_flip_p([0.3, 0.1, -0.2]).value == 6 / 8  # a mean of 0.2 / 3: two patterns have 0, whatever the rounding

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(-20, 20), min_size=1, max_size=10))
    def test_turning_all_differences_round_changes_nothing(self, d):
        d = np.array(d) / 10
        assert hs.sign_flip_p(-d).value == hs.sign_flip_p(d).value >= 2 ** -len(d)

    def test_random_patterns_come_near_to_all_of_them(self, monkeypatch):
        d = rng(2).normal(0.4, 1, 12)
        exact = hs.sign_flip_p(d)
        monkeypatch.setattr("harmcircuits.statistics.permutations.EXACT", 5)
        drawn = hs.sign_flip_p(d)
        assert drawn.n == 9999
        assert drawn.low <= exact.value <= drawn.high
        assert drawn == hs.sign_flip_p(d) != hs.sign_flip_p(d, seed=1)

    def test_it_errs_at_its_level_under_heavy_tails(self):
        d = rng(3).standard_t(2, size=(400, 15))
        p = [hs.sign_flip_p(row, draws=199, seed=i).value for i, row in enumerate(d)]
        assert scipy.stats.kstest(p, "uniform").pvalue > 0.01

    def test_what_cannot_be_tested(self):
        assert hs.sign_flip_p([]) == Estimate.missing("no triples")
        assert hs.sign_flip_p([np.nan, 1.0]).reason == "1 of the values are not finite"
        assert "fewer than 39 draws: 10" in hs.sign_flip_p(np.ones(20), draws=10).reason
        with pytest.raises(StatisticsError, match=r"\[2, 2\]"):
            hs.sign_flip_p(np.ones((2, 2)))
