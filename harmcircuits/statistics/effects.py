"""Standardised effects: differences in units of their own spread over triples, so that tasks compare."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .estimate import StatisticsError


def standardised_effect(differences: ArrayLike, *, axis: int = -1) -> Float[np.ndarray, "*draws"]:
    """Cohen's d_z = mean / standard deviation (n − 1) of the per-triple differences; no unit, the differences' sign.

    Args:
        differences: [*draws, triple] (the triples at `axis`).

    Returns:
        [*draws], a scalar without leading axes; 0 where nothing changes in a draw, nan where all its triples change alike (no
        spread).

    Raises:
        StatisticsError: fewer than 2 triples.

    Source: Cohen 1988; Lakens 2013.

    >>> float(standardised_effect([1.0, 2.0, 3.0]))
    2.0
    """
    values = np.moveaxis(np.atleast_1d(np.asarray(differences, dtype=np.float64)), axis, -1)
    if values.shape[-1] < 2:
        raise StatisticsError(f"a standardised effect needs at least 2 triples, not {values.shape[-1]}")
    return _over_spread(values.mean(-1), np.sqrt(_variance(values)))


def aim_by_task(drops: Float[np.ndarray, "*draws aim task triple"]) -> Float[np.ndarray, "*draws"]:
    """The aim × task interaction in standardised effects.

        I = (d_writing − d_recognition | aimed at writing) − (d_writing − d_recognition | aimed at recognition)

    with d[aim, task] = mean over triples of drops[aim, task] / s_task, and s_task² = the mean over both aims of the
    drops' variance over triples (n − 1): one spread a task, so that an aim that is merely noisier does not look weaker.
    Positive: each circuit hurts the task that it is aimed at more than the other circuit does; 0: the two tasks fall
    together whichever is aimed at.

    For an interval, resample triples; for a null, `aim_by_task_null`:

        bootstrap(lambda d: aim_by_task(np.moveaxis(d, -3, -1)), np.moveaxis(drops, -1, 0), vectorised=True)

    Args:
        drops: how much each triple's measure falls under each circuit, positive where it falls; aim 0 is the circuit
            aimed at writing, 1 the one aimed at recognition; task 0 is writing, 1 recognition.

    Returns:
        [*draws], a scalar without leading axes; nan where a task's drops are all alike, and not 0, under both aims.

    Raises:
        StatisticsError: not two aims by two tasks, or fewer than 2 triples.

    >>> drops = np.array([[[2.0, 4.0], [0.0, 2.0]], [[0.0, 2.0], [2.0, 4.0]]])
    >>> round(float(aim_by_task(drops)), 3)
    2.828
    """
    values = np.asarray(drops, dtype=np.float64)
    if values.ndim < 3 or values.shape[-3:-1] != (2, 2) or values.shape[-1] < 2:
        raise StatisticsError(f"drops must be [..., 2 aims, 2 tasks, at least 2 triples], not {list(values.shape)}")
    spread = np.sqrt(_variance(values).mean(-2, keepdims=True))
    d = _over_spread(values.mean(-1), spread)
    advantage = d[..., 0] - d[..., 1]  # of writing over recognition, under each aim
    interaction: np.ndarray = advantage[..., 0] - advantage[..., 1]
    return interaction


def aim_by_task_null(
    drops: Float[np.ndarray, "aim task triple"], *, draws: int = 999, seed: int = 0
) -> Float[np.ndarray, " draws"]:
    """`aim_by_task` with the two aims swapped at random within triples, both tasks of a triple together.

    Its null: a triple falls as much under either circuit, on both tasks. For `p_value(aim_by_task(drops), null)`.

    >>> null = aim_by_task_null(np.random.default_rng(0).normal(size=(2, 2, 30)), draws=99)
    >>> null.shape, bool(abs(null.mean()) < 0.1)
    ((99,), True)
    """
    values = np.asarray(drops, dtype=np.float64)
    swap = np.random.default_rng(seed).random((draws, 1, 1, values.shape[-1])) < 0.5
    return aim_by_task(np.where(swap, values[::-1], values))


def _variance(values: Float[np.ndarray, "*draws n"]) -> Float[np.ndarray, "*draws"]:
    """Exactly 0 where all values are equal: rounding alone would leave some 1e-34 and a huge standardised effect."""
    return np.where(np.ptp(values, axis=-1) == 0, 0.0, values.var(-1, ddof=1))


def _over_spread(mean: Float[np.ndarray, "*draws"], spread: Float[np.ndarray, "*draws"]) -> Float[np.ndarray, "*draws"]:
    """0 where nothing changes in any triple: with such draws left out, an interval of rare changes could not reach 0."""
    return np.where((spread == 0) & (mean == 0), 0.0, mean / np.where(spread == 0, np.nan, spread))
