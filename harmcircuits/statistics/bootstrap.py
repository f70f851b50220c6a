"""Bootstrap intervals over triples (or requests, or examples): the expanded percentile interval, drawn within strata.

    tail = Φ(−√(n / (n − H)) · t_{0.975, n − H})

in the place of 0.025, with H the number of strata: a draw of n units spreads less than a sample of n does, by
√((n − H)/n), and its spread is itself an estimate. Own code: scipy's bootstrap does not draw within strata, where percentiles
are too short (`tests/test_statistics.py`). A draw takes whole triples, and the same seed the same ones for every statistic.

Sources: Efron and Tibshirani 1993, chapter 13; Davison and Hinkley 1997, section 2.4; Hesterberg 2015, section 5.3 (expanded).
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from ..errors import HarmcircuitsError
from .estimate import LEVEL, Estimate

LEAST_UNITS = 3
"""With fewer units no interval is estimated, and strata of fewer are put together."""
MAX_UNDEFINED = 0.05
"""The share of draws in which a statistic may be undefined; beyond it, dropping them would choose the answer."""
LEAST_DRAWS = 39
"""Fewer have no 2.5 % tail."""
Statistic: TypeAlias = Callable[..., Any]


def strata_codes(strata: ArrayLike | None, n: int) -> Int[np.ndarray, " n"]:
    """Return the stratum of each of `n` units as a number 0, 1, …; None: all in one.

    A stratum of one unit does not vary from draw to draw, as if its value were known without error: strata of fewer than 3
    units are put together, and where these are fewer than 3 in all, they join the smallest other.

    Raises:
        HarmcircuitsError: not one label a unit.

    >>> strata_codes(["a", "b", "a", "b", "a", "b", "c"], 7).tolist()
    [0, 1, 0, 1, 0, 1, 0]
    """
    if strata is None:
        return np.zeros(n, dtype=np.int64)
    labels = [str(label) for label in np.asarray(strata, dtype=object).ravel()]
    if len(labels) != n:
        raise HarmcircuitsError(f"strata are one label a unit: {n} units have {len(labels)} labels")
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    counts = np.bincount(codes)
    small = np.flatnonzero(counts < LEAST_UNITS)
    if len(small) < len(counts) and 0 < counts[small].sum() < LEAST_UNITS:
        small = np.append(small, np.where(counts < LEAST_UNITS, n + 1, counts).argmin())
    codes[np.isin(codes, small)] = small.min() if len(small) else 0
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def resamples(n: int, *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None) -> Int[np.ndarray, "draw n"]:
    """Return the indices of the units in each bootstrap draw: `n` units with replacement.

    Args:
        strata: one label a unit (its category): as many are drawn from each stratum as it has.

    Raises:
        HarmcircuitsError: no unit, no draw, or not one label a unit.

    >>> bool((resamples(8, draws=9, strata=["a"] * 4 + ["b"] * 4)[:, :4] < 4).all())
    True
    """
    if n < 1 or draws < 1:
        raise HarmcircuitsError(f"resampling needs at least one unit and one draw, not n={n}, draws={draws}")
    generator = np.random.default_rng(seed)
    if strata is None:
        return generator.integers(n, size=(draws, n))
    codes = strata_codes(strata, n)
    indices = np.empty((draws, n), dtype=np.int64)
    for code in range(codes.max() + 1):
        members = np.flatnonzero(codes == code)
        indices[:, members] = members[generator.integers(len(members), size=(draws, len(members)))]
    return indices


def times_drawn(drawn: Int[np.ndarray, "draw n"]) -> Float[np.ndarray, "draw n"]:
    """Return how often each draw took each item.

    >>> times_drawn(np.array([[0, 0, 2]])).tolist()
    [[2.0, 0.0, 1.0]]
    """
    draws, n = drawn.shape
    return np.bincount((drawn + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n).reshape(draws, n).astype(float)


def from_draws(observed: float, draws: ArrayLike, *, n: int, strata: ArrayLike | None = None) -> Estimate:
    """Return an observed statistic with the expanded percentile interval of its bootstrap draws.

    The estimate is missing, with the reason, where the statistic is undefined (nan, infinite) on the data or in more than 5 %
    of the draws; up to that, undefined draws are dropped. Of fewer than 3 units it is the value without an interval.

    Args:
        n: units drawn from.
        strata: as the draws were made with, one label a unit.

    Raises:
        HarmcircuitsError: fewer than 39 draws, which have no 2.5 % tail.

    >>> print(from_draws(0.5, np.linspace(0, 1, 101), n=1000))
    0.500 [0.015, 0.985] (n=1000)
    """
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data")
    if n < LEAST_UNITS:
        return Estimate(observed, n=n)
    defined = defined_draws(np.asarray(draws, dtype=np.float64))
    if isinstance(defined, Estimate):
        return defined
    free = free_units(n, strata)
    tail = float(ndtr(-math.sqrt(n / free) * stdtrit(free, (1 + LEVEL) / 2)))
    low, high = np.quantile(defined, [tail, 1 - tail], method="weibull")
    return Estimate(observed, low, high, n)


def defined_draws(draws: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " defined"] | Estimate:
    """Return the finite draws; the missing estimate where too few are. HarmcircuitsError: too few draws for a 2.5 % tail."""
    if len(draws) < LEAST_DRAWS:
        raise HarmcircuitsError(f"a 95 % interval needs at least {LEAST_DRAWS} bootstrap draws, not {len(draws)}")
    defined: Float[np.ndarray, " defined"] = draws[np.isfinite(draws)]
    undefined = len(draws) - len(defined)
    if undefined > MAX_UNDEFINED * len(draws):
        return Estimate.missing(f"undefined in {undefined} of {len(draws)} bootstrap draws, more than {MAX_UNDEFINED:.0%}")
    return defined


def free_units(n: int, strata: ArrayLike | None) -> int:
    """Return the degrees of freedom: units − strata."""
    return n - int(strata_codes(strata, n).max()) - 1


def mean_estimates(
    values: Float[np.ndarray, "unit column"], *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None
) -> list[Estimate]:
    """Return the mean of each column with its interval; all columns have the same draws.

    >>> [round(mean.value, 3) for mean in mean_estimates(np.array([[0.1, 1.0], [0.2, 1.0], [0.3, 1.0]]))]
    [0.2, 1.0]
    """
    n, width = values.shape
    if n == 0:
        return [Estimate.missing("no units")] * width
    shares = times_drawn(resamples(n, draws=draws, seed=seed, strata=strata)) / n
    with np.errstate(invalid="ignore"):
        columns = values.astype(np.float64).T
        return [from_draws(float(column.mean()), shares @ column, n=n, strata=strata) for column in columns]


def mean_estimate(
    values: Float[np.ndarray, " unit"], *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None
) -> Estimate:
    """Return the mean with its interval.

    >>> round(mean_estimate([0.1, 0.2, 0.3]).value, 3)
    0.2
    """
    return mean_estimates(np.asarray(values)[:, None], draws=draws, seed=seed, strata=strata)[0]


def two_level(
    statistic: Statistic, *arrays: ArrayLike, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None
) -> Estimate:
    """Return a statistic of arrays [run, question, …] with its interval over runs *and* questions.

    A bootstrap draw takes whole runs and, independently, whole questions. With three runs such draws spread too little (a draw
    of n spreads by √((n − 1)/n) of a sample's width, and three runs have few different draws), so that their distance from the
    observed value is stretched to the width that the two jackknife variances ask for:

        stretch = max(1, t_{0.975, df} · √(v_runs + v_questions) / (z_{0.975} · sd(draws)))
        df = (v_runs + v_questions)² / (v_runs² / (runs − 1) + v_questions² / (questions − H))

    H the number of strata. Draws are never drawn together: where a few lie far out, as those of a ratio whose denominator comes
    near 0 do, their sd says nothing of the others. What a run and a question do together is in both variances: the interval
    errs on the wide side.

    Args:
        statistic: called on arrays [draw, run, question, …]; one number a draw, nan where it is undefined.
        arrays: each has the runs on axis 0 and the questions on axis 1.
        strata: one label a question, see `resamples`.

    Returns:
        The value, its interval and n, the number of questions. No interval below 3 runs or 3 questions; missing as in
        `from_draws`.

    Raises:
        HarmcircuitsError: too few draws for the level.

    Source: Owen 2007 (draws of both samples); Satterthwaite 1946 (df).

    >>> values = np.array([[0.1, 0.2, 0.4, 0.3], [0.2, 0.2, 0.5, 0.3], [0.0, 0.2, 0.4, 0.4]])
    >>> print(two_level(lambda x: x.mean((1, 2)), values))
    0.267 [0.031, 0.502] (n=4)
    """
    data = [np.asarray(array, dtype=np.float64) for array in arrays]
    runs, questions = data[0].shape[:2]
    if not (runs and questions):
        return Estimate.missing("no runs or no questions")

    def evaluate(runs: Int[np.ndarray, "draw run"], questions: Int[np.ndarray, "draw question"]) -> Float[np.ndarray, " draw"]:
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = (array[runs[:, :, None], questions[:, None, :]] for array in data)
            return np.asarray(statistic(*drawn), dtype=np.float64)

    leave_one_out = lambda n: np.nonzero(~np.eye(n, dtype=bool))[1].reshape(n, n - 1)
    all_runs, all_questions = np.arange(runs)[None], np.arange(questions)[None]
    observed = float(evaluate(all_runs, all_questions)[0])
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data")
    if min(runs, questions) < LEAST_UNITS:
        return Estimate(observed, n=questions)
    draws_of_questions = resamples(questions, draws=draws, seed=seed + 1, strata=strata)
    defined = defined_draws(evaluate(resamples(runs, draws=draws, seed=seed), draws_of_questions))
    if isinstance(defined, Estimate):
        return defined
    codes = strata_codes(strata, questions)
    by_run = evaluate(leave_one_out(runs), all_questions.repeat(runs, 0))
    by_question = evaluate(all_runs.repeat(questions, 0), leave_one_out(questions))
    variances = np.array([_jackknife(by_run, np.zeros(runs, int)), _jackknife(by_question, codes)])
    if not np.isfinite(variances).all():
        return Estimate.missing("undefined without one of the runs or questions")
    stretch, spread = 1.0, float(defined.std())
    if variances.max() > 0 and spread > 0:
        shares = variances / variances.max()  # no underflow
        free = shares.sum() ** 2 / (shares**2 / [runs - 1, questions - codes.max() - 1]).sum()
        width = stdtrit(free, (1 + LEVEL) / 2) * math.sqrt(variances.sum())
        stretch = max(1.0, float(width / (ndtri((1 + LEVEL) / 2) * spread)))
    low, high = observed + stretch * (np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - observed)
    return Estimate(observed, low, high, questions)


def _jackknife(left_out: Float[np.ndarray, " n"], codes: Int[np.ndarray, " n"]) -> float:
    """Σ over strata of (n_h − 1)/n_h · Σ (θ₋ᵢ − their mean)²."""
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=left_out) / sizes
    return float((((sizes - 1) / sizes)[codes] * (left_out - means[codes]) ** 2).sum())
