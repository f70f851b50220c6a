"""A small version of benchmarks/simulated.py: intervals hold the truth, and a broken statistic would show."""

import sys
from pathlib import Path

import numpy as np
import pytest

from harmcircuits.statistics import auroc, mean_estimate

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
simulated = pytest.importorskip("simulated", reason="the benchmarks are not part of an installed package")


def test_the_truth_is_that_of_many_triples() -> None:
    truth = simulated.Truth(before=0.95, after=0.85)
    effects = simulated.simulate(truth, 4000, 0)
    change = effects.change("circuit", "loss", "harmful").mean() - effects.change("circuit", "loss", "near").mean()
    assert change == pytest.approx(truth.values["difference"], abs=0.01)
    scores = [effects.outcomes.values(name, "recognition").reshape(-1, 2).T for name in ("baseline", "circuit")]
    assert [auroc(*pair) for pair in scores] == pytest.approx([0.95, 0.85], abs=0.015)


def test_intervals_hold_the_truth() -> None:
    rows = [*simulated.coverage(simulated.Truth(), 24, 150), *simulated.errors(24, 150)]
    for row in rows:
        if row["kind"] == "coverage":
            assert row["value"] >= 0.89, row
        if row["kind"] == "false positives":
            assert row["value"] <= 0.08, row


def test_two_readings_of_a_triple_are_not_two_triples() -> None:
    """A broken statistic: what belongs to one triple drawn apart. Its intervals are too short."""
    wrong = 0
    for seed in range(150):
        effects = simulated.simulate(simulated.Truth(benign=0.3), 24, seed)
        own = effects.change("circuit", "loss", "harmful") - effects.change("circuit", "loss", "near")
        twice = np.repeat(own, 2) + np.random.default_rng(seed).normal(0, 0.01, 48)
        wrong += mean_estimate(twice, draws=400).excludes(0)
    assert wrong / 150 > 0.1
