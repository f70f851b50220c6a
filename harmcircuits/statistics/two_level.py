"""Intervals over two crossed samples: every training run was asked every question, and both could have been others."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from .bootstrap import CHUNK, LEAST_UNITS, MAX_UNDEFINED, check_level, resamples, strata_codes
from .estimate import LEVEL, Estimate, StatisticsError

Statistic: TypeAlias = Callable[..., Any]


def two_level(
    statistic: Statistic,
    *arrays: ArrayLike,
    draws: int = 2000,
    seed: int = 0,
    strata: ArrayLike | None = None,
) -> Estimate:
    """A statistic of arrays [run, question, …] with its interval over runs *and* questions.

    A bootstrap draw takes whole runs and, independently, whole questions. With three runs such draws spread too little (a draw
    of n spreads by √((n − 1)/n) of a sample's width, and three runs have few different draws), so that their distance from the
    observed value is stretched to the width that the two jackknife variances ask for:

        stretch = max(1, t_{0.975, df} · √(v_runs + v_questions) / (z_{0.975} · sd(draws)))
        df = (v_runs + v_questions)² / (v_runs² / (runs − 1) + v_questions² / (questions − H))

    H the number of strata. Draws are never drawn together: where a few lie far out, as those of a ratio whose denominator comes
    near 0 do, their sd says nothing of the others. What a run and a question do together is in both variances: the interval
    errs on the wide side.

    Args:
        statistic: called on arrays [some draws, run, question, …]; one number a draw, nan where it is undefined.
        arrays: each has the runs on axis 0 and the questions on axis 1.
        draws: bootstrap draws.
        seed: the same seed gives the same draws for every statistic of as many runs and questions.
        strata: one label a question, see `resamples`.

    Returns:
        The value, its interval and n, the number of questions. No interval below 3 runs or 3 questions; missing, with the
        reason, where the statistic is undefined on the data or in more than 5 % of the draws.

    Raises:
        StatisticsError: arrays of other or unequal shape, or too few draws for the level.

    Source: Owen 2007 (draws of both samples); Satterthwaite 1946 (df).

    >>> values = np.array([[0.1, 0.2, 0.4, 0.3], [0.2, 0.2, 0.5, 0.3], [0.0, 0.2, 0.4, 0.4]])
    >>> print(two_level(lambda x: x.mean((1, 2)), values))
    0.267 [0.031, 0.502] (n=4)
    """
    data = [np.asarray(array, dtype=np.float64) for array in arrays]
    shapes = {array.shape[:2] for array in data}
    if len(shapes) != 1 or data[0].ndim < 2:
        raise StatisticsError(f"arrays must have the same runs and questions on axes 0 and 1, not {sorted(shapes)}")
    runs, questions = data[0].shape[:2]
    if not (runs and questions):
        return Estimate.missing("no runs or no questions")
    everyone, all_asked = np.arange(runs)[None], np.arange(questions)[None]
    observed = float(_evaluated(statistic, data, everyone, all_asked)[0])
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data")
    if min(runs, questions) < LEAST_UNITS:
        return Estimate(observed, n=questions)
    check_level(LEVEL, draws)
    drawn = _evaluated(
        statistic,
        data,
        resamples(runs, draws=draws, seed=seed),
        resamples(questions, draws=draws, seed=seed + 1, strata=strata),
    )
    defined = drawn[np.isfinite(drawn)]
    if draws - len(defined) > MAX_UNDEFINED * draws:
        return Estimate.missing(
            f"undefined in {draws - len(defined)} of {draws} bootstrap draws, more than {MAX_UNDEFINED:.0%}"
        )
    codes = strata_codes(strata, questions)
    parts = [
        (_jackknife(_evaluated(statistic, data, _without(runs), np.repeat(all_asked, runs, 0)), np.zeros(runs, int)), runs - 1),
        (
            _jackknife(_evaluated(statistic, data, np.repeat(everyone, questions, 0), _without(questions)), codes),
            questions - codes.max() - 1,
        ),
    ]
    if not np.isfinite([variance for variance, _ in parts]).all():
        return Estimate.missing("undefined without one of the runs or questions")
    stretch = _stretch(parts, float(defined.std()))
    low, high = observed + stretch * (np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - observed)
    return Estimate(observed, low, high, questions)


def two_level_mean(values: ArrayLike, **options: object) -> Estimate:
    """The mean of values [run, question], with its interval. `options` are those of `two_level`.

    >>> two_level_mean([[1.0, 3.0], [2.0, 4.0]]).value
    2.5
    """
    return two_level(lambda x: x.mean((1, 2)), values, **options)  # type: ignore[arg-type]


def _evaluated(
    statistic: Statistic, data: list[np.ndarray], runs: Int[np.ndarray, "draw run"], asked: Int[np.ndarray, "draw question"]
) -> Float[np.ndarray, " draw"]:
    width = runs.shape[1] * asked.shape[1] * sum(math.prod(array.shape[2:]) for array in data)
    step, found = max(1, CHUNK // max(1, width)), list[np.ndarray]()
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, len(runs), step):
            at = runs[start : start + step, :, None], asked[start : start + step, None, :]
            found.append(np.asarray(statistic(*(array[at] for array in data)), dtype=np.float64))
            if found[-1].shape != (len(at[0]),):
                raise StatisticsError(f"the statistic must return one number a draw, not shape {list(found[-1].shape)}")
    return np.concatenate(found)


def _without(n: int) -> Int[np.ndarray, "n n_minus_1"]:
    """All but one, each left out in turn."""
    return np.arange(n - 1)[None] + (np.arange(n - 1)[None] >= np.arange(n)[:, None])


def _jackknife(left_out: Float[np.ndarray, " n"], codes: Int[np.ndarray, " n"]) -> float:
    """Σ over strata of (n_h − 1)/n_h · Σ (θ₋ᵢ − their mean)²."""
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=left_out) / sizes
    return float((((sizes - 1) / sizes)[codes] * (left_out - means[codes]) ** 2).sum())


def _stretch(parts: list[tuple[float, int]], spread: float) -> float:
    total, scale = sum(variance for variance, _ in parts), max(variance for variance, _ in parts)
    if scale == 0 or spread == 0:
        return 1.0
    free = (total / scale) ** 2 / sum((variance / scale) ** 2 / own for variance, own in parts)  # scaled: no underflow
    wanted = float(stdtrit(free, (1 + LEVEL) / 2) * math.sqrt(total) / (ndtri((1 + LEVEL) / 2) * spread))
    return max(1.0, wanted)
