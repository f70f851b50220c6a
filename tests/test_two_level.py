"""Intervals over runs and questions: how often they hold the truth, what widens them, and what has none."""

import numpy as np
import pytest

from harmcircuits.errors import HarmcircuitsError
from harmcircuits.statistics import Estimate, mean_estimate, two_level


def two_level_mean(values, **options):
    return two_level(lambda x: x.mean((1, 2)), values, **options)


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
    one_level = mean_estimate(asked[0])
    assert narrow.high - narrow.low == pytest.approx(one_level.high - one_level.low, rel=0.15), "runs that are one are one"


def test_statistics_of_one_set_are_paired() -> None:
    values = np.random.default_rng(2).normal(1, 1, (4, 12))
    found = two_level(lambda x, y: x.mean((1, 2)) / y.mean((1, 2)), 2 * values, values)
    assert found.value == found.low == found.high == pytest.approx(2)


def test_what_has_no_interval() -> None:
    assert two_level_mean(np.ones((2, 9))) == Estimate(1.0, n=9)
    assert two_level_mean(np.ones((3, 9))) == Estimate(1.0, 1.0, 1.0, 9)
    assert two_level_mean(np.full((3, 9), np.nan)).reason == "undefined on the data"
    assert two_level_mean(np.ones((3, 0))).reason == "no runs or no questions"
    with pytest.raises(HarmcircuitsError, match="same runs and questions"):
        two_level(lambda x, y: x, np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(HarmcircuitsError, match="one number a draw"):
        two_level(lambda x: x, np.ones((3, 4)))
