"""Folds put together: fitted scores on one scale, and the interval over the folds' own values."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harmcircuits.experiments.across_folds import across_folds, on_one_scale
from harmcircuits.experiments.battery import Outcomes
from harmcircuits.statistics import auroc

N = 12
ROLES = ("harmful", "near", "far")


def fold(*, rise: float, scale: float = 1.0, offset: float = 0.0, seed: int = 0) -> Outcomes:
    """Near and far twins rise by 0.1 and harmful requests by `rise`; the probe tells harm by one standard deviation."""
    rng = np.random.default_rng(seed)
    base, score = rng.normal(2, 0.3, (N, 3)), rng.normal(0, 1, (N, 3)) + np.array([1.0, 0, 0])
    rows = []
    for condition, more in (("intact", np.zeros(3)), ("cut", np.array([rise, 0.1, 0.1]))):
        for at in range(N):
            for role, name in enumerate(ROLES):
                rows.append((condition, name, base[at, role] + more[role], score[at, role] * scale + offset))
    frame = pd.DataFrame(rows, columns=["condition", "role", "nll", "probe"])
    fitted = dict.fromkeys(("probe_request", "many_shot", "many_shot_shuffled", "many_shot_arbitrary"), np.nan)
    who = dict.fromkeys(("group", "category", "harm_group"), "")
    return Outcomes(frame.assign(**fitted, **who, in_place=0.0), pd.DataFrame())


def test_offset_and_scale_of_a_folds_probe_do_not_matter() -> None:
    plain, other = (on_one_scale(fold(rise=0.2, **own).frame) for own in ({}, {"scale": 7.0, "offset": -3.0}))  # type: ignore[arg-type]
    np.testing.assert_allclose(plain["probe"], other["probe"], atol=1e-9)
    assert plain["many_shot"].isna().all(), "what was not read is not read"


def test_pooled_scores_keep_the_order_that_each_fold_has() -> None:
    parts = [
        fold(rise=0.2, scale=scale, offset=offset, seed=seed)
        for seed, (scale, offset) in enumerate([(1, 0), (5, 9), (0.1, -4)])
    ]
    of = lambda frame, role: frame.loc[(frame["condition"] == "intact") & (frame["role"] == role), "probe"].to_numpy()
    within = np.mean([float(auroc(of(part.frame, "harmful"), of(part.frame, "near"))) for part in parts])
    raw, scaled = pd.concat([part.frame for part in parts]), pd.concat([on_one_scale(part.frame) for part in parts])
    pooled = [float(auroc(of(frame, "harmful"), of(frame, "near"))) for frame in (raw, scaled)]
    assert abs(pooled[1] - within) < 0.05
    assert pooled[0] < within - 0.05, "which raw scores of unlike probes would not"


def test_the_interval_is_that_of_a_t_test_over_folds() -> None:
    rises = [0.1, 0.3, 0.25, 0.4, 0.2]
    found = across_folds([fold(rise=rise, seed=at) for at, rise in enumerate(rises)], "cut", primary="probe")
    own = np.array(rises) - 0.1
    expected = stats.t.interval(0.95, 4, loc=own.mean(), scale=stats.sem(own))
    assert (found["selectivity"].low, found["selectivity"].high) == pytest.approx(expected)
    assert found["selectivity"].value == pytest.approx(own.mean())
    assert found["harmful_nll_rise"].n == 5
    assert found["auroc_change"].value == 0


def test_two_folds_have_no_interval_and_what_was_not_read_no_value() -> None:
    two = [fold(rise=0.2, seed=at) for at in range(2)]
    assert across_folds(two, "cut", primary="probe")["selectivity"].low is None
    assert across_folds(two, "cut", primary="many_shot")["auroc_intact"].reason == "it was not read in every fold"
