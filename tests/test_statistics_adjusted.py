"""A difference at equal covariates: against least squares, known lines, what is dropped, what is extrapolated."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from harmcircuits import statistics as hs
from harmcircuits.statistics import StatisticsError, adjusted_difference


def rng(seed):
    return np.random.default_rng(seed)


X = rng(1).normal(0.4, 1, (60, 3)) * np.array([1.0, 30.0, 0.01])
NAMED = dict(zip(("intact L", "length", "repetition"), X.T, strict=True))


def test_it_is_the_intercept_of_least_squares():
    y = rng(2).normal(size=60)
    expected = np.linalg.lstsq(np.column_stack([np.ones(60), X]), y, rcond=None)[0][0]
    found = adjusted_difference(y, NAMED)
    assert found.difference.value == pytest.approx(expected, rel=1e-9)
    assert found.covariates == tuple(NAMED) and found.dropped == {}
    draws = [
        np.linalg.lstsq(np.column_stack([np.ones(60), X[row]]), y[row], rcond=None)[0][0] for row in hs.resamples(60, draws=99)
    ]
    looped = hs.from_draws(expected, draws, n=60)
    few = adjusted_difference(y, NAMED, draws=99).difference
    assert (few.low, few.high) == pytest.approx((looped.low, looped.high), rel=1e-8)


def test_what_a_covariate_does_is_taken_out_exactly():
    y = 0.3 + X @ np.array([0.2, -0.01, 5.0])
    assert hs.mean_estimate(y).value != pytest.approx(0.3, abs=0.01)
    found = adjusted_difference(y, NAMED).difference
    assert_allclose([found.value, found.low, found.high], 0.3, atol=1e-9)


def test_without_covariates_it_is_the_mean():
    y = rng(3).normal(size=30)
    found = adjusted_difference(y, {}, seed=4)
    mean = hs.mean_estimate(y, seed=4)
    assert_allclose([found.difference.value, found.difference.low, found.difference.high], [mean.value, mean.low, mean.high])
    assert (found.distance, found.outside) == (None, ())


def test_the_unit_of_a_covariate_does_not_matter():
    y = rng(4).normal(size=60)
    scaled = {name: values * 1e6 for name, values in NAMED.items()}
    one, other = (adjusted_difference(y, x, draws=99).difference for x in (NAMED, scaled))
    assert_allclose([one.value, one.low, one.high], [other.value, other.low, other.high], rtol=1e-7)


def test_what_cannot_be_told_apart_is_dropped_and_named():
    x = NAMED | {
        "constant": np.full(60, 3.0),
        "sum": 2 * X[:, 0] - X[:, 1] + 7,
        "lost": np.where(np.arange(60) == 5, np.nan, X[:, 0]),
        "none": np.zeros(60),
    }
    y = rng(5).normal(size=60)
    found = adjusted_difference(y, x, draws=99)
    assert found.covariates == tuple(NAMED)
    assert found.dropped == {
        "constant": "constant: nothing tells its influence from the difference itself",
        "sum": "a linear combination of intact L, length, repetition",
        "lost": "not finite in 1 triples",
        "none": "constant: nothing tells its influence from the difference itself",
    }
    assert found.difference == adjusted_difference(y, NAMED, draws=99).difference


@pytest.mark.parametrize(("n", "missing"), [(5, True), (6, False)])
def test_too_few_triples(n, missing):
    y = rng(6).normal(size=n)
    found = adjusted_difference(y, {name: values[:n] for name, values in NAMED.items()}, draws=99)
    assert (found.difference.reason == "5 triples are too few to adjust for 3 covariates: it takes 6") == missing


def test_how_far_equal_covariates_lie_from_the_data():
    centred = (X - X.mean(0)) / X.std(0, ddof=1)
    y = rng(7).normal(size=60)
    amid = adjusted_difference(y, {"a": centred[:, 0]}, draws=99)
    assert amid.distance == pytest.approx(0, abs=1e-12) and amid.outside == ()
    beyond = adjusted_difference(y, {"a": centred[:, 0] + 5, "b": centred[:, 1]}, draws=99)
    assert beyond.distance > 4 and beyond.outside == ("a",)
    assert adjusted_difference(y, {"a": centred[:, 0] + 2}, draws=99).distance == pytest.approx(2)


def test_draws_that_leave_covariates_alike_are_undefined_and_counted():
    few = np.ones(8)
    few[0] = 2.0  # a third of the draws does not take triple 0: the covariate is constant there, and not 0
    assert "bootstrap draws" in adjusted_difference(rng(8).normal(size=8), {"few": few}).difference.reason


def test_coverage_where_the_raw_difference_misleads():
    inside, raw = [], []
    for i in range(200):
        x = rng(i).normal(0.8, 1, (40, 2))
        y = 0.1 + x @ np.array([0.3, 0.2]) + 0.3 * rng(1000 + i).standard_t(5, size=40)
        inside.append(not adjusted_difference(y, {"a": x[:, 0], "b": x[:, 1]}, draws=200, seed=i).difference.excludes(0.1))
        raw.append(not hs.mean_estimate(y, draws=200, seed=i).excludes(0.1))
    assert 0.90 <= np.mean(inside) <= 0.99
    assert np.mean(raw) < 0.1


def test_one_value_a_triple():
    with pytest.raises(StatisticsError, match="length and the difference need one value a triple"):
        adjusted_difference(np.zeros(5), {"length": np.zeros(4)})


def test_a_covariate_that_few_triples_have_leaves_an_interval() -> None:
    """Nearly all responses are of equal length: in many draws none differs, and then length is adjusted for by nothing."""
    rng = np.random.default_rng(0)
    length = np.zeros(24)
    length[3] = 4.0
    entropy = rng.normal(size=24)
    found = adjusted_difference(0.3 + 0.2 * entropy, {"entropy": entropy, "length": length}, draws=400)
    assert found.difference.value == pytest.approx(0.3)
    assert found.difference.low == pytest.approx(0.3)
    alone = adjusted_difference(0.3 + 0.2 * entropy + rng.normal(size=24), {"length": length}, draws=400)
    assert alone.difference.low is not None and alone.difference.low < alone.difference.high
